//! Memory that a stranger can make the stack hold: octets ahead of a hole, octets beyond a FIN,
//! the assemblies that remember them. None of it was promised (RFC 9293 SHLD-31), so none of it
//! may stand in the way of what was.

use minitcp_proto::{Config, Drop, Limits, State};

use crate::common::{Peer, config, config_with, limits, pattern, seg};
use crate::support::{SYN_ACK, open, talk, turn_to};

/// A host with the memory of `Limits::default` and large windows.
fn large() -> Config {
    config_with(|c| c.receive_buffer = 256 << 10)
}

/// Opens a connection of an attacker that lets the window grow, and sends one octet at `at`.
/// `false` if it was not heard.
fn one_octet_at(p: &mut Peer, port: u16, at: i64) -> bool {
    p.remote.set_port(port);
    let refused = p.dropped(Drop::NoMemory);
    p.send(seg().syn().win(64_000).mss(1460).ws(7));
    if p.dropped(Drop::NoMemory) > refused {
        return false;
    }
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1).win(64_000));
    p.id = p.stack.accept(p.listener.unwrap());
    p.send(seg().seq(1).ack(1).data(b"x"));
    p.run(50);
    let offered = p.take_all().last().map_or(0, |ack| i64::from(ack.window.unwrap()) << 3);
    p.send(seg().seq(at.min(offered)).ack(1).data(b"x"));
    p.take_all();
    true
}

/// An honest peer sends `len` octets, every two segments in the wrong order, and repeats what is
/// not acknowledged. Returns how many segments that took.
fn honest_transfer(p: &mut Peer, port: u16, len: i64) -> usize {
    open(p, port);
    let (mut acked, mut read, mut segments) = (1, Vec::new(), 0);
    while acked <= len {
        assert!(
            segments < 4 * len as usize / 1000,
            "stands still at {acked}: {:?}",
            p.stack.usage()
        );
        for seq in [acked + 1000, acked] {
            if seq <= len {
                p.send(seg().seq(seq).ack(1).text(1000.min(len + 1 - seq) as usize));
                segments += 1;
            }
        }
        p.run(50);
        acked = p.take_all().iter().filter_map(|got| got.ack).fold(acked, i64::max);
        if let Ok(octets) = p.read() {
            read.extend(octets);
        }
        p.take_all();
    }
    assert!(read == pattern(1, len as usize), "other octets");
    p.abort();
    p.take_all();
    segments
}

#[test]
fn octets_ahead_of_a_hole_do_not_take_the_pool() {
    let all = Limits::default();
    let mut p = Peer::new(large(), &all);
    p.listen(1000);
    let opened = (0..300).take_while(|i| one_octet_at(&mut p, 5000 + i, 200_000)).count();
    assert_eq!((opened, p.dropped(Drop::NoMemory)), (300, 0), "{:?}", p.stack.usage());
    p.run(3_600_000);
    p.take_raw_all();
    let usage = p.stack.usage();
    assert!(usage.buffer_bytes < all.buffer_bytes / 2, "an hour later: {usage:?}");
}

/// At once, not an hour later.
#[test]
fn beside_octets_ahead_of_holes_a_transfer_goes_on() {
    for far in [3, 1_000, 60_000, 200_000] {
        let mut p = Peer::new(large(), &Limits::default());
        p.listen(1000);
        for port in 5000..5300 {
            one_octet_at(&mut p, port, far);
        }
        let segments = honest_transfer(&mut p, 9000, 100_000);
        assert!(segments <= 150, "{far}: {segments} segments for 100");
    }
}

/// As many holes as there are, and what lies between them.
#[test]
fn many_holes_in_each_window_do_not_take_the_pool() {
    let mut p = Peer::new(large(), &Limits::default());
    p.listen(1000);
    for port in 5000..5300 {
        one_octet_at(&mut p, port, 3);
        for hole in 1..64 {
            p.send(seg().seq(3 + 1000 * hole).ack(1).data(b"y"));
        }
        p.take_all();
    }
    assert_eq!(p.dropped(Drop::NoMemory), 0, "{:?}", p.stack.usage());
    honest_transfer(&mut p, 9000, 100_000);
}

/// One attacker with the whole buffer of one connection, in small memory.
#[test]
fn octets_ahead_are_the_first_to_go_when_others_need_the_memory() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 64 << 10, ..limits() });
    p.listen(16);
    let victim = open(&mut p, 4000);
    open(&mut p, 5000);
    p.send(seg().seq(30_000).ack(1).data(b"far"));
    p.take_all();
    turn_to(&mut p, &victim);
    let mut acked = 1;
    for _ in 0..40 {
        p.send(seg().seq(acked).ack(1).text(1000));
        p.run(50);
        acked = p.take_all().iter().filter_map(|got| got.ack).fold(acked, i64::max);
    }
    assert!(acked > 24_000, "{acked} octets of 40,000 in a pool of 65,536: {:?}", p.stack.usage());
    p.read().unwrap();
    p.take_all();
}

#[test]
fn assemblies_are_not_held_for_ever() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 64 << 20, ..Limits::default() });
    p.listen(1000);
    for port in 5000..5256 {
        open(&mut p, port);
        p.send(seg().seq(2).ack(1).data(b"x"));
        p.take_all();
    }
    p.run(3_600_000);
    p.take_raw_all();
    open(&mut p, 9000);
    p.send(seg().seq(1461).ack(1).text(1460));
    p.take_all();
    assert_eq!(p.dropped(Drop::TooManyHoles), 0, "{:?}", p.stack.usage());
}

/// Nobody has to wait until an attacker's holes are old.
#[test]
fn who_reassembles_now_goes_before_holes_that_nobody_fills() {
    let mut p = Peer::new(config(), &Limits { connections: 64, ..limits() });
    p.listen(64);
    for port in 5000..5000 + 2 * limits().assemblies as u16 {
        open(&mut p, port);
        p.send(seg().seq(2).ack(1).data(b"x"));
        p.take_all();
        p.run(10);
    }
    open(&mut p, 9000);
    p.send(seg().seq(1461).ack(1).text(1460));
    p.send(seg().seq(1).ack(1).text(1460));
    p.take_all();
    p.expect_data(pattern(1, 2920));
    p.take_all();
}

/// What was given up counts as never received: the peer sends it again, and nothing is wrong.
#[test]
fn octets_that_were_given_up_come_again() {
    let mut p = Peer::new(config(), &Limits { connections: 64, ..limits() });
    p.listen(64);
    let first = open(&mut p, 4000);
    p.send(seg().seq(1001).ack(1).text(1000));
    p.take_all();
    for port in 5000..5000 + 4 * limits().assemblies as u16 {
        open(&mut p, port);
        p.send(seg().seq(2).ack(1).data(b"x"));
        p.take_all();
    }
    turn_to(&mut p, &first);
    p.send(seg().seq(1).ack(1).text(1000));
    p.send(seg().seq(1001).ack(1).text(1000));
    p.run(50);
    p.take_all();
    p.expect_data(pattern(1, 2000));
    assert_eq!(p.info().unread, 0);
}

#[test]
fn octets_beyond_a_fin_are_not_kept() {
    for order in [[0, 1, 2], [0, 2, 1], [2, 0, 1]] {
        let mut p = Peer::accepted();
        for part in order {
            match part {
                0 => p.send(seg().seq(5001).ack(1).text(1000)),
                1 => p.send(seg().ack(1).text(1000)),
                _ => p.send(seg().seq(1001).fin().ack(1)),
            }
        }
        p.take_all();
        assert_eq!(p.state(), State::CloseWait, "{order:?}");
        p.expect_data(pattern(1, 1000));
        p.expect_eof();
        p.take_all();
        let usage = p.stack.usage();
        assert_eq!((usage.buffer_bytes, usage.assemblies), (0, 0), "{order:?}");
    }
}

/// A FIN ahead of a hole holds nothing, and octets beyond it are refused from then on.
#[test]
fn a_fin_ahead_of_a_hole_ends_what_is_kept() {
    let mut p = Peer::accepted();
    p.send(seg().seq(1001).fin().ack(1));
    for seq in [1001, 1002, 5001] {
        p.send(seg().seq(seq).ack(1).data(b"beyond"));
    }
    p.take_all();
    let usage = p.stack.usage();
    assert_eq!((usage.buffer_bytes, usage.assemblies), (0, 0));
    p.send(seg().ack(1).text(1000));
    p.take_all();
    p.expect_data(pattern(1, 1000));
    p.expect_eof();
}

/// Nobody will read them.
#[test]
fn octets_ahead_go_with_the_one_who_would_have_read_them() {
    let mut p = Peer::accepted();
    p.send(seg().seq(5001).ack(1).text(1000));
    p.take_all();
    p.close();
    p.take_all();
    let usage = p.stack.usage();
    assert_eq!((usage.buffer_bytes, usage.assemblies), (0, 0));
}

/// As many holes as can be remembered, every second octet; then the missing ones.
#[test]
fn full_of_holes_the_next_octet_still_counts() {
    let mut p = Peer::accepted();
    for first in [2, 1] {
        for hole in 0..200 {
            p.send(seg().seq(first + 2 * hole).ack(1).text(1));
        }
        p.take_all();
    }
    for seq in 1..=400 {
        p.send(seg().seq(seq).ack(1).text(1));
        p.take_all();
    }
    p.expect_data(pattern(1, 400));
}

/// A connection is reset while octets wait ahead of a hole: all comes back.
#[test]
fn a_reset_gives_everything_back() {
    let mut p = Peer::accepted();
    p.send(seg().seq(5001).ack(1).text(1000));
    p.send(seg().seq(1).rst());
    p.take_all();
    let usage = p.stack.usage();
    assert_eq!((usage.buffer_bytes, usage.assemblies), (0, 0));
}

/// Windows stay honest under pressure: what was offered is taken when it comes in order, and the
/// right edge never moves left, whatever octets ahead were given up meanwhile.
#[test]
fn giving_up_octets_ahead_withdraws_nothing() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 256 << 10, ..limits() });
    p.listen(16);
    let victim = open(&mut p, 4000);
    let (mut edge, mut acked) = (0, 1);
    for round in 0..12_u16 {
        one_octet_at(&mut p, 5000 + round, 60_000);
        let attacker = talk(&p);
        turn_to(&mut p, &victim);
        p.send(seg().seq(acked).ack(1).text(1000));
        p.run(50);
        for got in p.take_all() {
            let now = got.ack.unwrap() + i64::from(got.window.unwrap());
            assert!(now >= edge, "from {edge} to {now}");
            (edge, acked) = (now, got.ack.unwrap());
        }
        p.read().unwrap_or_default();
        p.take_all();
        turn_to(&mut p, &attacker);
    }
    assert_eq!(acked, 12_001, "all in order was taken");
}

/// There is no block for octets in order, as there are octets ahead of a hole behind one that
/// nobody has read: they give way, and what was promised is taken at once, not when it comes again.
#[test]
fn what_was_promised_takes_the_memory_of_octets_ahead_at_once() {
    let mut p = Peer::new(config(), &Limits { buffer_bytes: 64 << 10, ..limits() });
    p.listen(16);
    let attacker = open(&mut p, 5000); // While large windows are offered.
    for port in 4000..4005 {
        open(&mut p, port);
        for start in (1..8000).step_by(1000) {
            p.send(seg().seq(start).ack(1).text(1000));
            p.run(50);
            p.take_raw_all();
        }
    }
    let honest = talk(&p);
    assert_eq!(p.stack.usage().buffer_bytes, 40 << 10);
    turn_to(&mut p, &attacker);
    p.send(seg().seq(10_000).ack(1).data(b"ahead"));
    p.send(seg().ack(1).data(b"x"));
    p.take_raw_all();
    assert_eq!((p.stack.usage().buffer_bytes, p.dropped(Drop::EarlyGivenUp)), (56 << 10, 0));
    // 16 KiB are needed, and 8 are free.
    turn_to(&mut p, &honest);
    p.send(seg().seq(8001).fin().ack(1).text(1000));
    let acked = p.take_all().iter().filter_map(|got| got.ack).max();
    assert_eq!(acked, Some(9002), "with its FIN: {:?}", p.stack.usage());
    assert_eq!((p.dropped(Drop::EarlyGivenUp), p.dropped(Drop::NoBuffer)), (1, 0));
    p.expect_data(pattern(1, 9000));
    p.expect_eof();
}

/// Strangers fill what there is for octets ahead of holes: one who reassembles now and holds less
/// takes from them, at once; one who would hold more does not.
#[test]
fn who_holds_less_ahead_of_holes_takes_from_who_holds_more() {
    for (extent, kept) in [(3000, true), (60_000, false)] {
        let mut p = Peer::new(config(), &LARGER);
        p.listen(32);
        for port in 5000..5016 {
            open(&mut p, port);
            p.send(seg().seq(8000).ack(1).data(b"x"));
            p.take_raw_all();
        }
        let (held, given_up) = (p.stack.usage().buffer_bytes, p.dropped(Drop::EarlyGivenUp));
        assert_eq!((held, given_up), (128 << 10, 0));
        open(&mut p, 9000);
        p.send(seg().seq(extent).ack(1).data(b"y"));
        p.take_raw_all();
        assert_eq!(p.dropped(Drop::EarlyGivenUp) == 1, kept, "{extent}");
        assert_eq!(p.dropped(Drop::NotAmple) == 0, kept, "{extent}");
    }
}

/// A quarter of the pool is 128 KiB.
const LARGER: Limits = Limits {
    connections: 32,
    half_open: 16,
    time_wait: 16,
    listeners: 4,
    udp_sockets: 4,
    datagrams: 64,
    assemblies: 32,
    models: 32,
    buffer_bytes: 512 << 10,
};
