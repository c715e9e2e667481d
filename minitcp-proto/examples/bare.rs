//! The core on bare memory: `no_std`, no allocator, everything in statics of a fixed size. What a
//! microcontroller, a kernel or a hypervisor would do; here the "network card" is an array, and
//! the host at its other end is a second stack. The same two hosts are an image for a Cortex-M4 in
//! `scripts/firmware`, which has what it cannot do without: an entry and a panic handler.

#![no_std]

extern crate std; // Only for this file; `echo.rs`, which does it all, is also firmware.

#[path = "bare/echo.rs"]
mod echo;

use echo::Memory;
use minitcp_proto::{Stack, StaticMemory};
use std::sync::Mutex;

/// In the program's `.bss`.
static SERVER: Mutex<Memory> = Mutex::new(StaticMemory::new());
static CLIENT: Mutex<Memory> = Mutex::new(StaticMemory::new());

fn main() {
    let (mut server, mut client) = (SERVER.lock().unwrap(), CLIENT.lock().unwrap());
    let received = echo::exchange(&mut server, &mut client).unwrap();
    std::println!(
        "echoed {received} octets; a stack with its memory takes {} octets",
        size_of::<Memory>() + size_of::<Stack<'_>>()
    );
}

#[test]
fn runs() {
    main();
}
