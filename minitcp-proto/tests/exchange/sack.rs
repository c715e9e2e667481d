//! What acknowledgments say of octets ahead of a hole (RFC 2018) and of octets that came twice
//! (RFC 2883).

use minitcp_proto::wire::tcp::Flags;

use crate::common::{Peer, config, config_with, seg};

/// A peer that understands SACK.
fn accepted() -> Peer {
    Peer::accepted_with(config(), seg().win(64_000).mss(1460).sack_ok())
}

/// RFC 2018 §2: in no other segment than a SYN (R2018-1), and no block without it (R2018-2).
#[test]
fn permitted_where_both_ends_say_so() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460).sack_ok());
    assert!(p.expect_syn(Flags::SYN | Flags::ACK).options.sack_permitted);
    let mut p = Peer::listening(config_with(|c| c.sack = false));
    p.send(seg().syn().mss(1460).sack_ok());
    assert!(!p.expect_syn(Flags::SYN | Flags::ACK).options.sack_permitted);

    let mut p = Peer::accepted();
    p.send(seg().seq(11).text(10).ack(1));
    p.expect(seg().ack(1).no_options());
}

/// RFC 2018 §4: the first block is the one that grew last, then the others backwards in time; no
/// more than find room; in each acknowledgment while there is a hole (R2018-3, R2018-4, R2018-5,
/// R2018-6).
#[test]
fn the_newest_block_comes_first() {
    let mut p = accepted();
    for (seq, blocks) in [
        (11, &[(11, 21)][..]),
        (31, &[(31, 41), (11, 21)]),
        (21, &[(11, 41)]),
        (61, &[(61, 71), (11, 41)]),
        (81, &[(81, 91), (61, 71), (11, 41)]),
        (101, &[(101, 111), (81, 91), (61, 71), (11, 41)]),
        (121, &[(121, 131), (101, 111), (81, 91), (61, 71)]),
        (41, &[(11, 51), (121, 131), (101, 111), (81, 91)]),
    ] {
        p.send(seg().seq(seq).text(10).ack(1));
        p.expect(seg().ack(1).sack(blocks));
    }
    p.send(seg().text(10).ack(1));
    p.expect(seg().ack(51).sack(&[(121, 131), (101, 111), (81, 91), (61, 71)]));
}

/// RFC 2883 §4 (R2883-3): what came twice ahead of a hole stands before the block that it is part
/// of, though newer segments came before the acknowledgment left.
#[test]
fn what_came_twice_keeps_its_block_beside_it() {
    let mut p = accepted();
    for seq in [11, 31] {
        p.send(seg().seq(seq).text(10).ack(1));
        p.take_all();
    }
    p.feed(seg().seq(11).text(10).ack(1));
    p.feed(seg().seq(51).text(10).ack(1));
    p.pump();
    p.expect(seg().ack(1).sack(&[(11, 21), (11, 21), (51, 61), (31, 41)]));
    p.expect(seg().ack(1).sack(&[(51, 61), (11, 21), (31, 41)]));
}

/// Beside timestamps there is room for three.
#[test]
fn three_blocks_beside_timestamps() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().mss(1460).sack_ok().ts(1, 0));
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.send(seg().ack(1).ts(1, 0));
    for seq in [11, 31, 51, 71] {
        p.send(seg().seq(seq).text(10).ack(1).ts(1, 0));
    }
    let got = p.take_all().pop().unwrap();
    let expected = seg().ack(1).ts(0, 1).sack(&[(71, 81), (51, 61), (31, 41)]);
    assert!(expected.matches(&got), "{got:?}");
}

/// RFC 2883 §4: what came twice is told once, in front of the block that it is part of; of several
/// parts the first (R2883-1, R2883-2, R2883-3, R2883-4).
#[test]
fn duplicates_are_told_once() {
    let mut p = accepted();
    p.send(seg().text(100).ack(1));
    p.next();
    p.expect(seg().ack(101).no_options());
    // Below what is acknowledged, as a whole and in part.
    p.send(seg().seq(51).text(50).ack(1));
    p.expect(seg().ack(101).sack(&[(51, 101)]));
    p.send(seg().seq(91).text(20).ack(1));
    p.expect(seg().ack(111).sack(&[(91, 101)]));
    // Ahead of a hole, again as a whole and in part.
    p.send(seg().seq(201).text(100).ack(1));
    p.expect(seg().ack(111).sack(&[(201, 301)]));
    p.send(seg().seq(221).text(50).ack(1));
    p.expect(seg().ack(111).sack(&[(221, 271), (201, 301)]));
    p.send(seg().seq(291).text(50).ack(1));
    p.expect(seg().ack(111).sack(&[(291, 301), (201, 341)]));
    p.send(seg().seq(401).text(10).ack(1));
    p.expect(seg().ack(111).sack(&[(401, 411), (201, 341)]));
    // What fills the hole and more.
    p.send(seg().seq(111).text(100).ack(1));
    p.expect(seg().ack(341).sack(&[(201, 211), (401, 411)]));
}

/// The blocks ride on data, too, which then is a little less.
#[test]
fn data_leaves_room_for_them() {
    let mut p = accepted();
    p.send(seg().seq(11).text(10).ack(1));
    p.expect(seg().ack(1).sack(&[(11, 21)]));
    p.write([7; 3000]);
    p.expect(seg().ack(1).len(1448).sack(&[(11, 21)]));
    p.expect(seg().seq(1449).ack(1).len(1448).sack(&[(11, 21)]));
}

/// What was told is not given back while there is memory, and what fills it moves the edge on
/// (R2018-10).
#[test]
fn all_that_was_told_is_kept() {
    let mut p = accepted();
    for seq in (101..6000).step_by(200) {
        p.send(seg().seq(seq).text(100).ack(1));
    }
    p.take_all();
    for seq in (1..6000).step_by(200) {
        p.send(seg().seq(seq).text(100).ack(1));
        let got = p.take_seg();
        assert_eq!(got.ack, Some(seq + 200));
    }
}

/// RFC 2018 §4: as many blocks as are held and find room, though their numbers came before those
/// that are remembered as the newest: here what came first is what is left.
#[test]
fn what_came_first_is_told_when_the_rest_is_filled() {
    let mut p = accepted();
    for seq in [101, 81, 61, 41, 21] {
        p.send(seg().seq(seq).text(10).ack(1));
    }
    p.take_all();
    p.send(seg().text(20).ack(1));
    p.expect(seg().ack(31).sack(&[(41, 51), (61, 71), (81, 91), (101, 111)]));
    for (seq, blocks) in [
        (31, &[(61, 71), (81, 91), (101, 111)][..]),
        (51, &[(81, 91), (101, 111)]),
        (71, &[(101, 111)]),
    ] {
        p.send(seg().seq(seq).text(10).ack(1));
        p.expect(seg().ack(seq + 20).sack(blocks));
    }
    p.send(seg().seq(91).text(10).ack(1));
    p.expect(seg().ack(111).no_options());
}

/// RFC 9293 §3.4: a FIN takes a number, and whoever holds it has received it: the block ends behind
/// it, as Linux has it, and it is a block of its own where it came alone.
#[test]
fn a_fin_ahead_of_a_hole_is_told() {
    let mut p = accepted();
    p.send(seg().seq(11).text(10).fin().ack(1));
    p.expect(seg().ack(1).sack(&[(11, 22)]));
    p.send(seg().text(10).ack(1));
    p.expect(seg().ack(22).no_options());

    let mut p = accepted();
    p.send(seg().seq(21).fin().ack(1));
    p.expect(seg().ack(1).sack(&[(21, 22)]));
    p.send(seg().seq(5).text(5).ack(1));
    p.expect(seg().ack(1).sack(&[(5, 10), (21, 22)]));
    p.send(seg().seq(15).text(6).ack(1));
    p.expect(seg().ack(1).sack(&[(15, 22), (5, 10)]));
    p.send(seg().text(14).ack(1));
    p.expect(seg().ack(22).sack(&[(5, 10)]));
}
