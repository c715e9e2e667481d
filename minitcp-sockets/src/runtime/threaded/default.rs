//! The net of sockets that name none, so that programs written against `std::net` need not.

use std::cell::RefCell;
use std::io;
use std::marker::PhantomData;
use std::sync::OnceLock;

use super::ThreadedNet;
use crate::errno;

/// While it lives, sockets that its thread makes without naming a net use the one that was
/// [entered](ThreadedNet::enter).
#[derive(Debug)]
#[must_use = "sockets use the net only while this lives"]
pub struct Entered {
    /// What held before.
    outer: Option<ThreadedNet>,
    /// It belongs to its thread.
    _not_send: PhantomData<*const ()>,
}

impl ThreadedNet {
    /// Makes this the one that sockets of this process use that are made without naming one, as
    /// with [`TcpStream::connect`](crate::TcpStream::connect). `false` if there is one already; it
    /// stays then. The crate's [`net`](crate::net) shows a program that needs no more.
    pub fn install(self) -> bool {
        INSTALLED.set(self).is_ok()
    }

    /// Makes this the one that sockets of this thread use that are made without naming one, also
    /// where another is [installed](Self::install), until the result is dropped. A process with
    /// several nets has one thread, or one scope, for each.
    pub fn enter(&self) -> Entered {
        let outer = ENTERED.replace(Some(self.clone()));
        Entered { outer, _not_send: PhantomData }
    }

    /// The one that this thread has [entered](Self::enter), else the one that was
    /// [installed](Self::install).
    ///
    /// # Errors
    /// `ENETDOWN` if there is none.
    pub fn installed() -> io::Result<Self> {
        let entered = ENTERED.with_borrow(Clone::clone);
        let net = entered.or_else(|| INSTALLED.get().cloned());
        net.ok_or_else(|| errno::of(libc::ENETDOWN))
    }
}

impl Drop for Entered {
    fn drop(&mut self) {
        // Dropped after the swap: the last handle of a net waits for its thread.
        let inner = ENTERED.replace(self.outer.take());
        drop(inner);
    }
}

static INSTALLED: OnceLock<ThreadedNet> = OnceLock::new();

thread_local! {
    static ENTERED: RefCell<Option<ThreadedNet>> = const { RefCell::new(None) };
}
