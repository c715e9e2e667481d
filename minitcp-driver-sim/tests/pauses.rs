//! Hosts that sleep, and strangers: what the network does with them.

use core::net::{IpAddr, Ipv4Addr};
use core::time::Duration;
use std::sync::{Arc, Mutex};

use minitcp_driver_sim::{First, Journal, Link, Network, NodeId, Pause, Recorder, Transfer};
use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::icmp::{self, Icmp};
use minitcp_proto::wire::ip::{self, IpHeader, header_len, protocol};
use minitcp_proto::{Config, Instant, Limits};

const PLENTY: Pause = Pause { room: 1_000, first: First::Packets, clock_stands: false };

fn v4(last: u8) -> Ipv4Addr {
    Ipv4Addr::new(10, 0, 0, last)
}

/// Two hosts that give nobody up for a day, ten milliseconds apart.
fn pair() -> (Network, NodeId, NodeId) {
    Network::pair(1, Link::new().delay(Duration::from_millis(10)))
}

#[test]
fn a_host_that_sleeps_does_nothing_until_it_wakes() {
    let (mut network, client, server) = pair();
    let running = Transfer::new(1 << 20).start(&mut network, client, server);
    network.run_until(Instant::from_millis(50));
    let wakes_at = Instant::from_secs(100);
    network.pause(server, wakes_at, PLENTY);
    let (segments, received) =
        (network.stack(server).stats().segments_in, running.outcome().received);
    network.run_until(Instant::from_millis(99_999));
    assert!(network.is_paused(server) && received > 0);
    assert_eq!(network.stack(server).stats().segments_in, segments);
    assert_eq!(running.outcome().received, received);
    network.run_until(wakes_at);
    assert!(!network.is_paused(server));
    assert!(network.stack(server).stats().segments_in > segments, "what waited was handed over");
    assert!(running.outcome().received > received);
    network.run_until(Instant::from_secs(1_000));
    assert!(running.outcome().is_success(), "{}", running.outcome());
    assert_eq!(network.stats().overrun, 0);
}

#[test]
fn what_has_no_room_in_the_device_is_lost() {
    for room in [0, 3] {
        let (mut network, client, server) = pair();
        network.pause(server, Instant::from_secs(10), Pause { room, ..PLENTY });
        let stack = network.stack_mut(client);
        let socket = stack.udp_bind((v4(1), 5_000).into()).unwrap();
        for number in 0..5 {
            stack.udp_send(socket, (v4(2), 7).into(), &[number]).unwrap();
        }
        while network.step() {}
        assert_eq!(network.stats().overrun, 5 - u64::try_from(room).unwrap());
        // Nobody is bound there: each is answered.
        let refused = network.stack(server).stats().drops().map(|(_, count)| count).sum::<u64>();
        assert_eq!(refused, u64::try_from(room).unwrap());
        assert_eq!(network.in_flight(), 0);
    }
}

#[test]
fn a_clock_goes_on_or_stands_still() {
    for (clock_stands, behind, expected) in [(false, 0, [90, 190, 290]), (true, 90, [0, 100, 200])]
    {
        let (mut network, client, server) = pair();
        network.pause(client, Instant::from_secs(90), Pause { clock_stands, ..PLENTY });
        let times = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&times);
        network.on_event(client, move |_, now| {
            // Once for the packets, and once for the timers.
            heard.lock().unwrap().push(now);
            heard.lock().unwrap().dedup();
            (now < Instant::from_secs(200)).then(|| now + Duration::from_secs(100))
        });
        network.run_until(Instant::from_secs(89));
        assert!(times.lock().unwrap().is_empty());
        assert_eq!(network.time_of(server), network.now());
        while network.step() {}
        assert_eq!(*times.lock().unwrap(), expected.map(Instant::from_secs));
        assert_eq!(network.now().since(network.time_of(client)), Duration::from_secs(behind));
    }
}

/// A host sleeps in the middle of a transfer, on a path that loses something.
fn pause_in_a_transfer(pause: Pause) -> Network<Recorder> {
    let mut network = Network::recorded(7);
    let limits = Limits { connections: 4, buffer_bytes: 1 << 20, ..Limits::default() };
    let [client, server] = [1, 2].map(|last| {
        let mut config = Config::new(v4(last), 24);
        config.user_timeout = Duration::from_secs(86_400);
        network.recorded_host(config, &limits)
    });
    network.link(client, server, Link::dsl().loss(0.02));
    let running = Transfer::new(300_000).start(&mut network, client, server);
    for (node, from, until) in [(client, 60, 5_000), (server, 5_100, 5_400)] {
        network.run_until(Instant::from_millis(from));
        network.pause(node, Instant::from_millis(until), pause);
    }
    network.run_until(Instant::from_secs(3_600));
    assert!(running.outcome().is_success(), "{pause:?}: {}", running.outcome());
    network
}

#[test]
fn every_order_of_calls_is_made_and_happens_again() {
    let mut hashes = Vec::new();
    for first in First::ALL {
        for (room, clock_stands) in [(0, false), (5, false), (1_000, false), (1_000, true)] {
            let network = pause_in_a_transfer(Pause { room, first, clock_stands });
            let text = network.journal().unwrap();
            assert!(text.contains(&format!(" {room} {} {clock_stands}\n", first.name())), "{text}");
            let replay = Journal::read(&text).unwrap().replay(|_| {}).unwrap();
            assert_eq!((replay.packet_hash, replay.is_same()), (network.packet_hash(), true));
            hashes.push(network.packet_hash());
        }
    }
    let all = hashes.len();
    hashes.sort_unstable();
    hashes.dedup();
    // Where nothing waits, two orders may come to the same.
    assert!(hashes.len() > all / 2, "{} of {all} differ", hashes.len());
}

/// An echo request from 10.0.0.66 to 10.0.0.1 with this identifier.
fn ping(identifier: u8) -> Vec<u8> {
    let (src, dst) = (IpAddr::V4(v4(66)), IpAddr::V4(v4(1)));
    let mut packet = vec![0; header_len(src) + 8];
    let header = IpHeader {
        src,
        dst,
        protocol: protocol::ICMP,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len: 8,
    };
    let at = header.emit(&mut packet).unwrap();
    let message = &mut packet[at..];
    icmp::emit_header(icmp::v4::ECHO_REQUEST, 0, [identifier, 0, 0, 1], message).unwrap();
    let sum = Sum::of(message).finish().to_be_bytes();
    message[icmp::CHECKSUM_OFFSET..icmp::CHECKSUM_OFFSET + 2].copy_from_slice(&sum);
    packet
}

#[test]
fn a_stranger_sends_what_it_likes_sees_what_comes_and_happens_again() {
    let mut network = Network::recorded(1);
    let host = network.recorded_host(Config::new(v4(1), 24), &Limits::default());
    let seen = Arc::new(Mutex::new(Vec::new()));
    let told = Arc::clone(&seen);
    let mut sent = 0;
    let stranger = network.stranger(&[v4(66).into()], move |now, packet, outbox| {
        match packet {
            Some(bytes) => {
                let packet = ip::parse(bytes).unwrap();
                let is_reply = matches!(icmp::parse_v4(packet.payload), Ok(Icmp::EchoReply { .. }));
                told.lock().unwrap().push((now.as_micros(), packet.payload[4], is_reply));
            }
            None => {
                sent += 1;
                outbox.send(&ping(sent));
                outbox.send(&[0xff; 3]);
                outbox.send(&[]);
            }
        }
        (sent < 3).then(|| Instant::from_millis(100 * u64::from(sent)))
    });
    network.link(stranger, host, Link::new().delay(Duration::from_millis(5)));
    while network.step() {}
    let expected = [(10_000, 1, true), (110_000, 2, true), (210_000, 3, true)];
    assert_eq!(*seen.lock().unwrap(), expected);
    assert_eq!(network.stats().packets, 12);

    let text = network.journal().unwrap();
    let replay = Journal::read(&text).unwrap().replay(|_| {}).unwrap();
    assert_eq!((replay.packet_hash, replay.is_same()), (network.packet_hash(), true));
    assert_eq!(seen.lock().unwrap().len(), 3, "nobody acts in a replay");
}
