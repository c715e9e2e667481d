//! SIGINT and SIGTERM end a program in order: a flag is raised, and whoever waits is woken.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;

/// Whether the program was asked to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on: each raises the flag, then calls `wake` in a
    /// thread of its own.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub fn install(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let raised = interrupt.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for _ in signals.forever() {
                raised.raise();
                wake();
            }
        })?;
        Ok(interrupt)
    }

    /// As a signal does, but wakes nobody.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// The program was asked to end.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}
