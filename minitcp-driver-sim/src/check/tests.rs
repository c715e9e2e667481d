//! Each law is kept or broken by one octet, and by one millisecond.

use minitcp_proto::SeqNum;
use minitcp_proto::wire::ip::{IpHeader, header_len};
use minitcp_proto::wire::options::{Options, SackBlocks, Timestamps};

use super::half::MAX_ACK_DELAY;
use super::*;

/// A segment from host `from` (1 or 2) to the other.
fn packet(from: u8, segment: &Segment<'_>) -> Vec<u8> {
    let [src, dst] = [from, 3 - from].map(|last| [10, 0, 0, last].into());
    let mut out = vec![0; 200];
    let at = header_len(src);
    let len = segment.emit_header(&mut out[at..]).unwrap() + segment.payload.len();
    out.truncate(at + len);
    out[at + len - segment.payload.len()..].copy_from_slice(segment.payload);
    let header = IpHeader {
        src,
        dst,
        protocol: protocol::TCP,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len: len,
    };
    header.emit(&mut out).unwrap();
    let mut sum = pseudo_header(src, dst, protocol::TCP);
    sum.add_u32(u32::try_from(len).unwrap());
    sum.add(&out[at..]);
    out[at + 16..at + 18].copy_from_slice(&sum.finish().to_be_bytes());
    out
}

fn segment<'a>(seq: u32, ack: u32, flags: Flags, payload: &'a [u8]) -> Segment<'a> {
    Segment {
        src_port: 1,
        dst_port: 1,
        seq: SeqNum(seq),
        ack: SeqNum(ack),
        flags,
        window: 100,
        urgent: 0,
        options: Options::NONE,
        payload,
    }
}

const A: Flags = Flags::ACK;

/// Host 1 (ISN 1000, MSS 50) and host 2 (ISN 5000, no options), whose SYN has arrived.
fn open() -> Checker {
    let mut checker = Checker::new();
    let syn = Segment {
        options: Options { mss: Some(50), window_scale: Some(2), ..Options::NONE },
        ..segment(1000, 0, Flags::SYN, &[])
    };
    for (from, segment) in
        [(1, syn), (2, segment(5000, 1001, Flags::SYN | A, &[])), (1, segment(1001, 5001, A, &[]))]
    {
        let bytes = packet(from, &segment);
        assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
        checker.on_arrival(Instant::ZERO, &bytes);
    }
    checker
}

/// What the checker says of the last of some packets, none of which arrives.
fn verdict(packets: &[(u8, Segment<'_>)]) -> Result<(), Violation> {
    let mut checker = open();
    let mut result = Ok(());
    for (number, (from, segment)) in packets.iter().enumerate() {
        assert_eq!(result, Ok(()), "packet {number} is to be the first that is wrong");
        result = checker.on_packet(Instant::ZERO, &packet(*from, segment));
    }
    result
}

#[test]
fn each_law_is_kept_or_broken_by_one_octet() {
    let [data, more] = [&[7; 40][..], &[7; 60]];
    let fin = A | Flags::FIN;
    let window = |window, segment| Segment { window, ..segment };
    let with = |options, segment| Segment { options, ..segment };
    let mut sack = SackBlocks::EMPTY;
    sack.push((SeqNum(1002), SeqNum(1003)));
    let stamps = Some(Timestamps { value: 1, echo: 0 });
    type Case<'a> = (&'a [(u8, Segment<'a>)], Result<(), Violation>);
    let cases: &[Case<'_>] = &[
        (&[(1, segment(1001, 5001, A, data))], Ok(())),
        (&[(1, segment(1002, 5001, A, data))], Err(Violation::Gap)),
        (&[(2, segment(5001, 1001, A, &[7; 50]))], Ok(())),
        (&[(2, segment(5001, 1001, A, &[7; 51]))], Err(Violation::BeyondMss)),
        (&[(1, segment(1001, 5001, A, more)), (1, segment(1061, 5001, A, &[7; 41]))], Ok(())),
        (
            &[(1, segment(1001, 5001, A, more)), (1, segment(1061, 5001, A, &[7; 42]))],
            Err(Violation::BeyondWindow),
        ),
        (&[(1, segment(1001, 5002, A, &[]))], Err(Violation::AckOfUnsent)),
        (
            &[(2, segment(5001, 1001, A, data)), (1, segment(1001, 5041, A, &[]))],
            Err(Violation::AckOfUnreceived),
        ),
        (&[(1, segment(1001, 5000, A, &[]))], Err(Violation::AckWentBack)),
        (&[(1, window(99, segment(1001, 5001, A, &[])))], Err(Violation::WindowWithdrawn)),
        (&[(1, segment(1001, 5001, Flags::PSH, data))], Err(Violation::NoAck)),
        (&[(1, segment(1001, 5001, fin, data)), (1, segment(1001, 5001, fin, data))], Ok(())),
        (
            &[(1, segment(1001, 5001, fin, data)), (1, segment(1042, 5001, A, &[7]))],
            Err(Violation::BeyondFin),
        ),
        (&[(1, segment(9000, 0, Flags::SYN, &[]))], Err(Violation::SecondIsn)),
        (&[(1, segment(1001, 0, Flags::RST, &[])), (1, segment(9000, 0, Flags::SYN, &[]))], Ok(())),
        (
            &[(1, with(Options { sack, ..Options::NONE }, segment(1001, 5001, A, &[])))],
            Err(Violation::Option),
        ),
        (
            &[(
                1,
                with(Options { timestamps: stamps, ..Options::NONE }, segment(1001, 5001, A, &[])),
            )],
            Err(Violation::Option),
        ),
    ];
    for (number, (packets, expected)) in cases.iter().enumerate() {
        assert_eq!(verdict(packets), *expected, "case {number}");
    }
}

#[test]
fn an_old_syn_finds_the_listener_only_after_the_end() {
    let fin = A | Flags::FIN;
    let close = [
        (1, segment(1001, 5001, fin, &[])),
        (2, segment(5001, 1002, fin, &[])),
        (1, segment(1002, 5002, A, &[])),
    ];
    // The clock of initial sequence numbers has not ticked in between.
    let again = packet(2, &segment(5000, 1001, Flags::SYN | A, &[]));
    for (packets, expected) in [(2, Err(Violation::AckWentBack)), (3, Ok(()))] {
        let mut checker = open();
        for (from, segment) in &close[..packets] {
            let bytes = packet(*from, segment);
            assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
            checker.on_arrival(Instant::ZERO, &bytes);
        }
        assert_eq!(checker.on_packet(Instant::ZERO, &again), expected);
    }
}

#[test]
fn what_arrived_may_be_acknowledged_and_must_be_soon() {
    let late = Instant::from_millis(501);
    let pieces = [(5011, &[7; 10][..]), (5001, &[7; 10]), (5021, &[7; 5])];
    for (arrived, ack, now, expected) in [
        (&pieces[..2], 5021, Instant::ZERO, Ok(())),
        (&pieces[..2], 5021, Instant::from_millis(500), Ok(())),
        (&pieces[..2], 5021, late, Err(Violation::LateAck)),
        (&pieces[..2], 5022, Instant::ZERO, Err(Violation::AckOfUnreceived)),
        (&pieces[..1], 5011, Instant::ZERO, Err(Violation::AckOfUnreceived)),
        (&pieces[..1], 5001, late, Ok(())),
    ] {
        let mut checker = open();
        let all = packet(2, &segment(5001, 1001, A, &[7; 25]));
        assert_eq!(checker.on_packet(Instant::ZERO, &all), Ok(()));
        for (seq, payload) in arrived {
            checker.on_arrival(Instant::ZERO, &packet(2, &segment(*seq, 1001, A, payload)));
        }
        let ack = packet(1, &segment(1001, ack, A, &[]));
        assert_eq!(checker.on_packet(now, &ack), expected);
    }
}

/// Host 1 has taken some of the hundred octets that it offered to take, and then host 2 sends
/// more: when, where it begins, how much, and whether it is answered.
type Silence<'a> = (u32, &'a [(u64, u32, usize, bool)], Result<(), Violation>);

#[test]
fn what_had_come_before_is_answered() {
    let mute = Err(Violation::Unanswered);
    let cases: &[Silence<'_>] = &[
        (10, &[(1_000, 0, 10, true), (2_000, 0, 10, true)], Ok(())),
        (10, &[(1_000, 0, 10, false)], Ok(())),
        (10, &[(1_000, 0, 10, false), (1_999, 0, 10, false)], Ok(())),
        (10, &[(1_000, 0, 10, false), (2_000, 5, 5, false)], mute),
        // One answer in half a second is enough.
        (10, &[(1_000, 0, 9, true), (1_499, 0, 9, false), (2_499, 0, 9, false)], Ok(())),
        (10, &[(1_000, 0, 9, true), (1_500, 0, 9, false), (2_500, 0, 9, false)], mute),
        // A keep-alive, and an acknowledgment, which asks for nothing.
        (10, &[(1_000, 9, 0, false), (2_000, 9, 0, false)], mute),
        (10, &[(1_000, 10, 0, false), (2_000, 10, 0, false)], Ok(())),
        // Nothing else is any different when the window is shut.
        (100, &[(1_000, 99, 0, false), (2_000, 60, 40, false)], mute),
    ];
    for (number, (taken, packets, expected)) in cases.iter().enumerate() {
        let mut checker = open();
        let octets = [7; 100];
        let window = u16::try_from(100 - taken).unwrap();
        // An octet of its own shows that it has more than a handshake.
        let octet = segment(1001, 5001 + taken, A, &[7]);
        let octet = packet(1, &Segment { window, ..octet });
        let answer = segment(1002, 5001 + taken, A, &[]);
        let answer = packet(1, &Segment { window, ..answer });
        let mut send = |at: u64, bytes: &[u8]| {
            let result = checker.on_packet(Instant::from_millis(at), bytes);
            checker.on_arrival(Instant::from_millis(at), bytes);
            result
        };
        for at in (0..*taken).step_by(50) {
            let len = (taken - at).min(50) as usize;
            let first = segment(5001 + at, 1001, A, &octets[..len]);
            assert_eq!(send(0, &packet(2, &first)), Ok(()));
        }
        assert_eq!(send(0, &octet), Ok(()));
        assert_eq!(send(0, &packet(2, &segment(5001 + taken, 1002, A, &[]))), Ok(()));
        for (at, offset, len, is_answered) in *packets {
            let more = segment(5001 + offset, 1002, A, &octets[..*len]);
            assert_eq!(send(*at, &packet(2, &more)), Ok(()));
            if *is_answered {
                assert_eq!(send(*at, &answer), Ok(()));
            }
        }
        assert_eq!(send(10_000, &answer), *expected, "case {number}");
    }
}

#[test]
fn who_sleeps_owes_nothing_before_it_wakes() {
    let late = Instant::from_millis(501);
    let wakes_at = Instant::from_secs(100);
    for (sleeper, at, expected) in [
        (None, late, Err(Violation::LateAck)),
        (Some(1), wakes_at + MAX_ACK_DELAY, Ok(())),
        (Some(1), Instant::from_millis(100_501), Err(Violation::LateAck)),
        (Some(2), wakes_at, Err(Violation::LateAck)),
    ] {
        let mut checker = open();
        let data = packet(2, &segment(5001, 1001, A, &[7; 10]));
        assert_eq!(checker.on_packet(Instant::ZERO, &data), Ok(()));
        checker.on_arrival(Instant::ZERO, &data);
        if let Some(last) = sleeper {
            checker.on_sleep([10, 0, 0, last].into(), wakes_at);
        }
        let ack = packet(1, &segment(1001, 5011, A, &[]));
        assert_eq!(checker.on_packet(at, &ack), expected, "{sleeper:?}");
    }
}

#[test]
fn damage_is_the_senders_fault_before_the_link_and_nobodys_after_it() {
    let mut checker = open();
    let mut data = packet(2, &segment(5001, 1001, A, &[7; 10]));
    assert_eq!(checker.on_packet(Instant::ZERO, &data), Ok(()));
    *data.last_mut().unwrap() ^= 1;
    assert_eq!(checker.on_packet(Instant::ZERO, &data), Err(Violation::Checksum));
    checker.on_arrival(Instant::ZERO, &data);
    let ack = packet(1, &segment(1001, 5011, A, &[]));
    assert_eq!(checker.on_packet(Instant::ZERO, &ack), Err(Violation::AckOfUnreceived));
    assert_eq!(checker.on_packet(Instant::ZERO, &ack[..30]), Err(Violation::Malformed));
}

/// Both hosts understand SACK and tell their clocks: 100 in the SYN of host 1, 700 in that of host
/// 2. All arrives.
fn open_with_options() -> Checker {
    let mut checker = Checker::new();
    let with = |value, echo, segment| Segment { options: told(value, echo, &[]), ..segment };
    let syn = |options| Options { mss: Some(100), sack_permitted: true, ..options };
    let first = with(100, 0, segment(1000, 0, Flags::SYN, &[]));
    let second = with(700, 100, segment(5000, 1001, Flags::SYN | A, &[]));
    for (from, segment) in [
        (1, Segment { options: syn(first.options), ..first }),
        (2, Segment { options: syn(second.options), ..second }),
        (1, with(101, 700, segment(1001, 5001, A, &[]))),
    ] {
        let bytes = packet(from, &segment);
        assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
        checker.on_arrival(Instant::ZERO, &bytes);
    }
    checker
}

fn told(value: u32, echo: u32, blocks: &[(u32, u32)]) -> Options {
    let mut sack = SackBlocks::EMPTY;
    for &(left, right) in blocks {
        sack.push((SeqNum(left), SeqNum(right)));
    }
    Options { timestamps: Some(Timestamps { value, echo }), sack, ..Options::NONE }
}

/// Host 1 sends ten octets at 1011, 1031 and 1021, in this order, and at 1001 and 1011 what is lost.
#[test]
fn sack_blocks_are_of_what_has_arrived_and_the_newest_comes_first() {
    for (ack, blocks, expected) in [
        (1001, &[(1011, 1041)][..], Ok(())),
        (1001, &[(1021, 1031)], Ok(())),
        (1001, &[(1011, 1042)], Err(Violation::SackOfUnreceived)),
        (1001, &[(1010, 1041)], Err(Violation::SackOfUnreceived)),
        (1001, &[(1041, 1011)], Err(Violation::SackOfUnreceived)),
        (1001, &[(1011, 1021), (1011, 1041)], Ok(())), // The first came twice.
        (1001, &[(1011, 1021), (1021, 1041)], Err(Violation::SackOrder)),
        (1001, &[(990, 1001)], Err(Violation::SackOfUnreceived)),
    ] {
        let mut checker = open_with_options();
        for seq in [1011, 1031, 1021] {
            let data = Segment { options: told(101, 700, &[]), ..segment(seq, 5001, A, &[7; 10]) };
            let before =
                Segment { options: told(101, 700, &[]), ..segment(1001, 5001, A, &[7; 80]) };
            assert_eq!(checker.on_packet(Instant::ZERO, &packet(1, &before)), Ok(()));
            let bytes = packet(1, &data);
            assert_eq!(checker.on_packet(Instant::ZERO, &bytes), Ok(()));
            checker.on_arrival(Instant::ZERO, &bytes);
        }
        let answer = Segment { options: told(701, 101, blocks), ..segment(5001, ack, A, &[]) };
        let verdict = checker.on_packet(Instant::ZERO, &packet(2, &answer));
        assert_eq!(verdict, expected, "{blocks:?}");
    }
}

#[test]
fn clocks_go_on_and_only_what_came_is_echoed() {
    let plain = Options::NONE;
    for (options, len, expected) in [
        (told(701, 101, &[]), 10, Ok(())),
        (told(700, 100, &[]), 10, Ok(())),
        (told(699, 101, &[]), 10, Err(Violation::ClockWentBack)),
        (told(701, 102, &[]), 10, Err(Violation::Echo)),
        (plain, 10, Err(Violation::Option)),
        (told(701, 101, &[]), 88, Ok(())),
        (told(701, 101, &[]), 89, Err(Violation::BeyondMss)),
    ] {
        let mut checker = open_with_options();
        let payload = vec![7; len];
        let data = Segment { options, ..segment(5001, 1001, A, &payload) };
        let verdict = checker.on_packet(Instant::ZERO, &packet(2, &data));
        assert_eq!(verdict, expected, "{options:?} {len}");
    }
}
