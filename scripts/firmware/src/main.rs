//! The two hosts of `examples/bare.rs` as firmware: their memory is in `.bss`, and nothing else is
//! needed but an entry and a panic handler.

#![no_std]
#![no_main]

#[path = "../../../minitcp-proto/examples/bare/echo.rs"]
mod echo;

use core::hint::{black_box, spin_loop};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicUsize, Ordering};
use cortex_m_rt::entry;
use echo::Memory;

/// Where a debugger finds how many octets came back.
static ECHOED: AtomicUsize = AtomicUsize::new(0);

#[entry]
fn main() -> ! {
    // The attribute makes these `&'static mut`, as nothing else can come here.
    static mut SERVER: Memory = Memory::new();
    static mut CLIENT: Memory = Memory::new();
    let echoed = echo::exchange(SERVER, CLIENT).unwrap_or(0);
    ECHOED.store(echoed, Ordering::Relaxed);
    loop {
        spin_loop();
    }
}

/// Keeps the place, so that `scripts/firmware.sh` finds in the image who can come here.
#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    loop {
        black_box(info.location());
    }
}
