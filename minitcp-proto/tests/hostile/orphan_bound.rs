//! How many connections may be closed by their applications and still be there? They are bounded
//! when they are made, in slots and in memory, and those that get on are the last to go.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, Limits};

use crate::common::{Peer, config, limits, pattern, seg};
use crate::support::{open, turn_to};

/// A host that may keep 20 of 80 connections when they are closed, if less than 20 are free.
fn roomy() -> Peer {
    let limits = Limits { connections: 80, buffer_bytes: 4 << 20, ..limits() };
    let mut p = Peer::new(config(), &limits);
    p.listen(80);
    p
}

/// The peer's address is of this host from now on.
fn turn_to_host(p: &mut Peer, host: u8) {
    p.remote.set_ip([10, 0, 0, host].into());
}

/// Connections that the application closes, their windows shut, one after another: from one host
/// or from many.
fn flood(p: &mut Peer, from_many: bool, mut after_each: impl FnMut(&mut Peer)) {
    for number in 0..200 {
        turn_to_host(p, if from_many { 20 + number } else { 9 });
        open(p, 6000 + u16::from(number));
        p.send(seg().ack(1).win(0));
        let _short = p.conn().send(&pattern(1, 100_000));
        p.close();
        p.take_raw_all();
        p.run(10);
        p.take_raw_all();
        after_each(p);
    }
}

/// Neither slots nor memory run out, and nobody has to wait until somebody gives way.
#[test]
fn a_flood_of_closings_keeps_nobody_out() {
    for from_many in [true, false] {
        let mut p = roomy();
        flood(&mut p, from_many, |p| {
            let usage = p.stack.usage();
            assert!(usage.connections <= 20, "{usage:?}");
            assert!(usage.buffer_bytes <= (2 << 20) + (128 << 10), "{usage:?}");
            let talk = open(p, 5000);
            assert_eq!(p.conn().send(&pattern(1, 1000)), Ok(1000));
            p.take_raw_all();
            turn_to(p, &talk);
            p.abort();
            p.take_raw_all();
        });
    }
}

/// One that was closed first, and whose peer reads on beside a flood, gets all; also if it stops to
/// read for a moment and others do so for longer.
#[test]
fn at_the_bound_the_one_that_gets_on_stays() {
    for pauses in [false, true] {
        for from_many in [true, false] {
            let mut p = roomy();
            let reader = open(&mut p, 5000);
            p.write(pattern(1, 150_000));
            p.close();
            p.take_raw_all();
            let mut acked = 1;
            flood(&mut p, from_many, |p| {
                turn_to(p, &reader);
                acked += if acked < 150_001 { 1000 } else { 0 };
                let is_pause = pauses && acked % 4000 == 1;
                p.send(seg().ack(acked).win(if is_pause { 0 } else { 4000 }));
                p.take_raw_all();
            });
            turn_to(&mut p, &reader);
            p.send(seg().fin().ack(150_002));
            let answer = p.take_all().pop().expect("an answer");
            assert!(!answer.flags.contains(Flags::RST), "{pauses} {from_many}: {answer:?}");
            assert!(p.dropped(Drop::OrphanEvicted) > 100);
        }
    }
}

/// A flood from one place takes from itself: who was closed before it keeps its place, though
/// nothing is heard of its peer for a while.
#[test]
fn a_flood_of_closings_takes_from_itself_first() {
    let mut p = roomy();
    let talk = open(&mut p, 5000);
    p.write(pattern(1, 1000));
    p.close();
    p.take_raw_all();
    flood(&mut p, false, |_| {});
    assert!(p.dropped(Drop::OrphanEvicted) > 100);
    turn_to(&mut p, &talk);
    p.send(seg().fin().ack(1002));
    let answer = p.take_all().pop().expect("an answer");
    assert!(!answer.flags.contains(Flags::RST), "{answer:?}");
}

/// The application answers `count` peers, who get on, and closes.
fn answer_and_close(p: &mut Peer, count: u8, mut before_each: impl FnMut(&mut Peer)) {
    for number in 0..count {
        before_each(p);
        turn_to_host(p, 20 + number);
        open(p, 6000);
        p.write(pattern(1, 2000));
        p.close();
        p.take_raw_all();
        p.send(seg().ack(1001));
        p.take_raw_all();
    }
}

/// Where the peers of all get on, the number holds all the same, once slots are few.
#[test]
fn at_the_bound_one_goes_even_if_all_get_on() {
    let mut p = roomy();
    for port in 5000..5041 {
        open(&mut p, port);
    }
    answer_and_close(&mut p, 21, |p| assert_eq!(p.dropped(Drop::OrphanEvicted), 0));
    assert_eq!((p.dropped(Drop::OrphanEvicted), p.stack.usage().connections), (1, 41 + 20));
}

/// As long as a quarter of the slots is free, many that close at once harm nobody.
#[test]
fn while_slots_are_free_none_goes() {
    let mut p = roomy();
    answer_and_close(&mut p, 60, |_| {});
    assert_eq!((p.dropped(Drop::OrphanEvicted), p.stack.usage().connections), (0, 60));
}

/// Where so many have closed that none is free, one of them gives way to each who comes.
#[test]
fn when_no_slot_is_free_one_of_many_goes() {
    let mut p = roomy();
    answer_and_close(&mut p, 60, |_| {});
    turn_to_host(&mut p, 9);
    for port in 5000..5040 {
        open(&mut p, port);
        p.take_raw_all(); // The reset of whoever gave way.
    }
    assert_eq!((p.dropped(Drop::OrphanEvicted), p.stack.usage().connections), (20, 80));
}

/// However much they hold, a few closed connections are left alone; and so are many where there is
/// memory for all.
#[test]
fn a_few_orphans_are_no_flood() {
    for (count, octets) in [(16, 200_000), (20, 60_000)] {
        let mut p = roomy();
        for number in 0..count {
            turn_to_host(&mut p, 20 + number);
            open(&mut p, 6000);
            p.send(seg().ack(1).win(0));
            let _short = p.conn().send(&pattern(1, octets));
            p.close();
            p.take_raw_all();
        }
        assert_eq!(p.dropped(Drop::OrphanEvicted), 0, "{count}");
        assert_eq!(p.stack.usage().connections, u32::from(count));
    }
}
