//! TCP options on the wire: RFC 9293 §3.2 and MUST-4 to MUST-7, RFC 7323 §2.

use minitcp_proto::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::{Peer, config_with, packet, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

/// A connection whose SYN carried these octets as options.
fn opened_with(options: &[u8]) -> Peer {
    let mut p = Peer::listening(config_with(|c| c.timestamps = false));
    let syn = seg().syn();
    let addresses = (p.remote.ip(), p.local.ip());
    let packet = packet::tcp_packet_with_options(addresses, &p.segment(&syn), options);
    p.send_raw(&packet);
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1).win(100));
    p.id = p.stack.accept(p.listener.unwrap());
    p
}

/// MUST-6.
#[test]
fn unknown_options_do_not_hide_later_ones() {
    for (name, options, mss, window) in [
        ("none", &[][..], 536, 100),
        ("mss", &[2, 4, 3, 232], 1000, 100),
        ("unknown, mss", &[254, 4, 9, 9, 2, 4, 3, 232], 1000, 100),
        (
            "unknown without data, mss, scale",
            &[99, 2, 2, 4, 3, 232, 3, 3, 7, 0, 0, 0],
            1000,
            12_800,
        ),
        ("no-ops between", &[1, 1, 3, 3, 2, 1, 1, 2, 4, 3, 232, 1], 1000, 400),
        ("fast open cookie, scale", &[34, 6, 1, 2, 3, 4, 3, 3, 1, 0, 0, 0], 536, 200),
        (
            "SACK permitted, timestamps, mss",
            &[4, 2, 8, 10, 0, 0, 0, 1, 0, 0, 0, 0, 2, 4, 3, 232],
            1000,
            100,
        ),
        ("after the end nothing counts", &[0, 0, 0, 0, 2, 4, 3, 232], 536, 100),
        ("40 octets of no-ops", &[1; 40], 536, 100),
    ] {
        let mut p = opened_with(options);
        assert_eq!((p.info().mss, p.info().snd_wnd), (mss, window), "{name}");
    }
}

/// What comes before the fault counts.
/// MUST-7.
#[test]
fn malformed_lists_do_no_harm() {
    for (name, options, mss) in [
        ("length zero", &[2, 4, 3, 232, 77, 0, 9, 9][..], 1000),
        ("length one", &[2, 4, 3, 232, 77, 1, 9, 9], 1000),
        ("length beyond the end", &[2, 4, 3, 232, 77, 40, 9, 9], 1000),
        ("kind at the very end", &[2, 4, 3, 232, 1, 1, 1, 77], 1000),
        ("mss of length 3, then mss", &[2, 3, 9, 2, 4, 3, 232, 0], 1000),
        ("scale of length 4", &[3, 4, 9, 9], 536),
        ("mss of length zero", &[2, 0, 3, 232], 536),
    ] {
        let mut p = opened_with(options);
        assert_eq!((p.info().mss, p.info().snd_wnd), (mss, 100), "{name}");
    }
}

/// Only a SYN negotiates.
/// MUST-5, R7323-1.
#[test]
fn options_after_the_handshake_change_nothing() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(100).mss(500).ws(9));
    assert_eq!((p.info().mss, p.info().snd_wnd), (1460, 100));
}

proptest! {
    #[test]
    fn any_option_octets_are_survived(words in prop::collection::vec(any::<[u8; 4]>(), 0..=10)) {
        let mut p = opened_with(&words.concat());
        prop_assert!((64..=1460).contains(&p.info().mss));
        p.write(b"x");
        p.expect(seg().seq(1).ack(1).data(b"x"));
    }
}
