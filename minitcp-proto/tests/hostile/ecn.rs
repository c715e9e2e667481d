//! What a peer can do with congestion marks and their echoes: slow itself down (RFC 3168 §6.1).

use minitcp_proto::wire::tcp::Flags;
use proptest::prelude::*;

use crate::common::{Peer, Seg, config, pattern, seg};
use crate::support::SYN_ACK;

fn with(mut seg: Seg, flags: Flags) -> Seg {
    seg.flags |= flags;
    seg
}

/// A connection with ECN that the peer has opened.
fn agreed() -> Peer {
    let mut p = Peer::listening(config());
    p.send(with(seg().syn().win(64_000).mss(1460), Flags::ECE | Flags::CWR));
    p.expect_syn(SYN_ACK | Flags::ECE);
    p.after(100);
    p.send(seg().ack(1).win(64_000));
    p.id = p.stack.accept(p.listener.unwrap());
    p
}

/// The connection goes on, a segment for each RTO; nothing is sent twice, and nobody else waits.
#[test]
fn an_echo_in_every_acknowledgment_costs_only_speed() {
    let mut p = agreed();
    p.write_text(1, 200_000);
    let mut acked = 1;
    for _ in 0..1000 {
        for sent in p.take_all() {
            assert_eq!(sent.seq, acked, "in order, and once");
            acked += sent.payload.len() as i64;
        }
        p.run(100);
        p.send(seg().ack(acked).ece());
    }
    assert_eq!(acked, 200_001);
    let stats = p.stack.stats();
    assert_eq!((stats.retransmitted_segments, stats.timeouts), (0, 0));
    assert!(stats.ecn_reductions > 10, "{}", stats.ecn_reductions);
    // Echoes in a storm of acknowledgments, between two segments: one reduction.
    p.write_text(200_001, 1460);
    p.run(1000);
    let (before, cwnd) = (p.stack.stats().ecn_reductions, p.info().cwnd);
    for _ in 0..10_000 {
        p.send(seg().ack(acked).ece());
    }
    assert!(p.stack.stats().ecn_reductions <= before + 1 && p.info().cwnd <= cwnd);
    p.take_all();
}

proptest! {
    /// Any flags, any ECN field, acknowledged or not: both streams arrive whole.
    #[test]
    fn any_notices_leave_the_streams_whole(
        steps in prop::collection::vec((0_u8..4, 0_u8..4, 0_usize..2000, any::<bool>()), 1..60)
    ) {
        let mut p = agreed();
        let (mut seq, mut acked, mut queued) = (1_i64, 1_i64, 1_usize);
        let mut received = Vec::new();
        for (mark, flags, len, acknowledges) in steps {
            let room = p.conn().send(&pattern(queued, 3000)).unwrap_or(0);
            queued += room;
            let notices = [Flags::empty(), Flags::ECE, Flags::CWR, Flags::ECE | Flags::CWR];
            let segment = seg().seq(seq).ack(acked).text(len).class(mark);
            p.run(50);
            p.send(with(segment, notices[usize::from(flags)]));
            seq += len as i64;
            p.run(50);
            for sent in p.take_all() {
                prop_assert!(sent.payload == pattern(sent.seq as usize, sent.payload.len()));
                if acknowledges && sent.seq == acked {
                    acked += sent.payload.len() as i64;
                }
            }
            received.extend(p.read().unwrap_or_default());
        }
        prop_assert!(received == pattern(1, seq as usize - 1));
        // What is left goes out once the peer is fair.
        for _ in 0..2000 {
            for sent in p.take_all() {
                prop_assert!(sent.payload == pattern(sent.seq as usize, sent.payload.len()));
                if sent.seq == acked {
                    acked += sent.payload.len() as i64;
                }
            }
            if acked == queued as i64 {
                break;
            }
            p.run(100);
            p.send(seg().seq(seq).ack(acked));
        }
        prop_assert_eq!(acked, queued as i64);
        prop_assert!(p.stack.connection(p.id.unwrap()).is_some());
        p.take_all();
    }
}
