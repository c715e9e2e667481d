//! Answers have limits (RFC 5961 §7, RFC 4443 §2.4 (f)), and each conversation its own: nobody
//! pays for what others provoke, and nobody can count what others were answered
//! (CVE-2016-5696, CVE-2020-25705).

use std::collections::BTreeSet;
use std::net::IpAddr;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{RxMeta, Seed, Stack};

use crate::common::{LOCAL, Peer, REMOTE, Seg, config, limits, packet, seg};
use crate::support::{
    Talk, answering, count_for, crowded, half_open, millis, open, secs, talk, time_wait, turn_to,
};

/// The shapes that a conversation can have. The next number of the peer is 1 in the first two, 2
/// in the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Shape {
    Connection,
    HalfOpen,
    TimeWait,
}

const SHAPES: [Shape; 3] = [Shape::Connection, Shape::HalfOpen, Shape::TimeWait];

impl Shape {
    fn make(self, p: &mut Peer, port: u16) -> Talk {
        match self {
            Self::Connection => open(p, port),
            Self::HalfOpen => half_open(p, port),
            Self::TimeWait => time_wait(p, port),
        }
    }

    /// RCV.NXT.
    fn next(self) -> i64 {
        if self == Self::TimeWait { 2 } else { 1 }
    }

    /// An empty segment before the window: a keep-alive, or what a stranger guesses.
    fn keepalive(self) -> Seg {
        seg().seq(self.next() - 1).ack(self.next())
    }
}

/// What provokes a challenge ACK on a connection, or another answer of which there is no end.
fn provocations(shape: Shape) -> Vec<(&'static str, Seg)> {
    let next = shape.next();
    let mut all = vec![
        ("an empty segment before the window", shape.keepalive()),
        ("an empty segment beyond the window", seg().seq(next + 100_000).ack(next)),
        ("a reset in the window", seg().seq(next + 100).rst()),
    ];
    if shape == Shape::Connection {
        all.extend([
            ("a SYN in the window", seg().syn().seq(100)),
            ("an ACK of what was never sent", seg().ack(100_000)),
            ("an ACK from long ago", seg().ack(-1_000_000)),
        ]);
    }
    all
}

fn host() -> Peer {
    let mut p = Peer::listening(config());
    p.run(10_000);
    p
}

// --- each has its own ---

/// A thousand of each on one conversation, and another of every shape is answered as if nothing
/// had happened.
#[test]
fn nobody_pays_for_what_others_provoke() {
    for attacked in SHAPES {
        for (what, provocation) in provocations(attacked) {
            for victim in SHAPES {
                for (asked, question) in provocations(victim) {
                    let mut p = host();
                    let quiet = victim.make(&mut p, 5000);
                    let loud = attacked.make(&mut p, 6000);
                    p.run(2000);
                    p.take_raw_all();
                    turn_to(&mut p, &loud);
                    for _ in 0..300 {
                        p.send(provocation.clone());
                    }
                    p.take_raw_all();
                    turn_to(&mut p, &quiet);
                    p.send(question.clone());
                    let answers = p.take_all().len();
                    assert_eq!(answers, 1, "{asked} ({victim:?}) after {what} ({attacked:?})");
                }
            }
        }
    }
}

/// How many answers an attacker sees on his own conversation within a second, after packets in the
/// name of a victim from `port`.
fn seen_by_the_attacker(own: Shape, victim: Shape, port: u16, spoofed: &Seg) -> usize {
    let mut p = host();
    let at = victim.make(&mut p, 5000);
    let own_talk = own.make(&mut p, 6666);
    p.run(2000);
    p.take_raw_all();
    turn_to(&mut p, &at);
    p.remote.set_port(port);
    for _ in 0..10 {
        p.send(spoofed.clone());
    }
    p.take_raw_all();
    turn_to(&mut p, &own_talk);
    let mut seen = 0;
    for _ in 0..200 {
        p.send(provocations(own)[2].1.clone());
        p.run(5);
        seen += count_for(&mut p, 6666);
    }
    seen
}

/// Whether the four-tuple is right, and whether the number is.
#[test]
fn an_attacker_learns_nothing_from_his_own_answers() {
    for victim in SHAPES {
        for own in [Shape::Connection, Shape::HalfOpen] {
            for (what, spoofed) in provocations(victim) {
                let hit = seen_by_the_attacker(own, victim, 5000, &spoofed);
                let missed_port = seen_by_the_attacker(own, victim, 5001, &spoofed);
                let outside = seg().seq(-1_000_000).rst();
                let missed_number = seen_by_the_attacker(own, victim, 5000, &outside);
                let counts = (hit, missed_port, missed_number);
                assert_eq!(counts, (hit, hit, hit), "{what}: {own:?} beside {victim:?}");
            }
        }
    }
}

/// Whoever has one connection can still count the packets that leave for him; there is something
/// to count.
#[test]
fn the_attacker_of_these_tests_sees_something() {
    let spoofed = seg().seq(100).rst();
    assert!(seen_by_the_attacker(Shape::Connection, Shape::Connection, 5000, &spoofed) >= 1);
}

// --- how many ---

/// The first at once, then one for each half second, as on Linux.
/// R5961-7.
#[test]
fn each_kind_is_answered_once_in_half_a_second() {
    for shape in SHAPES {
        for (what, provocation) in provocations(shape) {
            let mut p = host();
            shape.make(&mut p, 5000);
            p.run(2000);
            p.take_raw_all();
            for round in 0..4 {
                for _ in 0..100 {
                    p.send(provocation.clone());
                }
                assert_eq!(p.take_all().len(), 1, "{what}, {shape:?}, round {round}");
                p.run(490);
                let sent = answers_to(&mut p, &provocation);
                assert_eq!(sent, 0, "{what}, {shape:?}, round {round}, before half a second");
                p.run(20);
                p.take_all();
            }
        }
    }
}

/// The bare segments that a hundred of these provoke: a handshake repeats its SYN,ACK meanwhile.
fn answers_to(p: &mut Peer, provocation: &Seg) -> usize {
    p.take_all();
    for _ in 0..100 {
        p.send(provocation.clone());
    }
    p.take_all().iter().filter(|got| !got.flags.contains(Flags::SYN)).count()
}

/// Octets that come again are always acknowledged (RFC 9293 §3.10.7.4, first step): the peer has
/// lost our ACK, and each of its retransmissions may be the last.
#[test]
fn old_octets_are_always_acknowledged() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).text(100));
    p.expect_data(crate::common::pattern(1, 100));
    p.run(50);
    p.take_all();
    for _ in 0..20 {
        p.send(seg().ack(1).text(100));
        p.expect(seg().ack(101));
    }
}

/// So is a FIN.
#[test]
fn old_fins_are_always_acknowledged() {
    let mut p = Peer::accepted();
    for _ in 0..20 {
        p.send(seg().fin().ack(1));
        p.expect(seg().ack(2));
    }
    let mut p = Peer::listening(config());
    time_wait(&mut p, 5000);
    for _ in 0..20 {
        p.send(seg().fin().ack(2));
        p.expect(seg().seq(2).ack(2));
    }
}

/// Two ends that disagree for good: at most two answers a second, for ever.
#[test]
fn two_ends_that_disagree_stay_quiet() {
    let mut p = Peer::accepted();
    p.send(seg().seq(-5_000).ack(1));
    let mut answered = 0;
    for _ in 0..10_000 {
        answered += p.take_all().len();
        p.send(seg().seq(-5_000).ack(1));
        p.run(10);
    }
    answered += p.take_all().len();
    assert!((100..=201).contains(&answered), "{answered} answers in 100 s");
}

// --- keep-alives ---

/// RFC 1122 §4.2.3.6: they must be answered, however many peers have them at the same time.
#[test]
fn keepalives_of_many_peers_at_once_are_all_answered() {
    const MANY: u16 = 2000;
    let mut p = crowded(config(), usize::from(MANY));
    let talks: Vec<_> = (0..MANY).map(|i| open(&mut p, 1000 + i)).collect();
    for round in 0..4 {
        p.run(15_000);
        p.take_raw_all();
        let mut answered = 0;
        for at in &talks {
            turn_to(&mut p, at);
            p.send(seg().seq(0).ack(1));
            answered += p.take_all().len();
        }
        assert_eq!(answered, usize::from(MANY), "round {round}");
    }
}

/// Every second for an hour; and zero-window probes, which look the same.
/// R9293-29, MAY-8.
#[test]
fn a_peer_that_asks_every_second_is_always_answered() {
    for octets in [0, 1] {
        let mut p = Peer::accepted();
        p.send(seg().ack(1).data(b"data"));
        p.expect_data(b"data");
        p.run(100);
        p.take_all();
        for second in 0..3600 {
            p.run(1000);
            p.send(seg().seq(4).ack(1).data(&b"?"[..octets]));
            assert_eq!(p.take_all().len(), 1, "second {second}");
        }
        p.expect_no_data();
    }
}

/// Those of remnants and handshakes, too: TIME-WAIT answers a peer that still thinks it is open.
#[test]
fn every_shape_answers_its_own_keepalive() {
    let mut p = crowded(config(), 600);
    let mut talks = Vec::new();
    for i in 0..200 {
        for (shape, base) in SHAPES.into_iter().zip([1000, 3000, 5000]) {
            talks.push((shape, shape.make(&mut p, base + i)));
        }
    }
    p.run(200);
    p.take_raw_all();
    for (shape, at) in talks {
        turn_to(&mut p, &at);
        p.send(shape.keepalive());
        assert_eq!(p.take_all().len(), 1, "{shape:?} {at:?}");
    }
}

// --- ICMP errors ---

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// How many errors this host sends in each of `seconds` seconds in which it is asked 3000 times.
fn errors_in_each_second(seed: u64, seconds: usize) -> Vec<u64> {
    let memory = minitcp_proto::Memory::allocate(&limits());
    let mut stack = Stack::new(config(), memory, Seed::from_u64(seed));
    let datagram = packet::udp_packet(V4, (5000, 9), b"data");
    let mut counts = Vec::new();
    for second in 0..seconds {
        let before = stack.stats().icmp_out;
        for tick in 0..3000 {
            let now = minitcp_proto::Instant::ZERO + secs(second as u64) + millis(tick / 3);
            stack.handle_packet(now, &datagram, RxMeta::default());
            while stack.poll_transmit(now).is_some() {}
        }
        counts.push(stack.stats().icmp_out - before);
    }
    counts
}

/// Whoever counts the errors that are left learns how many ports were closed for others: the
/// number must not be known before.
#[test]
fn the_limit_of_errors_cannot_be_foretold() {
    for seed in 1..5 {
        let counts = errors_in_each_second(seed, 30);
        let different: BTreeSet<_> = counts.iter().collect();
        assert!(different.len() >= 3, "seed {seed}: {counts:?}");
        assert!(counts.iter().all(|count| (1..=1100).contains(count)), "{counts:?}");
    }
    let firsts: BTreeSet<_> = (1..20).map(|seed| errors_in_each_second(seed, 2)).collect();
    assert!(firsts.len() >= 10, "the seed decides too little: {firsts:?}");
}

/// An answer that is left out for its limit is counted, not silent.
#[test]
fn what_the_limits_leave_out_is_counted() {
    let mut p = Peer::accepted();
    p.run(2000);
    for _ in 0..100 {
        p.send(seg().seq(100).rst());
    }
    p.take_all();
    assert_eq!(p.dropped(minitcp_proto::Drop::RateLimited), 99);
}

/// The limiter of one conversation costs others no time either: it works after years.
#[test]
fn limits_hold_after_a_long_time() {
    let mut p = Peer::accepted();
    for _ in 0..5 {
        p.run(86_400_000 * 60);
        for _ in 0..10 {
            p.send(seg().seq(100).rst());
        }
        assert_eq!(p.take_all().len(), 1, "at {}", p.now);
    }
    let silent = answering(&mut p, secs(1), |_| None);
    assert!(silent.is_empty() && talk(&p).id.is_some());
}
