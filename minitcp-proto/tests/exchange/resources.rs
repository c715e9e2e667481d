//! Every bound is reached and survived, and everything that was lent comes back.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{
    BindError, ConnectError, Drop, Instant, Limits, Memory, Readiness, RxMeta, Seed, SocketId,
    Stack, SynCookies,
};

use crate::common::{Peer, config, config_with, limits, pattern, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

/// R4987-1. Without cookies who is evicted has to call again.
#[test]
fn half_open_slots_go_to_the_newest() {
    let config = config_with(|c| c.syn_cookies = SynCookies::Never);
    let mut p = Peer::new(config, &Limits { half_open: 4, ..limits() });
    p.listen(100);
    for port in 5000..5010 {
        p.remote.set_port(port);
        p.send(seg().syn());
        p.expect_syn(SYN_ACK);
    }
    assert_eq!((p.stack.usage().half_open, p.dropped(Drop::HalfOpenEvicted)), (4, 6));
    // The newest can complete; the evicted is not answered, as it did nothing wrong.
    p.send(seg().ack(1));
    p.expect_nothing();
    assert_eq!(p.stack.usage().connections, 1);
    p.remote.set_port(5000);
    p.send(seg().ack(1));
    p.expect_nothing();
    p.run(180_000); // RST once the eviction is long ago.
    p.take_raw_all();
    p.send(seg().ack(1));
    assert_eq!(p.take_all().len(), 1);
}

#[test]
fn without_half_open_slots_nobody_gets_in() {
    let mut p = Peer::new(config(), &Limits { half_open: 0, ..limits() });
    p.listen(1);
    p.send(seg().syn());
    assert_eq!(p.dropped(Drop::NoSlot), 1);
    p.expect_empty();
}

#[test]
fn a_handshake_waits_for_a_connection_slot() {
    let mut p = Peer::new(config(), &Limits { connections: 1, ..limits() });
    p.listen(4);
    p.shake(seg());
    p.remote.set_port(5001);
    p.send(seg().syn());
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    assert_eq!((p.dropped(Drop::NoSlot), p.stack.usage().half_open), (1, 1));
    let other = "10.0.0.1:80".parse().unwrap();
    assert_eq!(p.stack.connect(p.now, other, None), Err(ConnectError::NoSlot));
    p.abort();
    p.take_raw();
    p.at(1_000);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1));
    assert_eq!((p.stack.usage().half_open, p.stack.usage().connections), (0, 1));
}

#[test]
fn listener_slots() {
    let mut p = Peer::new(config(), &Limits { listeners: 1, ..limits() });
    p.listen(1);
    let other = "10.0.0.2:81".parse().unwrap();
    assert_eq!(p.stack.listen(p.local, 1), Err(BindError::InUse));
    assert_eq!(p.stack.listen(other, 1), Err(BindError::NoSlot));
    assert_eq!(p.stack.listen("10.0.0.9:80".parse().unwrap(), 1), Err(BindError::NotOurs));
    p.stack.close_listener(p.listener.unwrap());
    assert_eq!(p.stack.listener_addr(p.listener.unwrap()), None);
    let again = p.stack.listen("10.0.0.2:0".parse().unwrap(), 1).unwrap();
    assert!(p.stack.listener_addr(again).unwrap().port() >= 49_152);
}

#[test]
fn time_wait_without_slots_forgets_at_once() {
    let mut p = Peer::new(config(), &Limits { time_wait: 0, ..limits() });
    p.listen(1);
    p.shake(seg());
    p.close();
    p.expect(seg().fin().ack(1));
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    p.expect_empty();
}

/// The pool runs dry under received data: dropped, counted, and taken when there is room again.
#[test]
fn an_exhausted_pool_drops_and_recovers() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 8192, ..limits() });
    p.listen(4);
    p.shake(seg().mss(1460));
    let mut at = 1;
    while p.dropped(Drop::NoBuffer) == 0 {
        p.send(seg().seq(at).ack(1).text(1024));
        at += 1024;
        p.run(40);
        p.take_all();
        assert!(at < 20_000);
    }
    let kept = at - 1024;
    assert!(kept > 4096, "half of the pool at least");
    p.expect_data(pattern(1, kept as usize - 1));
    p.take_all();
    p.send(seg().seq(kept).ack(1).text(1024));
    p.expect_data(pattern(kept as usize, 1024));
    p.run(40);
    p.take_all();
    assert_eq!(p.stack.usage().buffer_bytes, 0);
}

/// A sender that the pool refused hears when another connection gives memory back.
#[test]
fn a_short_send_is_followed_by_readiness() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 8192, ..limits() });
    p.listen(4);
    let mut greedy = Vec::new();
    loop {
        p.shake(seg().win(0).mss(1460));
        while p.stack.poll_event().is_some() {}
        if p.conn().send(b"hungry") == Ok(0) {
            break;
        }
        while let Ok(1..) = p.conn().send(&[7; 1000]) {}
        greedy.push((p.id.unwrap(), p.iss, p.remote.port()));
        p.remote.set_port(p.remote.port() + 1);
    }
    assert!(!greedy.is_empty());
    assert_eq!(p.stack.poll_event(), None);
    // The greedy ones go.
    let hungry = p.id.unwrap();
    for (id, iss, port) in greedy {
        p.stack.connection(id).unwrap().abort();
        (p.iss, _) = (iss, p.remote.set_port(port));
        p.pump();
        p.expect(seg().rst().seq(1).ack(1));
    }
    let event = p.stack.poll_event().expect("readiness follows a short count");
    assert_eq!(event.socket, SocketId::Connection(hungry));
    assert!(event.readiness.contains(Readiness::WRITABLE));
    assert_eq!(p.conn().send(b"hungry"), Ok(6));
    p.stack.connection(hungry).unwrap().abort();
    while p.stack.poll_transmit(p.now).is_some() {}
    assert_eq!(p.stack.usage().buffer_bytes, 0);
}

#[test]
fn a_short_send_by_its_own_bound_is_followed_by_readiness() {
    let mut p = Peer::accepted_with(config_with(|c| c.send_buffer = 3000), seg().mss(1460));
    while p.stack.poll_event().is_some() {}
    assert_eq!(p.conn().send(&pattern(1, 5000)), Ok(3000));
    p.pump();
    assert_eq!(p.take_all().len(), 2);
    assert_eq!(p.stack.poll_event(), None);
    p.send(seg().ack(1461));
    assert!(p.stack.poll_event().unwrap().readiness.contains(Readiness::WRITABLE));
    assert_eq!(p.conn().send_room(), 1460);
    p.take_all();
}

/// A stack with no memory at all still answers nothing wrong and never panics.
#[test]
fn limits_of_zero() {
    let nothing = Limits {
        connections: 0,
        half_open: 0,
        time_wait: 0,
        listeners: 0,
        udp_sockets: 0,
        datagrams: 0,
        assemblies: 0,
        models: 0,
        buffer_bytes: 0,
    };
    let mut stack = Stack::new(config(), Memory::allocate(&nothing), Seed::from_u64(1));
    let p = Peer::new(config(), &limits());
    for segment in [seg().syn(), seg().ack(1).data(b"x"), seg().rst()] {
        stack.handle_packet(Instant::ZERO, &p.packet(&segment), RxMeta::default());
        assert!(stack.poll_transmit(Instant::ZERO).is_none());
    }
    let address = "10.0.0.2:80".parse().unwrap();
    assert_eq!(stack.listen(address, 1), Err(BindError::NoSlot));
    assert_eq!(stack.udp_bind(address), Err(BindError::NoSlot));
    let remote = "10.0.0.1:80".parse().unwrap();
    assert_eq!(stack.connect(Instant::ZERO, remote, None), Err(ConnectError::NoSlot));
    assert_eq!((stack.poll_event(), stack.poll_timeout()), (None, None));
}

/// Many lives of every kind, one after the other: nothing is left over, and ids stay stale.
#[test]
fn nothing_leaks_over_many_lives() {
    let mut p = Peer::listening(config());
    let mut old = Vec::new();
    for life in 0..200_u16 {
        p.remote.set_port(5000 + life);
        p.irs = u32::from(life).wrapping_mul(50_000_000);
        p.shake(seg().mss(1460));
        p.write_text(1, 100);
        p.send(seg().seq(5).ack(1).data(b"early"));
        p.send(seg().ack(101).data(b"data"));
        match life % 5 {
            0 => p.abort(),
            1 => p.send(seg().rst().seq(10)),
            2 => {
                p.expect_drained();
                p.send(seg().fin().seq(10).ack(101));
                p.close();
                p.send(seg().seq(11).ack(102));
            }
            3 => {
                p.expect_drained();
                p.close();
                p.send(seg().seq(10).ack(102));
                p.send(seg().fin().seq(10).ack(102));
            }
            _ => p.close(), // Unread data: a reset.
        }
        p.take_all();
        if let Some(connection) = p.stack.connection(p.id.unwrap()) {
            connection.close();
        }
        old.push(p.id.unwrap());
        assert!(old.iter().all(|id| p.stack.connection(*id).is_none()));
        p.run(10);
        p.take_all();
    }
    while p.stack.poll_event().is_some() {}
    p.run(60_000);
    p.expect_empty();
    assert_eq!(p.stack.connection_ids().count(), 0);
}

impl Peer {
    fn expect_drained(&mut self) {
        self.expect_data(b"dataearly");
    }
}

/// A pool of 60 KiB has no block for a segment of 34 KiB: the peer is not told to send such.
#[test]
fn no_segment_is_asked_for_that_no_block_can_hold() {
    for (buffer_bytes, mss) in [(60 << 10, 32_768), (64 << 10, 33_960), (0, 536)] {
        let config = config_with(|config| config.mtu = 34_000);
        let mut p = Peer::new(config, &Limits { buffer_bytes, ..limits() });
        p.listen(4);
        p.send(seg().syn().win(64_000).mss(34_000));
        let syn = p.expect_syn(Flags::SYN | Flags::ACK);
        assert_eq!(syn.options.mss, Some(mss), "{buffer_bytes}");
    }
}
