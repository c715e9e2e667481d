//! Does a driver allocate after it was opened?

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;

use minitcp_driver_tun::{TunDriver, TunOffloads};
use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Offload, Seed, Stack, UnboundUdp};

/// Less than the echoes to one host before a pause, and enough for the capture to be written out.
const ROUNDS: u32 = 900;

#[test]
fn turns_allocate_nothing() {
    for offloads in [TunOffloads::empty(), TunOffloads::all()] {
        let (near, far) = UnixDatagram::pair().unwrap();
        // An answer that is missing is an error instead of a wait.
        far.set_nonblocking(true).unwrap();
        let mut driver = TunDriver::from_fd_with(near.into(), 1500, offloads).unwrap();
        driver.capture_to(io::sink());
        let host = |last, offload| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.unbound_udp = UnboundUdp::Echo;
            config.offload = offload;
            Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1))
        };
        let (mut stack, mut peer) = (host(2, driver.offload()), host(1, Offload::empty()));
        let socket = peer.udp_bind("10.0.0.1:5005".parse().unwrap()).unwrap();
        peer.udp_send(socket, "10.0.0.2:7".parse().unwrap(), b"hello").unwrap();
        let mut packet = [0; 1500];
        // The header of a packet that is whole.
        let start = if offloads.is_empty() { 0 } else { 10 };
        let len = peer.poll_transmit(Instant::ZERO).unwrap().copy_to(&mut packet[start..]).unwrap();

        let before = ALLOCATIONS.get();
        for _ in 0..ROUNDS {
            far.send(&packet[..start + len]).unwrap();
            let limit = driver.now() + Duration::from_secs(10);
            driver.turn(&mut stack, Some(limit)).unwrap();
            let mut answer = [0; 1500];
            assert_eq!(far.recv(&mut answer).unwrap(), start + len);
            assert_eq!(answer[0] == 1, start > 0, "the checksum is left to the device");
            let soon = driver.now() + Duration::from_micros(1);
            driver.turn(&mut stack, Some(soon)).unwrap();
        }
        assert_eq!(ALLOCATIONS.get() - before, 0);
        drop(Box::new(1));
        assert_eq!(ALLOCATIONS.get() - before, 1, "allocations are counted");
    }
}

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: passes everything on to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATIONS.set(ALLOCATIONS.get() + 1);
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract, and `alloc` used the same allocator.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;
