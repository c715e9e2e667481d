//! Does a driver allocate after it was opened?

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::io;
use std::os::unix::net::UnixDatagram;

use minitcp_driver_tun::TunDriver;
use minitcp_proto::{Config, Driver, Instant, Limits, Memory, Seed, Stack, UnboundUdp};

#[test]
fn turns_allocate_nothing() {
    let (near, far) = UnixDatagram::pair().unwrap();
    let mut driver = TunDriver::from_fd(near.into(), 1500).unwrap();
    driver.capture_to(io::sink());
    let host = |last| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.unbound_udp = UnboundUdp::Echo;
        Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1))
    };
    let (mut stack, mut peer) = (host(2), host(1));
    let socket = peer.udp_bind("10.0.0.1:5".parse().unwrap()).unwrap();
    peer.udp_send(socket, "10.0.0.2:7".parse().unwrap(), b"hello").unwrap();
    let mut packet = [0; 1500];
    let len = peer.poll_transmit(Instant::ZERO).unwrap().copy_to(&mut packet).unwrap();

    let before = ALLOCATIONS.get();
    for _ in 0..2000 {
        far.send(&packet[..len]).unwrap();
        driver.turn(&mut stack, None).unwrap();
        assert!(far.recv(&mut [0; 1500]).is_ok());
        let soon = driver.now() + std::time::Duration::from_micros(1);
        driver.turn(&mut stack, Some(soon)).unwrap();
    }
    assert_eq!(ALLOCATIONS.get() - before, 0);
    drop(Box::new(1));
    assert_eq!(ALLOCATIONS.get() - before, 1, "allocations are counted");
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
