//! The C face, which `include/minitcp.h` declares and documents: descriptors, `errno` and the
//! layouts of Linux's structures over [`Socket`](crate::Socket) and its typed options. Here is no
//! behaviour of sockets, only its translation.
//!
//! ```text
//!   sys      the exported functions: results become -1 and errno
//!   message  those on several buffers
//!   memory   pointers become slices, texts and room for answers
//!   call     what each of them does, on safe types
//!   table    descriptors                 addr    layouts
//!   stacks   the process-wide net, and stacks without a device
//!   any      one `Runtime` for sockets of both
//! ```

mod addr;
mod any;
mod call;
mod memory;
mod message;
mod stacks;
#[allow(unsafe_code)]
mod sys;
mod table;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Runs one call of the C program's. No panic leaves it: there should be none, but unwinding into
/// C would be worse than `EIO`.
fn guarded<T>(call: impl FnOnce() -> io::Result<T>) -> Result<T, i32> {
    match catch_unwind(AssertUnwindSafe(call)) {
        Ok(Ok(value)) => Ok(value),
        Ok(Err(error)) => Err(error.raw_os_error().unwrap_or(libc::EIO)),
        Err(_) => Err(libc::EIO),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_becomes_eio() {
        assert_eq!(guarded::<i32>(|| panic!("on purpose")), Err(libc::EIO));
        assert_eq!(guarded(|| Ok(7)), Ok(7));
    }
}
