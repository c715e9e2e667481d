//! Who came first? Values in slots that stand in line, and may leave it from anywhere.

use super::{Key, Lent, Link, Links, Queue, Slab, Slot};

/// Values, each in a slot, in the order in which they came.
pub struct Line<'m, T> {
    slots: Slab<'m, T>,
    links: Links<'m>,
    order: Queue,
}

impl<'m, T> Line<'m, T> {
    /// An empty line; `links` should be as many as `slots`.
    pub fn new(slots: Lent<'m, Slot<T>>, links: Lent<'m, Link>) -> Self {
        Self { slots: Slab::new(slots), links: Links::new(links), order: Queue::EMPTY }
    }

    /// Stores `value` as the last in line.
    ///
    /// # Errors
    /// Gives `value` back when no slot is free.
    #[inline]
    pub fn push(&mut self, value: T) -> Result<Key, T> {
        let key = self.slots.insert(value)?;
        self.order.push_back(&mut self.links, key.index);
        Ok(key)
    }

    /// Stores `value` beside the line: it never comes to its front.
    ///
    /// # Errors
    /// Gives `value` back when no slot is free.
    #[inline]
    pub fn push_aside(&mut self, value: T) -> Result<Key, T> {
        self.slots.insert(value)
    }

    /// How many values stand beside the line.
    #[inline]
    pub fn aside(&self) -> u32 {
        self.slots.len() - self.order.len()
    }

    /// Takes the value out of slot `index`, wherever it stands.
    #[inline]
    pub fn remove(&mut self, index: u32) -> Option<T> {
        let value = self.slots.remove(index)?;
        self.order.remove(&mut self.links, index);
        Some(value)
    }

    /// The slot of the value that has stood in line longest.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        self.order.front()
    }

    /// All values in line with their slots, the one that has stood in line longest first.
    pub fn in_order(&self) -> impl Iterator<Item = (u32, &T)> {
        self.order.iter(&self.links).filter_map(|index| Some((index, self.at(index)?)))
    }

    /// Makes the value in slot `index` the last in line; false if there is none.
    #[inline]
    pub fn move_back(&mut self, index: u32) -> bool {
        self.order.remove(&mut self.links, index) && self.order.push_back(&mut self.links, index)
    }

    /// The value that is in slot `index` now.
    #[inline]
    pub fn at(&self, index: u32) -> Option<&T> {
        self.slots.at(index)
    }

    /// As [`at`](Self::at), to change the value.
    #[inline]
    pub fn at_mut(&mut self, index: u32) -> Option<&mut T> {
        self.slots.at_mut(index)
    }

    /// All values, by index.
    pub fn iter(&self) -> impl Iterator<Item = &T> {
        self.slots.iter().map(|(_, value)| value)
    }

    /// The value that `key` was given for, unless it has been removed.
    #[inline]
    pub fn get(&self, key: Key) -> Option<&T> {
        self.slots.get(key)
    }

    /// As [`get`](Self::get), to change the value.
    #[inline]
    pub fn get_mut(&mut self, key: Key) -> Option<&mut T> {
        self.slots.get_mut(key)
    }

    /// The number of values.
    #[inline]
    pub fn len(&self) -> u32 {
        self.slots.len()
    }

    /// The number of slots.
    #[inline]
    pub fn capacity(&self) -> u32 {
        self.slots.capacity()
    }

    /// No slot is free.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.slots.is_full()
    }

    /// Nobody stands in line.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_stands_aside_is_never_in_front() {
        let slots = Lent::Owned((0..3).map(|_| Slot::EMPTY).collect());
        let mut line = Line::new(slots, Lent::allocate(3, Link::ZERO));
        let aside = line.push_aside('a').unwrap().index;
        assert_eq!((line.front(), line.len(), line.aside()), (None, 1, 1));
        let [b, c] = ['b', 'c'].map(|value| line.push(value).unwrap().index);
        assert_eq!((line.push_aside('d'), line.front(), line.aside()), (Err('d'), Some(b), 1));
        assert_eq!((line.remove(b), line.front(), line.aside()), (Some('b'), Some(c), 1));
        assert_eq!((line.remove(aside), line.front(), line.aside()), (Some('a'), Some(c), 0));
        assert_eq!(line.len(), 1);
    }

    #[test]
    fn the_oldest_is_in_front_until_it_leaves_or_goes_to_the_back() {
        let slots = Lent::Owned((0..3).map(|_| Slot::EMPTY).collect());
        let mut line = Line::new(slots, Lent::allocate(3, Link::ZERO));
        assert_eq!((line.front(), line.is_empty(), line.capacity()), (None, true, 3));
        let [a, b, c] = ['a', 'b', 'c'].map(|value| line.push(value).unwrap().index);
        assert_eq!((line.push('d'), line.is_full(), line.front()), (Err('d'), true, Some(a)));
        assert!(line.move_back(a));
        assert_eq!(
            line.in_order().collect::<std::vec::Vec<_>>(),
            [(b, &'b'), (c, &'c'), (a, &'a')]
        );
        assert_eq!((line.remove(b), line.remove(b)), (Some('b'), None));
        assert!(!line.move_back(b));
        assert_eq!((line.front(), line.len()), (Some(c), 2));
        assert_eq!((line.at(c).copied(), line.remove(c)), (Some('c'), Some('c')));
        assert_eq!((line.front(), line.at_mut(a)), (Some(a), Some(&mut 'a')));
        assert_eq!(line.iter().collect::<std::vec::Vec<_>>(), [&'a']);
    }
}
