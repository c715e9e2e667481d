//! Octets and FINs on segments that carry a SYN: legal (RFC 9293 §3.4, §3.10.7.2, §3.10.7.3), rare,
//! and wherever they come, the stream begins one after the SYN. A host may keep them or not, but
//! what it acknowledges it has, and what it has not it says so.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, State};

use crate::common::{Peer, Seg, config, config_with, pattern, seg};
use crate::support::{SYN_ACK, answering, finish_stream, secs};

const TEXT: &[u8] = b"hello, world";

/// What a SYN may bring: no octet, one, some, all of the stream; the last with a FIN or without.
fn burdens() -> Vec<(usize, bool)> {
    vec![(0, false), (1, false), (5, false), (TEXT.len(), false), (TEXT.len(), true)]
}

fn burdened(like: Seg, (octets, fin): (usize, bool)) -> Seg {
    let like = like.mss(1460).data(&TEXT[..octets]);
    if fin { like.fin() } else { like }
}

/// `acked` is where the stack acknowledged some of the burden: nothing, or all; never in between,
/// and never more.
#[track_caller]
fn assert_lawful(acked: i64, (octets, fin): (usize, bool)) {
    let all = 1 + octets as i64 + i64::from(fin);
    let lawful = acked == 1 || acked == 1 + octets as i64 || acked == all;
    assert!(lawful, "acknowledged {acked} of {octets} octets, FIN: {fin}");
}

/// How far the stack has acknowledged us by now.
fn acknowledged(p: &mut Peer) -> i64 {
    p.run(500);
    p.take_all().iter().filter_map(|got| got.ack).fold(1, i64::max)
}

/// The peer's SYN, for a listener.
#[test]
fn on_the_syn_for_a_listener() {
    for burden in burdens() {
        let mut p = Peer::listening(config());
        p.send(burdened(seg().syn(), burden));
        let syn_ack = p.expect_syn(SYN_ACK);
        assert_lawful(syn_ack.ack.unwrap(), burden);
        let acked = syn_ack.ack.unwrap();
        // Not delivered before the handshake is over.
        assert_eq!(p.stack.accept(p.listener.unwrap()), None);
        p.send(seg().seq(acked).ack(1));
        p.id = p.stack.accept(p.listener.unwrap());
        assert!(p.id.is_some(), "{burden:?}");
        let acked = acknowledged(&mut p).max(acked);
        assert_lawful(acked, burden);
        finish_stream(&mut p, acked, TEXT);
    }
}

/// The SYN comes again, with its octets: nothing is taken twice.
#[test]
fn on_a_repeated_syn_for_a_listener() {
    for burden in burdens() {
        let mut p = Peer::listening(config());
        p.send(burdened(seg().syn(), burden));
        p.expect_syn(SYN_ACK);
        p.send(burdened(seg().syn(), burden));
        let acked = p.expect_syn(SYN_ACK).ack.unwrap();
        assert_lawful(acked, burden);
        p.send(seg().seq(acked).ack(1));
        p.id = p.stack.accept(p.listener.unwrap());
        finish_stream(&mut p, acked, TEXT);
    }
}

/// The SYN,ACK that answers ours: the banner of a server with TCP Fast Open, or of a clever one.
#[test]
fn on_the_syn_ack_for_us() {
    for burden in burdens() {
        let mut p = Peer::connecting(config());
        p.expect_syn(Flags::SYN);
        p.send(burdened(seg().syn().ack(1), burden));
        let acked = acknowledged(&mut p);
        // RFC 9293 §3.10.7.3: "if there are other controls or text, continue at the sixth step".
        assert_eq!(acked, 1 + burden.0 as i64 + i64::from(burden.1), "{burden:?}");
        let state = if burden.1 { State::CloseWait } else { State::Established };
        assert_eq!(p.state(), state, "{burden:?}");
        finish_stream(&mut p, acked, TEXT);
    }
}

/// A SYN,ACK that is repeated, with its octets, because our ACK was lost.
#[test]
fn on_a_repeated_syn_ack() {
    for burden in burdens() {
        let mut p = Peer::connecting(config());
        p.expect_syn(Flags::SYN);
        p.send(burdened(seg().syn().ack(1), burden));
        let acked = acknowledged(&mut p);
        p.send(burdened(seg().syn().ack(1), burden));
        assert!(!p.take_all().is_empty(), "the ACK again");
        finish_stream(&mut p, acked, TEXT);
    }
}

/// The SYN of a simultaneous open (RFC 9293 §3.5, Figure 8, line 3).
#[test]
fn on_the_syn_of_a_simultaneous_open() {
    for burden in burdens() {
        let mut p = Peer::connecting(config());
        p.expect_syn(Flags::SYN);
        p.send(burdened(seg().syn(), burden));
        let syn_ack = p.take_seg();
        assert_eq!((syn_ack.flags, syn_ack.seq), (SYN_ACK, 0));
        assert_lawful(syn_ack.ack.unwrap(), burden);
        p.send(seg().seq(syn_ack.ack.unwrap()).ack(1));
        assert!(p.state().is_synchronized(), "{burden:?}: {}", p.state());
        let acked = acknowledged(&mut p).max(syn_ack.ack.unwrap());
        assert_lawful(acked, burden);
        finish_stream(&mut p, acked, TEXT);
    }
}

/// The SYN,ACK that completes a simultaneous open (line 6 of Figure 8): its octets begin one after
/// the SYN, too.
#[test]
fn on_the_syn_ack_of_a_simultaneous_open() {
    for burden in burdens() {
        let mut p = Peer::connecting(config());
        p.expect_syn(Flags::SYN);
        p.send(seg().syn().mss(1460));
        p.expect(seg().syn().ack(1));
        p.send(burdened(seg().syn().ack(1), burden));
        assert!(p.state().is_synchronized(), "{burden:?}: {}", p.state());
        let acked = acknowledged(&mut p);
        assert_lawful(acked, burden);
        finish_stream(&mut p, acked, TEXT);
    }
}

/// And both of them.
#[test]
fn on_both_segments_of_a_simultaneous_open() {
    for first in burdens() {
        for second in burdens() {
            let mut p = Peer::connecting(config());
            p.expect_syn(Flags::SYN);
            p.send(burdened(seg().syn(), first));
            p.take_all();
            p.send(burdened(seg().syn().ack(1), second));
            let acked = acknowledged(&mut p);
            finish_stream(&mut p, acked, TEXT);
        }
    }
}

/// More than our SYN's window has room for: what lies beyond it is cut off, and the FIN with it.
#[test]
fn beyond_the_window_of_our_syn() {
    let text = pattern(1, 2000);
    for fin in [false, true] {
        let mut p = Peer::connecting(config_with(|c| c.receive_buffer = 1000));
        p.expect_syn(Flags::SYN);
        let like = seg().syn().ack(1).mss(1460).data(&text[..1400]);
        p.send(if fin { like.fin() } else { like });
        let acked = acknowledged(&mut p);
        assert!((1..=1001).contains(&acked), "{acked} of 1000");
        assert_eq!(p.state(), State::Established, "the FIN was beyond");
        let mut out = [0; 2000];
        let mut read = Vec::new();
        let mut at = acked;
        for _ in 0..20 {
            while let Ok(len) = p.conn().recv(&mut out) {
                read.extend_from_slice(&out[..len]);
            }
            p.pump();
            p.run(500);
            at = p.take_all().iter().filter_map(|got| got.ack).fold(at, i64::max);
            let rest = &text[(at - 1) as usize..];
            p.send(seg().seq(at).ack(1).data(&rest[..rest.len().min(500)]));
        }
        assert!(read == text, "{} octets", read.len());
        p.take_all();
    }
}

/// A SYN on a connection that is open brings nothing, wherever its number lies (RFC 5961 §4.2).
#[test]
fn on_a_syn_for_an_open_connection() {
    for at in [-5, 0, 1, 100] {
        for ack in [None, Some(1)] {
            let mut p = Peer::accepted();
            let like = burdened(seg().syn().seq(at), (5, true));
            p.send(ack.map_or(like.clone(), |ack| like.ack(ack)));
            p.take_all();
            assert_eq!(p.state(), State::Established);
            p.expect_no_data();
            finish_stream(&mut p, 1, TEXT);
        }
    }
}

/// SYN and FIN with an ACK, for a listener: a reset, as any ACK (RFC 9293 §3.10.7.2); with RST:
/// nothing.
#[test]
fn odd_companions_of_a_syn() {
    let mut p = Peer::listening(config());
    p.send(seg().syn().fin().ack(7));
    p.expect(seg().rst().seq(7));
    p.send(seg().syn().fin().rst());
    p.expect_nothing();
    // SYN with URG and PSH is a SYN.
    p.send(seg().syn().urg(5).mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    assert!(p.stack.accept(p.listener.unwrap()).is_some());
}

/// A SYN with a FIN and without octets, after which nothing comes but the ACK: the connection ends
/// in order, and no war of ACKs begins.
#[test]
fn a_syn_with_a_fin_ends_in_order() {
    for repeats_the_fin in [true, false] {
        let mut p = Peer::listening(config());
        p.send(seg().syn().fin().mss(1460));
        let acked = p.expect_syn(SYN_ACK).ack.unwrap();
        p.send(seg().seq(acked).ack(1));
        p.id = p.stack.accept(p.listener.unwrap());
        if acked == 1 && repeats_the_fin {
            p.send(seg().fin().seq(1).ack(1));
        }
        p.run(100);
        p.take_all();
        p.close();
        let sent = answering(&mut p, secs(100), |_| Some(seg().seq(2).ack(2)));
        assert!(sent.len() <= 4, "a war: {sent:?}");
        p.run(3_600_000);
        p.take_all();
        assert_eq!(p.stack.usage().connections, 0);
    }
}

/// A reset that carries octets (RFC 9293 §3.10.7.4: an explanation) is a reset, in SYN-SENT too.
#[test]
fn a_reset_with_octets_in_syn_sent() {
    let mut p = Peer::connecting(config());
    p.expect_syn(Flags::SYN);
    p.send(seg().rst().seq(0).ack(1).data(b"no such service"));
    assert_eq!(p.conn().close_reason(), Some(CloseReason::Refused));
}
