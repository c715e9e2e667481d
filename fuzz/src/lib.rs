//! What the fuzzer may throw at MiniTCP, and what must hold whatever it throws.
//!
//! Each target is a function of some octets that panics when an invariant breaks:
//!
//! ```
//! minitcp_fuzz::segment(&[0x45, 0, 0, 20]);
//! minitcp_fuzz::stack(b"any octets at all");
//! minitcp_fuzz::pair(b"here they drive two hosts and the link between them");
//! ```
//!
//! `fuzz_targets/` hands them to libFuzzer, or without it repeats files. `tests/corpus.rs` runs
//! every seed and every past finding through them as a plain test.

mod pair;
mod script;
mod segment;
mod stack;

pub use pair::pair;
pub use script::script;
pub use segment::segment;
pub use stack::stack;

/// Hands the files that the command line names to `target`, and says what each one did.
///
/// # Errors
/// When a file cannot be read.
pub fn repeat<R: core::fmt::Debug>(target: fn(&[u8]) -> R) -> std::io::Result<()> {
    for name in std::env::args_os().skip(1) {
        let octets = std::fs::read(&name)?;
        println!("{}: {} octets: {:?}", name.display(), octets.len(), target(&octets));
    }
    Ok(())
}
