//! Which parts of the stream are there? A short sorted list of offset ranges.

use heapless::Vec;

/// At most `N` half-open ranges `start..end`: sorted, not empty, and neither overlapping nor
/// touching.
///
/// What is asked of it takes a binary search, and what changes it moves what lies behind.
#[derive(Clone, Debug, Default)]
pub struct RangeSet<const N: usize> {
    /// Not offsets but places, modulo 2³²: so nothing changes for those that stay when all are to
    /// count from elsewhere.
    places: Vec<(u32, u32), N>,
    /// The place of offset 0.
    origin: u32,
    /// Offsets in all ranges.
    total: u32,
}

/// There is no room for one more range.
#[derive(Copy, Clone, Debug, PartialEq, Eq)]
pub struct Full;

impl<const N: usize> RangeSet<N> {
    /// No range.
    pub const fn new() -> Self {
        Self { places: Vec::new(), origin: 0, total: 0 }
    }

    /// Adds `start..end`, merged with all that it overlaps or touches; nothing if it is empty.
    ///
    /// # Errors
    /// [`Full`], and no change, if it would be a range of its own and there are `N`.
    #[inline]
    pub fn insert(&mut self, start: u32, end: u32) -> Result<(), Full> {
        if start >= end {
            return Ok(());
        }
        let origin = self.origin;
        let place = |start: u32, end: u32| (start.wrapping_add(origin), end.wrapping_add(origin));
        let first = self.ending_before(start);
        let behind = self.places.get(first..).unwrap_or_default();
        let merged = behind.partition_point(|range| range.0.wrapping_sub(origin) <= end);
        let Some(more) = merged.checked_sub(1) else {
            self.places.insert(first, place(start, end)).map_err(|_| Full)?;
            self.total += end - start;
            return Ok(());
        };
        let (start, end) = (start.min(self.at(first).0), end.max(self.at(first + more).1));
        let held: u32 = behind.iter().take(merged).map(|range| range.1.wrapping_sub(range.0)).sum();
        self.total = self.total - held + (end - start);
        if let Some(range) = self.places.get_mut(first) {
            *range = place(start, end);
        }
        self.remove(first + 1, more);
        Ok(())
    }

    /// If the first range starts at 0, takes it out, lets all offsets count from its end, and
    /// returns its length; otherwise returns 0.
    #[inline]
    pub fn take_prefix(&mut self) -> u32 {
        match self.at(0) {
            (0, end) => {
                self.shift(end);
                end
            }
            _ => 0,
        }
    }

    /// Lets all offsets count from `n`; what lies below is lost.
    #[inline]
    pub fn shift(&mut self, n: u32) {
        let below = match n.checked_add(1) {
            Some(beyond) => self.ending_before(beyond),
            None => self.places.len(),
        };
        let lost = self.places.iter().take(below).map(|range| range.1.wrapping_sub(range.0));
        self.total -= lost.sum::<u32>();
        self.remove(0, below);
        let cut = n.saturating_sub(self.at(0).0);
        self.origin = self.origin.wrapping_add(n);
        if let Some(first) = self.places.first_mut().filter(|_| cut > 0) {
            first.0 = self.origin;
            self.total -= cut;
        }
    }

    /// The first range of which something lies at `offset` or beyond.
    #[inline]
    pub fn reaching(&self, offset: u32) -> Option<(u32, u32)> {
        let place = self.ending_before(offset.checked_add(1)?);
        (place < self.places.len()).then(|| self.at(place))
    }

    /// The range that `offset` lies in.
    #[inline]
    pub fn containing(&self, offset: u32) -> Option<(u32, u32)> {
        self.reaching(offset).filter(|range| range.0 <= offset)
    }

    /// Offsets in all ranges.
    #[inline]
    pub const fn total(&self) -> u32 {
        self.total
    }

    /// The ranges as `(start, end)`, in order.
    #[inline]
    pub fn iter(&self) -> impl DoubleEndedIterator<Item = (u32, u32)> + ExactSizeIterator {
        let origin = self.origin;
        self.places
            .iter()
            .map(move |&(start, end)| (start.wrapping_sub(origin), end.wrapping_sub(origin)))
    }

    /// There is no range.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.places.is_empty()
    }

    /// The number of ranges.
    #[inline]
    pub fn len(&self) -> usize {
        self.places.len()
    }

    /// How many ranges end before `offset`.
    #[inline]
    fn ending_before(&self, offset: u32) -> usize {
        self.places.partition_point(|range| range.1.wrapping_sub(self.origin) < offset)
    }

    /// The range at this position; nothing beyond the last.
    #[inline]
    fn at(&self, position: usize) -> (u32, u32) {
        let range = self.places.get(position);
        range.map_or((u32::MAX, u32::MAX), |&(start, end)| {
            (start.wrapping_sub(self.origin), end.wrapping_sub(self.origin))
        })
    }

    /// Removes `count` ranges from position `at` on.
    #[inline]
    fn remove(&mut self, at: usize, count: usize) {
        if count > 0 {
            self.places.copy_within(at + count.., at);
            self.places.truncate(self.places.len() - count);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Ranges = std::vec::Vec<(u32, u32)>;

    fn list<const N: usize>(set: &RangeSet<N>) -> Ranges {
        set.iter().collect()
    }

    #[test]
    fn merges_what_overlaps_or_touches() {
        for (start, end, expected) in [
            (0, 0, &[(10, 20), (30, 40), (50, 60)][..]),
            (5, 3, &[(10, 20), (30, 40), (50, 60)]),
            (0, 9, &[(0, 9), (10, 20), (30, 40), (50, 60)]),
            (0, 10, &[(0, 20), (30, 40), (50, 60)]),
            (12, 18, &[(10, 20), (30, 40), (50, 60)]),
            (20, 30, &[(10, 40), (50, 60)]),
            (21, 29, &[(10, 20), (21, 29), (30, 40), (50, 60)]),
            (20, 29, &[(10, 29), (30, 40), (50, 60)]),
            (35, 50, &[(10, 20), (30, 60)]),
            (0, 49, &[(0, 49), (50, 60)]),
            (0, u32::MAX, &[(0, u32::MAX)]),
            (60, 61, &[(10, 20), (30, 40), (50, 61)]),
            (61, u32::MAX, &[(10, 20), (30, 40), (50, 60), (61, u32::MAX)]),
        ] {
            let mut set = RangeSet::<4>::new();
            for start in [50, 10, 30] {
                set.insert(start, start + 10).unwrap();
            }
            assert_eq!(set.insert(start, end), Ok(()));
            assert_eq!(list(&set), expected, "{start}..{end}");
        }
    }

    #[test]
    fn a_full_set_merges_but_takes_no_new_range() {
        let mut set = RangeSet::<2>::new();
        assert_eq!((set.insert(10, 20), set.insert(30, 40)), (Ok(()), Ok(())));
        for (start, end) in [(0, 9), (21, 29), (41, 42)] {
            assert_eq!(set.insert(start, end), Err(Full));
            assert_eq!(list(&set), [(10, 20), (30, 40)]);
        }
        assert_eq!(set.insert(40, 42), Ok(()));
        assert_eq!(set.insert(20, 30), Ok(()));
        assert_eq!(list(&set), [(10, 42)]);
        assert_eq!(RangeSet::<0>::new().insert(0, 1), Err(Full));
    }

    #[test]
    fn the_prefix_is_taken_only_from_offset_0() {
        let mut set = RangeSet::<4>::new();
        assert_eq!(set.take_prefix(), 0);
        set.insert(1, 5).unwrap();
        set.insert(8, 9).unwrap();
        assert_eq!(set.take_prefix(), 0);
        set.insert(0, 1).unwrap();
        assert_eq!(set.take_prefix(), 5);
        assert_eq!((list(&set), set.total(), set.len()), (std::vec![(3, 4)], 1, 1));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Insert(u32, u32),
        TakePrefix,
        Shift(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            20 => (0u32..90, 0u32..12).prop_map(|(start, len)| Step::Insert(start, start + len)),
            2 => Just(Step::TakePrefix),
            3 => (0u32..20).prop_map(Step::Shift),
        ]
    }

    /// Which offsets are there; the runs of ones are the ranges.
    #[derive(Clone, Copy, PartialEq)]
    struct Bitmap(u128);

    impl Bitmap {
        fn span(start: u32, end: u32) -> u128 {
            (start..end).fold(0, |bits, offset| bits | 1 << offset)
        }

        fn ranges(self) -> Ranges {
            let bit = |offset: u32| self.0 >> offset & 1 == 1;
            let starts = (0..127).filter(|&at| bit(at) && (at == 0 || !bit(at - 1)));
            let ends = (1..128).filter(|&at| bit(at - 1) && !bit(at));
            starts.zip(ends).collect()
        }
    }

    proptest! {
        #[test]
        fn agrees_with_a_bitmap(steps in proptest::collection::vec(step(), 0..200)) {
            let mut set = RangeSet::<5>::new();
            let mut model = Bitmap(0);
            for step in steps {
                match step {
                    Step::Insert(start, end) => {
                        let wanted = Bitmap(model.0 | Bitmap::span(start, end));
                        let fits = wanted.ranges().len() <= 5;
                        prop_assert_eq!(set.insert(start, end).is_ok(), fits);
                        if fits {
                            model = wanted;
                        }
                    }
                    Step::TakePrefix => {
                        let prefix = model.0.trailing_ones();
                        prop_assert_eq!(set.take_prefix(), prefix);
                        model.0 >>= prefix;
                    }
                    Step::Shift(n) => {
                        set.shift(n);
                        model.0 >>= n;
                    }
                }
                prop_assert_eq!(list(&set), model.ranges());
                prop_assert_eq!(set.total(), model.0.count_ones());
                for offset in 0..128 {
                    let reaching = model.ranges().into_iter().find(|range| offset < range.1);
                    prop_assert_eq!(set.reaching(offset), reaching);
                    let containing = reaching.filter(|range| range.0 <= offset);
                    prop_assert_eq!(set.containing(offset), containing);
                }
                prop_assert_eq!(set.is_empty(), model.0 == 0);
            }
        }
    }
}
