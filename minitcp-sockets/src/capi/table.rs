//! Descriptors: small numbers for open sockets, the lowest free one first.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, PoisonError, RwLock};

use crate::capi::any::AnyNet;
use crate::capi::stacks;
use crate::errno;
use crate::socket::Socket;

/// Most descriptors of a process. Beyond: `EMFILE`.
pub(super) const MAX_DESCRIPTORS: usize = 1 << 16;

/// As in a program with its three standard streams, so that a zeroed variable names no socket.
const FIRST: usize = 3;

/// What one or more descriptors stand for.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) socket: Socket<AnyNet>,
    /// The number of the stack whose end is the end of the socket.
    pub(super) owner: usize,
    /// Descriptors; changes only with the table.
    descriptors: AtomicUsize,
}

static TABLE: RwLock<Table> = RwLock::new(Table { slots: Vec::new(), free: BinaryHeap::new() });

#[derive(Debug)]
struct Table {
    slots: Vec<Option<Arc<Open>>>,
    /// Empty slots, each once.
    free: BinaryHeap<Reverse<usize>>,
}

impl Table {
    fn check_room(&self) -> io::Result<()> {
        let is_full = self.free.is_empty() && self.slots.len() >= MAX_DESCRIPTORS;
        if is_full { Err(errno::of(libc::EMFILE)) } else { Ok(()) }
    }

    fn insert(&mut self, open: Arc<Open>) -> io::Result<i32> {
        self.check_room()?;
        let index = self.free.pop().map_or(self.slots.len(), |Reverse(index)| index);
        if index == self.slots.len() {
            self.slots.push(None);
        }
        open.descriptors.fetch_add(1, Ordering::Relaxed);
        self.slots[index] = Some(open);
        i32::try_from(index + FIRST).map_err(|_| errno::of(libc::EMFILE))
    }

    fn get(&self, descriptor: i32) -> io::Result<&Arc<Open>> {
        let slot = index(descriptor).and_then(|index| self.slots.get(index));
        slot.and_then(Option::as_ref).ok_or_else(|| errno::of(libc::EBADF))
    }

    /// Takes a descriptor away; with the socket, if that was its last one.
    fn remove(&mut self, index: usize) -> io::Result<Option<Arc<Open>>> {
        let open = self.slots.get_mut(index).and_then(Option::take);
        let open = open.ok_or_else(|| errno::of(libc::EBADF))?;
        self.free.push(Reverse(index));
        let was_last = open.descriptors.fetch_sub(1, Ordering::Relaxed) == 1;
        Ok(was_last.then_some(open))
    }
}

fn index(descriptor: i32) -> Option<usize> {
    usize::try_from(descriptor).ok()?.checked_sub(FIRST)
}

/// A descriptor for `socket`, of the stack `owner`.
///
/// # Errors
/// `EMFILE`, and `EBADF` if the stack has ended meanwhile: the socket is closed then.
pub(super) fn insert(socket: Socket<AnyNet>, owner: usize) -> io::Result<i32> {
    let open = Arc::new(Open { socket, owner, descriptors: AtomicUsize::new(0) });
    // A socket that finds no room is dropped out here: that may linger.
    let descriptor = write(|table| table.insert(Arc::clone(&open)))?;
    if !stacks::is_there(owner) {
        // Too late for the stack to have closed this one.
        close_all(owner);
        return Err(errno::of(libc::EBADF));
    }
    Ok(descriptor)
}

/// # Errors
/// `EMFILE` if no descriptor is left.
pub(super) fn check_room() -> io::Result<()> {
    TABLE.read().unwrap_or_else(PoisonError::into_inner).check_room()
}

/// What `descriptor` stands for; it may be closed meanwhile, and calls give `EBADF` then.
///
/// # Errors
/// `EBADF`.
pub(super) fn find(descriptor: i32) -> io::Result<Arc<Open>> {
    TABLE.read().unwrap_or_else(PoisonError::into_inner).get(descriptor).cloned()
}

/// `dup`.
///
/// # Errors
/// `EBADF`, `EMFILE`.
pub(super) fn duplicate(descriptor: i32) -> io::Result<i32> {
    write(|table| {
        let open = Arc::clone(table.get(descriptor)?);
        table.insert(open)
    })
}

/// `close`.
///
/// # Errors
/// `EBADF`.
pub(super) fn close(descriptor: i32) -> io::Result<()> {
    let index = index(descriptor).ok_or_else(|| errno::of(libc::EBADF))?;
    // The end may linger: not while the table is locked.
    let last = write(|table| table.remove(index))?;
    if let Some(open) = last {
        open.socket.end();
    }
    Ok(())
}

/// Closes every descriptor of `owner`'s, without lingering.
pub(super) fn close_all(owner: usize) {
    let ended: Vec<_> = write(|table| {
        let is_owned = |slot: &Option<Arc<Open>>| slot.as_ref().is_some_and(|o| o.owner == owner);
        let owned = (0..table.slots.len()).filter(|index| is_owned(&table.slots[*index]));
        let owned: Vec<_> = owned.collect();
        owned.into_iter().filter_map(|index| table.remove(index).ok().flatten()).collect()
    });
    for open in ended {
        open.socket.end_in_background();
    }
}

fn write<T>(act: impl FnOnce(&mut Table) -> T) -> T {
    act(&mut TABLE.write().unwrap_or_else(PoisonError::into_inner))
}
