//! Explicit congestion notification, RFC 3168 §6.1: who agrees, and how marks are echoed.

use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::ip::ecn::{CE, ECT_0, NOT_ECT};
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Config, Ecn, State, SynCookies};
use proptest::prelude::*;

use crate::common::{Peer, Seg, config_with, limits, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);
const SETUP: Flags = Flags::ECE.union(Flags::CWR);
const NONE: Flags = Flags::empty();

fn ecn(ecn: Ecn) -> Config {
    config_with(|config| config.ecn = ecn)
}

fn with(mut seg: Seg, flags: Flags) -> Seg {
    seg.flags |= flags;
    seg
}

/// A stack that listens at an address of each version of IP, and a peer of one of them.
fn listening(ipv6: bool, config: Config) -> Peer {
    let mut config = config;
    config.add_address("fd00::2".parse::<IpAddr>().unwrap(), 64);
    let mut p = Peer::new(config, &limits());
    if ipv6 {
        let at = |text: &str| text.parse::<SocketAddr>().unwrap();
        (p.local, p.remote) = (at("[fd00::2]:80"), at("[fd00::1]:5000"));
    }
    p.listen(4);
    p
}

/// A connection that the peer has opened, with ECN, at a round-trip time of 100 ms.
pub(crate) fn agreed_with(ipv6: bool, change: impl FnOnce(&mut Config)) -> Peer {
    let mut p = listening(ipv6, config_with(change));
    p.rtt_ms = 100;
    p.send(with(seg().syn().win(64_000).mss(1460), SETUP));
    p.expect_syn(SYN_ACK | Flags::ECE);
    p.after(100);
    p.send(seg().ack(1).win(64_000));
    p.id = p.stack.accept(p.listener.unwrap());
    assert!(p.info().ecn);
    p
}

pub(crate) fn agreed() -> Peer {
    agreed_with(false, |_| ())
}

// --- the handshake ---

/// R3168-1, R3168-2, R3168-3, SHLD-8.
#[test]
fn a_listener_agrees_with_who_asks_unless_it_is_off() {
    for ipv6 in [false, true] {
        for setting in Ecn::ALL {
            for asked in [NONE, Flags::ECE, Flags::CWR, SETUP, SETUP | Flags::AE] {
                let mut p = listening(ipv6, ecn(setting));
                p.send(with(seg().syn().mss(1460), asked));
                let agrees = setting != Ecn::Off && asked.contains(SETUP);
                let answer = if agrees { SYN_ACK | Flags::ECE } else { SYN_ACK };
                assert_eq!(p.expect_syn(answer).class, Some(NOT_ECT), "{setting:?} {asked}");
                p.send(seg().ack(1));
                p.id = p.stack.accept(p.listener.unwrap());
                assert_eq!(p.info().ecn, agrees);
                p.write_text(1, 100);
                p.expect(seg().ack(1).text(100).class(if agrees { ECT_0 } else { NOT_ECT }));
            }
        }
    }
}

/// R3168-1, R3168-2, R3168-3, SHLD-8: an answer that only reflects what was asked agrees to
/// nothing.
#[test]
fn a_client_that_asks_is_answered_by_ece_alone() {
    for setting in Ecn::ALL {
        for answer in [NONE, Flags::ECE, Flags::CWR, SETUP, SETUP | Flags::AE] {
            let mut p = Peer::connecting(ecn(setting));
            let asks = setting == Ecn::Active;
            let syn = p.expect_syn(if asks { Flags::SYN | SETUP } else { Flags::SYN });
            assert_eq!(syn.class, Some(NOT_ECT));
            p.send(with(seg().syn().ack(1).mss(1460), answer));
            p.expect(seg().ack(1).class(NOT_ECT));
            let agrees = asks && answer == Flags::ECE;
            assert_eq!(p.info().ecn, agrees, "{setting:?} {answer}");
            p.write_text(1, 100);
            p.expect(seg().ack(1).text(100).class(if agrees { ECT_0 } else { NOT_ECT }));
        }
    }
}

/// R3168-13, R3168-15: the SYN goes again without asking. An answer to the first one still comes
/// from a peer that may mark, and is not to be marked itself.
#[test]
fn a_syn_that_goes_again_asks_for_nothing() {
    for (answer, is_heeded) in [(NONE, false), (Flags::ECE, true)] {
        let mut p = Peer::connecting(ecn(Ecn::Active));
        p.expect_syn(Flags::SYN | SETUP);
        for wait in [1000, 2000] {
            p.after(wait);
            p.expect_syn(Flags::SYN);
        }
        p.send(with(seg().syn().ack(1).mss(1460), answer));
        p.expect(seg().ack(1));
        assert!(!p.info().ecn);
        p.write_text(1, 100);
        p.expect(seg().ack(1).text(100).class(NOT_ECT));
        p.send(seg().ack(101).text(100).class(CE));
        let echo = seg().seq(101).ack(101);
        if is_heeded {
            p.expect(echo.ece());
        } else {
            p.after(40);
            p.expect(echo);
        }
    }
}

/// RFC 3168 §6.1.1: only a SYN that asks is answered by one that agrees, also if it comes again;
/// our SYN,ACK that goes again by itself says what it said.
#[test]
fn the_answer_is_to_the_latest_syn() {
    let mut p = listening(false, ecn(Ecn::Passive));
    p.send(with(seg().syn().mss(1460), SETUP));
    p.expect_syn(SYN_ACK | Flags::ECE);
    p.after(1000);
    p.expect(with(seg().syn().ack(1).mss(1460), Flags::ECE));
    p.send(seg().syn().mss(1460));
    p.expect(seg().syn().ack(1).mss(1460));
    p.after(600);
    p.send(with(seg().syn().mss(1460), SETUP));
    p.expect(seg().syn().ack(1).mss(1460));
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    assert!(!p.info().ecn);
}

#[test]
fn syns_that_cross_agree_if_both_ask() {
    for (theirs, last, agrees) in
        [(SETUP, Flags::ECE, true), (SETUP, NONE, false), (NONE, NONE, false)]
    {
        let mut p = Peer::connecting(ecn(Ecn::Active));
        p.expect_syn(Flags::SYN | SETUP);
        p.send(with(seg().syn().mss(1460), theirs));
        let answer = if theirs == SETUP { SYN_ACK | Flags::ECE } else { SYN_ACK };
        p.expect(with(seg().syn().ack(1).mss(1460), answer));
        p.send(with(seg().syn().ack(1).mss(1460), last));
        p.take_all();
        assert_eq!((p.state(), p.info().ecn), (State::Established, agrees), "{theirs} {last}");
    }
}

/// A cookie has no room to remember it.
#[test]
fn an_answer_with_a_cookie_does_not_agree() {
    for ipv6 in [false, true] {
        let mut p = listening(ipv6, config_with(|c| c.syn_cookies = SynCookies::Always));
        p.send(with(seg().syn().mss(1460), SETUP));
        p.expect_syn(SYN_ACK);
        p.send(seg().ack(1));
        p.id = p.stack.accept(p.listener.unwrap());
        assert!(!p.info().ecn);
    }
}

// --- what we receive ---

/// R3168-7, R3168-4: until CWR every acknowledgment echoes, and none may be marked itself.
#[test]
fn a_mark_is_echoed_until_cwr() {
    for ipv6 in [false, true] {
        let mut p = agreed_with(ipv6, |config| config.quick_ack = true);
        for (number, (mark, flags, echo)) in [
            (ECT_0, NONE, NONE),
            (CE, NONE, Flags::ECE),
            (ECT_0, NONE, Flags::ECE),
            (NOT_ECT, NONE, Flags::ECE),
            (ECT_0, Flags::CWR, NONE),
            (ECT_0, NONE, NONE),
            // What bears CWR may be marked itself.
            (CE, Flags::CWR, Flags::ECE),
            (CE, Flags::CWR, Flags::ECE),
            (ECT_0, Flags::CWR, NONE),
        ]
        .into_iter()
        .enumerate()
        {
            let seq = 1 + 100 * number as i64;
            p.send(with(seg().seq(seq).ack(1).text(100).class(mark), flags));
            p.expect(with(seg().ack(seq + 100).class(NOT_ECT), echo));
        }
        assert_eq!(p.stack.stats().ecn_marks_in, 3);
    }
}

/// As on Linux: no acknowledgment is delayed that says for the first time, or no longer, that there
/// was a mark. R3168-7.
#[test]
fn what_changes_is_told_at_once() {
    let mut p = agreed();
    p.send(seg().ack(1).text(100).class(ECT_0));
    p.expect_nothing();
    p.send(seg().seq(101).ack(1).text(100).class(CE));
    p.expect(seg().ack(201).ece());
    p.send(seg().seq(201).ack(1).text(100).class(CE));
    p.after(40);
    p.expect(seg().ack(301).ece());
    p.send(seg().seq(301).ack(1).text(100).class(ECT_0).cwr());
    p.expect(seg().ack(401));
    p.send(seg().seq(401).ack(1).text(100).class(ECT_0).cwr());
    p.after(40);
    p.expect(seg().ack(501));
}

/// Text ahead of a hole counts, and our own octets carry the echo, too.
#[test]
fn all_segments_echo() {
    let mut p = agreed();
    p.send(seg().seq(101).ack(1).text(100).class(CE));
    p.expect(seg().ack(1).ece());
    p.write_text(1, 100);
    p.expect(seg().ack(1).ece().text(100).class(ECT_0));
    p.shutdown();
    p.expect(seg().seq(101).ack(1).ece().fin().class(NOT_ECT));
}

/// R3168-12: whoever does not know the window cannot slow the peer down.
#[test]
fn marks_outside_the_window_or_without_text_or_agreement_are_nothing() {
    let mut p = agreed();
    p.send(seg().ack(1).text(100).class(ECT_0));
    p.after(40);
    p.expect(seg().ack(101));
    p.send(seg().ack(1).text(100).class(CE)); // Old.
    p.expect(seg().ack(101));
    p.send(seg().seq(70_000).ack(1).text(100).class(CE)); // Beyond.
    p.expect(seg().ack(101));
    p.send(seg().seq(101).ack(1).class(CE)); // Empty.
    p.expect_nothing();
    assert_eq!(p.stack.stats().ecn_marks_in, 0);
    let mut p = Peer::accepted();
    p.send(seg().ack(1).text(100).class(CE));
    p.after(40);
    p.expect(seg().ack(101));
}

proptest! {
    /// R3168-7: whatever comes, in any order: an echo is in each acknowledgment from a mark on, up
    /// to CWR, and is never late.
    #[test]
    fn echoes_follow_marks(
        steps in prop::collection::vec((0_u8..4, any::<bool>(), 1_usize..3000), 1..60)
    ) {
        let mut p = agreed();
        let (mut seq, mut is_echoing) = (1, false);
        for (mark, cwr, len) in steps {
            let text = seg().seq(seq).ack(1).text(len).class(mark);
            p.send(if cwr { text.cwr() } else { text });
            seq += len as i64;
            let before = is_echoing;
            is_echoing = mark == CE || is_echoing && !cwr;
            if before == is_echoing {
                p.run(40);
            }
            let answers = p.take_all();
            let last = answers.last().unwrap();
            prop_assert_eq!(last.ack, Some(seq));
            prop_assert_eq!(last.flags.contains(Flags::ECE), is_echoing);
            p.expect_data(crate::common::pattern(seq as usize - len, len));
            p.take_all();
        }
    }
}
