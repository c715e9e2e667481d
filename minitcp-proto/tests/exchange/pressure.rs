//! Memory grows scarce: first less is offered, then newcomers wait; what was acknowledged stays.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{ConnectionId, Drop, Limits, RecvError};

use crate::common::{Pair, Peer, config, limits, pattern, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const SEGMENT: u32 = 1460;

fn peer(buffer_bytes: usize) -> Peer {
    let mut p = Peer::new(config(), &Limits { buffer_bytes, connections: 64, ..limits() });
    p.listen(64);
    p
}

/// Sends `segments` full segments to the connection that was opened last, and returns the window
/// that the last acknowledgment offers. The right edge must not move left meanwhile.
fn fill(p: &mut Peer, segments: u32) -> u32 {
    let (mut edge, mut window) = (0, 0);
    for number in 0..segments {
        p.send(seg().seq(1 + i64::from(number * SEGMENT)).ack(1).text(SEGMENT as usize));
        p.run(40);
        for answer in p.take_all() {
            window = u32::from(answer.window.unwrap());
            let now = answer.ack.unwrap() + i64::from(window);
            assert!(now >= edge, "withdrawn from {edge} to {now}");
            edge = now;
        }
    }
    window
}

#[test]
fn less_is_offered_before_memory_is_gone() {
    let mut p = peer(256 << 10);
    let mut crowd = Vec::new();
    for port in 5000..5003 {
        p.remote.set_port(port);
        p.shake(seg().mss(1460));
        crowd.push((port, p.id));
        // Of 64 KiB blocks that are held anyway, all is offered.
        assert_eq!(fill(&mut p, 40), 65_535 - 40 * SEGMENT);
    }
    assert_eq!(p.stack.usage().buffer_bytes, 192 << 10);
    // 64 KiB are left: a quarter of that.
    p.remote.set_port(5003);
    p.send(seg().syn().mss(1460));
    assert_eq!(p.expect_syn(SYN_ACK).window.unwrap(), 16 << 10);
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    // And now 48.
    assert_eq!(fill(&mut p, 10), 12 << 10);
    // Two of the others go: everything again, with the next acknowledgment.
    let newcomer = p.id;
    for (port, id) in &crowd[1..] {
        p.remote.set_port(*port);
        p.id = *id;
        p.abort();
        p.take_raw_all();
    }
    p.remote.set_port(5003);
    p.id = newcomer;
    p.send(seg().seq(1 + i64::from(10 * SEGMENT)).ack(1).text(2 * SEGMENT as usize));
    p.run(40);
    let window = p.take_all().last().expect("an acknowledgment").window.unwrap();
    assert_eq!(u32::from(window), 65_535 - 12 * SEGMENT);
}

/// Two segments are always offered: nobody waits for a window update that memory owes.
#[test]
fn two_segments_are_always_offered() {
    let mut p = peer(16 << 10);
    let mut least = u32::MAX;
    for port in 5000..5008 {
        p.remote.set_port(port);
        p.send(seg().syn().mss(1460));
        if p.dropped(Drop::NoMemory) > 0 {
            break;
        }
        least = least.min(u32::from(p.expect_syn(SYN_ACK).window.unwrap()));
        p.send(seg().ack(1));
        p.id = p.stack.accept(p.listener.unwrap());
        least = least.min(fill(&mut p, 1));
    }
    assert_eq!(least, 2 * SEGMENT);
}

#[test]
fn newcomers_wait_when_nearly_nothing_is_left() {
    const POOL: usize = 64 << 10;
    let mut p = peer(POOL);
    let mut port = 5000;
    let mut ids = Vec::new();
    while p.stack.usage().buffer_bytes <= POOL - POOL / 16 {
        p.remote.set_port(port);
        p.shake(seg().mss(1460));
        fill(&mut p, 4);
        ids.push(p.id.unwrap());
        port += 1;
        assert!(port < 5060, "{:?}", p.stack.usage());
    }
    let connections = p.stack.usage().connections;
    p.remote.set_port(port);
    p.send(seg().syn().mss(1460));
    p.expect_nothing();
    assert_eq!((p.dropped(Drop::NoMemory), p.stack.usage().half_open), (1, 0));
    // Those who are in are served: read, and there is room for others.
    let mut out = [0; 4096];
    while let Ok(1..) = p.stack.connection(ids[0]).unwrap().recv(&mut out) {}
    p.take_raw_all();
    p.shake(seg().mss(1460));
    assert_eq!(p.stack.usage().connections, connections + 1);
}

/// What one end of each connection has sent and the other has read.
struct Talk {
    client: ConnectionId,
    server: ConnectionId,
    sent: usize,
    read: usize,
}

impl Talk {
    fn send(&mut self, pair: &mut Pair) {
        let octets = pattern(self.sent, 8192);
        self.sent += pair.client.connection(self.client).unwrap().send(&octets).unwrap();
    }

    fn acknowledged(&self, pair: &mut Pair) -> usize {
        self.sent - pair.client.connection(self.client).unwrap().unacknowledged()
    }

    /// Reads at most `count` octets, which must be the ones that were sent.
    fn read(&mut self, pair: &mut Pair, count: usize) {
        let mut out = vec![0; count];
        match pair.server.connection(self.server).unwrap().recv(&mut out) {
            Ok(len) => {
                assert!(out[..len] == pattern(self.read, len), "other octets at {}", self.read);
                self.read += len;
            }
            Err(RecvError::WouldBlock) => {}
            Err(RecvError::Closed) => panic!("closed"),
        }
    }
}

/// Twelve senders, a reader that cannot keep up, a sixth of the memory that all windows ask for.
#[test]
fn what_was_acknowledged_is_never_lost() {
    const POOL: usize = 128 << 10;
    let small = Limits { buffer_bytes: POOL, ..limits() };
    let mut pair = Pair::with(|config| config.receive_buffer = 64 << 10, &small, 5);
    pair.client = Pair::with(|_| {}, &limits(), 5).client;
    let remote = "10.0.0.2:80".parse().unwrap();
    let listener = pair.server.listen(remote, 16).unwrap();
    let mut talks: Vec<Talk> = Vec::new();
    for _ in 0..12 {
        let client = pair.client.connect(pair.now, remote, None).unwrap();
        pair.run_for(Duration::from_millis(20));
        let server = pair.server.accept(listener).expect("there is memory yet");
        talks.push(Talk { client, server, sent: 0, read: 0 });
    }
    let mut fullest = 0;
    for turn in 0..2000_usize {
        for talk in &mut talks {
            talk.send(&mut pair);
        }
        pair.run_for(Duration::from_millis(10));
        talks[turn % 12].read(&mut pair, 4096);
        fullest = fullest.max(pair.server.usage().buffer_bytes);
    }
    let (stats, passed) = (pair.server.stats().clone(), talks.iter().map(|talk| talk.read).min());
    assert!(fullest > POOL - POOL / 8 && stats.dropped(Drop::NoBuffer) > 0, "{fullest}");
    assert!(passed > Some(100_000), "somebody starves: {passed:?}");
    // Nobody sends any more: what was acknowledged by now is there to be read, all of it.
    let acknowledged: Vec<usize> = talks.iter().map(|talk| talk.acknowledged(&mut pair)).collect();
    for talk in &talks {
        pair.client.connection(talk.client).unwrap().abort();
    }
    pair.client = Pair::with(|_| {}, &limits(), 5).client;
    for (talk, acknowledged) in talks.iter_mut().zip(acknowledged) {
        while pair.server.connection(talk.server).unwrap().peek().is_ok() {
            talk.read(&mut pair, 4096);
        }
        assert!(talk.read >= acknowledged, "{} of {acknowledged} octets", talk.read);
    }
}
