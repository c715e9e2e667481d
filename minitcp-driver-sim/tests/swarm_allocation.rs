//! Does anything allocate once a run is warm? Neither the stacks, which never may, nor the
//! network around them, whose buffers are used again.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

use minitcp_driver_sim::{Link, Network, Transfer};
use minitcp_proto::Config;

struct Counting;

thread_local! {
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

fn count() {
    // A thread that is ending may have no counter any more.
    let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
}

// SAFETY: everything is left to the system's allocator.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller keeps the contract.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller keeps the contract.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

#[test]
fn a_warm_transfer_does_not_allocate() {
    for loss in [0.0, 0.02] {
        let link = Link::dsl().loss(loss).duplicate(0.01).corrupt(0.01);
        let mut network = Network::new(3);
        let [client, server] = [1, 2].map(|last| {
            // Few packets are under way at a time, so that their buffers are soon all large.
            let mut config = Config::new([10, 0, 0, last], 24);
            config.receive_buffer = 32 << 10;
            network.host(config)
        });
        network.link(client, server, link);
        let running = Transfer::new(12 << 20).start(&mut network, client, server);
        let mut run_to = |octets: u64| {
            let limit = network.now() + core::time::Duration::from_secs(10_000);
            assert!(network.run_while(limit, |_| running.outcome().received < octets));
        };
        run_to(10 << 20);
        let before = ALLOCATIONS.get();
        assert!(before > 0, "nothing is counted");
        run_to(12 << 20);
        assert_eq!(ALLOCATIONS.get() - before, 0, "at a loss of {loss}");
    }
}
