//! Half of the pool lent to senders whose peers are slow, and one honest transfer over a lossy
//! path beside them.

use std::cell::Cell;
use std::rc::Rc;
use std::time::Duration;

use minitcp_proto::{Instant, Limits};

use crate::common::{Pair, limits, pattern};

/// The time that 2 MB take to the server over 40 ms with one packet in 50 lost, while the server's
/// applications have `lent` octets queued towards a peer that does not read.
fn time_beside(lent: usize) -> Duration {
    let limits = Limits { buffer_bytes: 2 << 20, ..limits() };
    let mut pair = Pair::with(|_| {}, &limits, 20);
    let (listener, client, server) = pair.open();
    let mut slow = vec![];
    for _ in 0..lent.div_ceil(256 << 10) {
        pair.client.connect(pair.now, "10.0.0.2:80".parse().unwrap(), None).unwrap();
        pair.run_for(Duration::from_millis(500));
        let id = pair.server.accept(listener).unwrap();
        let data = pattern(0, 256 << 10);
        pair.server.connection(id).unwrap().send(&data).unwrap();
        slow.push(id);
    }
    pair.run_for(Duration::from_secs(2));
    println!("{:?}", pair.server.usage());
    let random = Rc::new(Cell::new(1_u64));
    pair.link = Box::new(move |_| {
        let mut x = random.get();
        x ^= x << 13;
        x ^= x >> 7;
        x ^= x << 17;
        random.set(x);
        if x.is_multiple_of(50) { vec![] } else { vec![Duration::ZERO] }
    });
    let (start, data, mut out) = (pair.now, pattern(0, 2_000_000), vec![0; 1 << 20]);
    let (mut sent, mut read) = (0, 0);
    while read < data.len() && pair.now < start + Duration::from_secs(600) {
        if sent < data.len() {
            sent += pair.client.connection(client).unwrap().send(&data[sent..]).unwrap();
        }
        while let Ok(count) = pair.server.connection(server).unwrap().recv(&mut out) {
            read += count;
        }
        if !pair.step(Instant::MAX) {
            break;
        }
    }
    pair.now.since(start)
}

/// A stranger who does not read what he asked for must not slow others down.
#[test]
fn a_transfer_with_losses_goes_on_beside_slow_readers() {
    let alone = time_beside(0);
    let beside = time_beside(5 << 18);
    assert!(beside < alone * 5 / 4, "{alone:?} alone, {beside:?} beside");
}
