//! Who is next? First-in-first-out queues of ids, threaded through one array of links.

use super::{Lent, NONE};

/// The neighbours of one id in the queue that it is in.
///
/// The first in a queue is its own predecessor and the last its own successor, so that `NONE`
/// can say "in no queue".
#[derive(Copy, Clone, Debug)]
pub struct Link {
    prev: u32,
    next: u32,
}

impl Link {
    /// Filler for memory that is to be lent.
    pub const ZERO: Self = Self { prev: 0, next: 0 };
    /// In no queue.
    const UNLINKED: Self = Self { prev: NONE, next: NONE };
}

/// The links of all ids below its length; each id is in at most one queue.
pub struct Links<'m>(Lent<'m, Link>);

impl<'m> Links<'m> {
    /// Links for the ids `0 .. links.len()`, all of them in no queue.
    pub fn new(mut links: Lent<'m, Link>) -> Self {
        links.fill(Link::UNLINKED);
        Self(links)
    }

    /// `id` is in some queue.
    #[inline]
    pub fn is_linked(&self, id: u32) -> bool {
        self.0.get(id as usize).is_some_and(|link| link.next != NONE)
    }

    /// The link of `id`, if `id` is in range and in no queue.
    #[inline]
    fn unlinked(&mut self, id: u32) -> Option<&mut Link> {
        self.0.get_mut(id as usize).filter(|link| id != NONE && link.next == NONE)
    }

    /// For ids that a queue or a link names, which are in range.
    #[inline]
    fn link(&mut self, id: u32) -> &mut Link {
        &mut self.0[id as usize]
    }
}

/// One queue. All calls on it must be given the same [`Links`].
#[derive(Copy, Clone, Debug)]
pub struct Queue {
    head: u32,
    tail: u32,
    len: u32,
}

impl Queue {
    /// A queue of nothing.
    pub const EMPTY: Self = Self { head: NONE, tail: NONE, len: 0 };

    /// Makes `id` the last. Does nothing and returns false if it is in a queue, or out of range.
    #[inline]
    pub fn push_back(&mut self, links: &mut Links<'_>, id: u32) -> bool {
        let Some(link) = links.unlinked(id) else { return false };
        if self.len == 0 {
            *link = Link { prev: id, next: id };
            self.head = id;
        } else {
            *link = Link { prev: self.tail, next: id };
            links.link(self.tail).next = id;
        }
        self.tail = id;
        self.len += 1;
        true
    }

    /// Takes the first out.
    #[inline]
    pub fn pop_front(&mut self, links: &mut Links<'_>) -> Option<u32> {
        let id = self.front()?;
        self.remove(links, id);
        Some(id)
    }

    /// The first.
    #[inline]
    pub fn front(&self) -> Option<u32> {
        if self.len == 0 { None } else { Some(self.head) }
    }

    /// Takes `id` out, from wherever it stands; false if it is in no queue.
    ///
    /// The caller promises that it is in no other queue than this.
    #[inline]
    pub fn remove(&mut self, links: &mut Links<'_>, id: u32) -> bool {
        if !links.is_linked(id) {
            return false;
        }
        let Link { prev, next } = core::mem::replace(links.link(id), Link::UNLINKED);
        let (first, last) = (prev == id, next == id);
        debug_assert!(self.len > 0, "{id} is in another queue");
        debug_assert_eq!(first, self.head == id, "{id} is in another queue");
        debug_assert_eq!(last, self.tail == id, "{id} is in another queue");
        match (first, last) {
            (true, true) => (self.head, self.tail) = (NONE, NONE),
            (true, false) => {
                links.link(next).prev = next;
                self.head = next;
            }
            (false, true) => {
                links.link(prev).next = prev;
                self.tail = prev;
            }
            (false, false) => {
                links.link(prev).next = next;
                links.link(next).prev = prev;
            }
        }
        self.len -= 1;
        true
    }

    /// Makes `id` the last, from wherever it stands in this queue; false if it is in none.
    ///
    /// The caller promises that it is in no other queue than this.
    pub fn move_back(&mut self, links: &mut Links<'_>, id: u32) -> bool {
        self.remove(links, id) && self.push_back(links, id)
    }

    /// The number of ids in the queue.
    #[inline]
    pub fn len(&self) -> u32 {
        self.len
    }

    /// Nothing is in the queue.
    #[inline]
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// All ids, first to last.
    pub fn iter(&self, links: &Links<'_>) -> impl Iterator<Item = u32> {
        core::iter::successors(self.front(), |&id| {
            links.0.get(id as usize).map(|link| link.next).filter(|&next| next != id)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::VecDeque;
    use std::vec::Vec;

    const IDS: u32 = 8;

    #[test]
    fn an_id_is_in_one_queue_at_most() {
        let mut links = Links::new(Lent::allocate(2, Link::ZERO));
        let (mut a, mut b) = (Queue::EMPTY, Queue::EMPTY);
        assert!(a.push_back(&mut links, 1));
        assert!(!a.push_back(&mut links, 1));
        assert!(!b.push_back(&mut links, 1));
        assert_eq!((a.len(), b.len()), (1, 0));
        assert!(a.remove(&mut links, 1) && !a.remove(&mut links, 1));
        assert!(b.push_back(&mut links, 1));
    }

    #[test]
    fn ids_out_of_range_are_refused() {
        let mut links = Links::new(Lent::allocate(2, Link::ZERO));
        let mut queue = Queue::EMPTY;
        for id in [2, NONE - 1, NONE] {
            assert!(!queue.push_back(&mut links, id));
            assert!(!queue.remove(&mut links, id) && !links.is_linked(id));
        }
        assert!(queue.is_empty() && queue.push_back(&mut links, 1));
    }

    #[test]
    fn links_left_by_earlier_queues_are_cleared() {
        let mut memory = [Link { prev: 0, next: 0 }; 1];
        assert!(!Links::new(Lent::from(&mut memory[..])).is_linked(0));
    }

    #[derive(Clone, Debug)]
    enum Step {
        Back(usize, u32),
        Pop(usize),
        Remove(u32),
        MoveBack(u32),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            5 => (0..2usize, 0..IDS + 1).prop_map(|(queue, id)| Step::Back(queue, id)),
            1 => (0..2usize).prop_map(Step::Pop),
            2 => (0..IDS).prop_map(Step::Remove),
            1 => (0..IDS).prop_map(Step::MoveBack),
        ]
    }

    proptest! {
        #[test]
        fn agrees_with_two_deques(steps in proptest::collection::vec(step(), 0..200)) {
            let mut links = Links::new(Lent::allocate(IDS as usize, Link::ZERO));
            let mut queues = [Queue::EMPTY; 2];
            let mut models: [VecDeque<u32>; 2] = Default::default();
            for step in steps {
                let fresh = |id| id < IDS && !models.iter().any(|model| model.contains(&id));
                match step {
                    Step::Back(which, id) => {
                        let fresh = fresh(id);
                        prop_assert_eq!(queues[which].push_back(&mut links, id), fresh);
                        models[which].extend(fresh.then_some(id));
                    }
                    Step::Pop(which) => {
                        let popped = queues[which].pop_front(&mut links);
                        prop_assert_eq!(popped, models[which].pop_front());
                    }
                    Step::Remove(id) => {
                        let which = usize::from(models[1].contains(&id));
                        let linked = models[which].contains(&id);
                        prop_assert_eq!(queues[which].remove(&mut links, id), linked);
                        models[which].retain(|&other| other != id);
                    }
                    Step::MoveBack(id) => {
                        let which = usize::from(models[1].contains(&id));
                        let linked = models[which].contains(&id);
                        prop_assert_eq!(queues[which].move_back(&mut links, id), linked);
                        models[which].retain(|&other| other != id);
                        models[which].extend(linked.then_some(id));
                    }
                }
                for (queue, model) in queues.iter().zip(&models) {
                    prop_assert_eq!(model, &queue.iter(&links).collect::<Vec<_>>());
                    prop_assert_eq!(queue.front(), model.front().copied());
                    prop_assert_eq!(queue.len() as usize, model.len());
                    prop_assert_eq!(queue.is_empty(), model.is_empty());
                }
                for id in 0..IDS {
                    let linked = models.iter().any(|model| model.contains(&id));
                    prop_assert_eq!(links.is_linked(id), linked);
                }
            }
        }
    }
}
