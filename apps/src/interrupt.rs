//! SIGINT and SIGTERM end a program in order: a flag is raised, and whoever waits is woken. The
//! second of them ends it at once, as if nobody had caught it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::iterator::Signals;
use signal_hook::low_level::emulate_default_handler;

/// Whether the program was asked to end.
#[derive(Clone, Debug, Default)]
pub struct Interrupt(Arc<AtomicBool>);

impl Interrupt {
    /// Catches SIGINT and SIGTERM from now on: the first raises the flag, then calls `wake` in a
    /// thread of its own.
    ///
    /// # Errors
    /// When signals cannot be caught.
    pub fn install(wake: impl Fn() + Send + 'static) -> io::Result<Self> {
        let interrupt = Self::default();
        let mut signals = Signals::new([SIGINT, SIGTERM])?;
        let raised = interrupt.clone();
        thread::Builder::new().name("signals".into()).spawn(move || {
            for signal in signals.forever() {
                if raised.is_raised() {
                    // It fails only for signals that nobody can catch.
                    let _ = emulate_default_handler(signal);
                }
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
