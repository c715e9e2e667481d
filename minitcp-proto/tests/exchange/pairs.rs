//! Two stacks on a link with delay, loss, repetition and reordering, in virtual time.

use std::time::Duration;

use minitcp_proto::{
    CloseReason, Config, ConnectionId, Instant, Limits, Memory, RecvError, RxMeta, Seed, Stack,
    State, Usage,
};

use crate::common::{Pair, limits, pattern};

/// One direction of a transfer, pumped by the application whenever anything happens.
struct Transfer {
    data: Vec<u8>,
    sent: usize,
    got: Vec<u8>,
    ended: bool,
}

impl Transfer {
    fn new(start: usize, len: usize) -> Self {
        Self { data: pattern(start, len), sent: 0, got: vec![], ended: false }
    }

    fn send(&mut self, stack: &mut Stack<'static>, id: ConnectionId) {
        let Some(mut connection) = stack.connection(id) else { return };
        if self.sent < self.data.len() {
            self.sent += connection.send(&self.data[self.sent..]).unwrap();
            if self.sent == self.data.len() {
                connection.shutdown();
            }
        }
    }

    fn recv(&mut self, stack: &mut Stack<'static>, id: ConnectionId) {
        let Some(mut connection) = stack.connection(id) else { return };
        let mut out = [0; 5000];
        loop {
            match connection.recv(&mut out) {
                Ok(0) => break self.ended = true,
                Ok(len) => self.got.extend_from_slice(&out[..len]),
                Err(RecvError::WouldBlock) => break,
                Err(RecvError::Closed) => panic!("{:?}", connection.close_reason()),
            }
        }
    }
}

/// Both directions at once, then an orderly end; how long it took in virtual time.
fn transfer(pair: &mut Pair, len: usize) -> Duration {
    let (listener, client, server) = pair.open();
    let start = pair.now;
    let (mut up, mut down) = (Transfer::new(1, len), Transfer::new(9, len));
    let mut steps = 0;
    while !(up.ended && down.ended) {
        up.send(&mut pair.client, client);
        down.send(&mut pair.server, server);
        let until = pair.now + Duration::from_secs(100);
        assert!(pair.step(until), "stalled at {}", pair.now);
        up.recv(&mut pair.server, server);
        down.recv(&mut pair.client, client);
        steps += 1;
        assert!(steps < 2_000_000, "livelock");
    }
    let took = pair.now - start;
    assert!(up.got == up.data && down.got == down.data, "not what was sent");
    pair.client.connection(client).unwrap().close();
    pair.server.connection(server).unwrap().close();
    pair.run_for(Duration::from_secs(300));
    pair.server.close_listener(listener);
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.client.usage(), Usage::default());
    assert_eq!(pair.server.usage(), Usage::default());
    took
}

/// MUST-2: each packet is verified on the way. R9293-36, both ways at once.
#[test]
fn a_clean_link() {
    let mut pair = Pair::new(10);
    let took = transfer(&mut pair, 1_000_000);
    assert!(took < Duration::from_secs(1), "{took:?}");
    let retransmitted = pair.client.stats().retransmitted_segments;
    assert_eq!(retransmitted + pair.server.stats().retransmitted_segments, 0);
}

#[test]
fn every_kind_of_trouble() {
    for (name, period, trouble) in [
        ("loss", 20, vec![]),
        ("heavy loss", 4, vec![]),
        ("repetition", 5, vec![0, 0, 3]),
        ("reordering", 7, vec![15]),
        ("far reordering", 30, vec![400]),
    ] {
        for seed in 0..5_u64 {
            let mut pair = Pair::new(10);
            let trouble: Vec<_> = trouble.iter().map(|ms| Duration::from_millis(*ms)).collect();
            let mut random = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
            pair.link = Box::new(move |_| {
                random ^= random << 13;
                random ^= random >> 7;
                random ^= random << 17;
                let hit = random % period == 0;
                if hit { trouble.clone() } else { vec![Duration::ZERO] }
            });
            println!("{name}, seed {seed}"); // Shown on failure.
            let took = transfer(&mut pair, 60_000);
            assert!(took < Duration::from_secs(600), "{name} {seed}: {took:?}");
        }
    }
}

#[test]
fn tiny_buffers_still_move_everything() {
    for (receive, send) in [(1, 1), (1, 10_000), (100, 100), (1_000, 64), (1461, 1460), (3000, 9)] {
        let tweak = |config: &mut Config| {
            config.receive_buffer = receive;
            config.send_buffer = send;
        };
        let mut pair = Pair::with(tweak, &limits(), 1);
        transfer(&mut pair, 2_000);
    }
}

#[test]
fn small_pools_still_move_everything() {
    for buffer_bytes in [4 << 10, 16 << 10, 64 << 10] {
        let tight = Limits { buffer_bytes, ..limits() };
        let mut pair = Pair::with(|_| {}, &tight, 5);
        transfer(&mut pair, 100_000);
    }
}

/// Both call at once, on chosen ports: one connection (RFC 9293 MUST-10).
#[test]
fn simultaneous_open() {
    for (client_shift, server_shift) in [(65_535, 65_535), (65_535, 1 << 20), (1 << 20, 1 << 20)] {
        let mut pair = Pair::new(10);
        let tune = |buffer: u32, last: u8, seed| {
            let mut config = Config::new([10, 0, 0, last], 24);
            config.receive_buffer = buffer;
            let memory = Memory::allocate(&limits());
            Stack::new(config, memory, Seed::from_u64(seed))
        };
        (pair.client, pair.server) = (tune(client_shift, 1, 1), tune(server_shift, 2, 2));
        let (a, b) = ("10.0.0.1:7".parse().unwrap(), "10.0.0.2:8".parse().unwrap());
        let client = pair.client.connect(pair.now, b, Some(a)).unwrap();
        let server = pair.server.connect(pair.now, a, Some(b)).unwrap();
        pair.run_for(Duration::from_secs(5));
        let (mut c, mut s) = (Transfer::new(0, 300_000), Transfer::new(5, 300_000));
        while !(c.ended && s.ended) {
            c.send(&mut pair.client, client);
            s.send(&mut pair.server, server);
            assert!(pair.step(pair.now + Duration::from_secs(100)), "stalled");
            c.recv(&mut pair.server, server);
            s.recv(&mut pair.client, client);
        }
        assert!(c.got == c.data && s.got == s.data);
        assert!(pair.now < Instant::from_secs(10), "no stall: {}", pair.now);
    }
}

/// R9293-39.
#[test]
fn simultaneous_close() {
    let mut pair = Pair::new(10);
    let (_, client, server) = pair.open();
    pair.client.connection(client).unwrap().shutdown();
    pair.server.connection(server).unwrap().shutdown();
    pair.run_for(Duration::from_secs(1));
    assert_eq!(pair.client.connection(client).unwrap().state(), State::TimeWait);
    assert_eq!(pair.server.connection(server).unwrap().state(), State::TimeWait);
}

/// The same over IPv6.
/// MUST-2.
#[test]
fn over_ipv6() {
    let mut pair = Pair::with(
        |config| {
            let host = config.addresses().next().unwrap().to_string();
            let last = host.rsplit('.').next().unwrap().to_owned();
            config.add_address(format!("fd00::{last}").parse::<std::net::IpAddr>().unwrap(), 64);
        },
        &limits(),
        10,
    );
    let address = "[fd00::2]:80".parse().unwrap();
    let listener = pair.server.listen("[::]:80".parse().unwrap(), 8).unwrap();
    let client = pair.client.connect(pair.now, address, None).unwrap();
    pair.run_for(Duration::from_secs(1));
    let server = pair.server.accept(listener).unwrap();
    assert_eq!(pair.server.connection(server).unwrap().info().unwrap().mss, 1428);
    let (mut up, mut down) = (Transfer::new(3, 100_000), Transfer::new(4, 100_000));
    while !(up.ended && down.ended) {
        up.send(&mut pair.client, client);
        down.send(&mut pair.server, server);
        assert!(pair.step(pair.now + Duration::from_secs(100)), "stalled");
        up.recv(&mut pair.server, server);
        down.recv(&mut pair.client, client);
    }
    assert!(up.got == up.data && down.got == down.data);
}

#[test]
fn refused() {
    let mut pair = Pair::new(10);
    let remote = "10.0.0.2:81".parse().unwrap();
    let id = pair.client.connect(pair.now, remote, None).unwrap();
    pair.run_for(Duration::from_secs(1));
    let connection = pair.client.connection(id).unwrap();
    assert_eq!(connection.close_reason(), Some(CloseReason::Refused));
}

/// The other side vanishes in mid-transfer: after the user timeout nothing is left.
/// R9293-46.
#[test]
fn a_peer_that_vanishes() {
    let mut pair = Pair::new(10);
    let (_, client, server) = pair.open();
    pair.client.connection(client).unwrap().send(&[1; 100_000]).unwrap();
    pair.run_for(Duration::from_millis(30));
    pair.link = Box::new(|_| vec![]);
    pair.client.connection(client).unwrap().close();
    pair.run_for(Duration::from_secs(400));
    assert_eq!(pair.client.usage().connections, 0);
    let _ = server;
}

/// A reader that lets its buffer fill must not make a path without loss look lossy.
#[test]
fn a_slow_reader_costs_no_retransmission() {
    let host = |last: u8| {
        let mut config = Config::new([10, 0, 0, last], 24);
        config.mtu = 577; // No payload size is a multiple of the window's scale.
        Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(last.into()))
    };
    let (mut hosts, mut now) = ([host(1), host(2)], Instant::ZERO);
    let listener = hosts[1].listen("10.0.0.2:80".parse().unwrap(), 1).unwrap();
    let id = hosts[0].connect(now, "10.0.0.2:80".parse().unwrap(), None).unwrap();
    let (mut accepted, mut packet, mut out) = (None, [0; 600], vec![0; 64 << 10]);
    for _ in 0..100 {
        let _ = hosts[0].connection(id).unwrap().send(&[7; 100_000]);
        let mut idle = false;
        while !idle {
            idle = true;
            for (from, to) in [(0, 1), (1, 0)] {
                let [from, to] = hosts.get_disjoint_mut([from, to]).unwrap();
                // One packet at a time, so that each is acknowledged by itself.
                if let Some(transmit) = from.poll_transmit(now) {
                    let len = transmit.copy_to(&mut packet).unwrap();
                    to.handle_packet(now, &packet[..len], RxMeta::default());
                    idle = false;
                }
            }
        }
        now += Duration::from_millis(50);
        hosts.iter_mut().for_each(|host| host.handle_timeout(now));
        accepted = accepted.or_else(|| hosts[1].accept(listener));
        if let Some(id) = accepted {
            let _ = hosts[1].connection(id).unwrap().recv(&mut out);
        }
    }
    assert_eq!(hosts[0].stats().retransmitted_segments, 0, "{:?}", hosts[0].stats());
}
