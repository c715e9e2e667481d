//! Urgent data: RFC 9293 §3.8.5, RFC 6093, as BSD and Linux show it.

use minitcp_proto::{Readiness, RecvError, SendError, State, TcpOptions, UrgentError};

use crate::common::{Peer, config, pattern, seg};

/// A connection whose urgent octet is read out of line.
fn out_of_line() -> Peer {
    let mut p = Peer::accepted();
    let options = p.conn().options();
    assert!(options.urgent_in_line, "the default");
    p.conn().set_options(&TcpOptions { urgent_in_line: false, ..options }).unwrap();
    assert!(!p.conn().options().urgent_in_line);
    p
}

fn readiness(p: &mut Peer) -> Readiness {
    p.stack.poll_event().map_or(Readiness::empty(), |event| event.readiness)
}

/// RFC 6093 §6: the octets are in line, and a read stops at the mark. R6093-3, MUST-62, MUST-33.
#[test]
fn in_line_nothing_is_left_out() {
    let mut p = Peer::accepted();
    p.send(seg().urg(3).ack(1).data(b"urgent"));
    assert_eq!((p.info().urgent_unread, p.conn().is_at_mark()), (3, false));
    assert_eq!(p.conn().recv_urgent(false), Err(UrgentError::Nothing));
    p.expect_data(b"ur");
    assert_eq!((p.info().urgent_unread, p.conn().is_at_mark()), (1, true));
    p.expect_data(b"gent");
    assert_eq!((p.info().urgent_unread, p.conn().is_at_mark()), (0, false));
    p.at(40);
    p.expect(seg().ack(7));
    // Beyond all windows: no harm.
    p.send(seg().urg(0xffff).seq(7).ack(1));
    assert_eq!((p.state(), p.info().urgent_unread), (State::Established, 0xffff));
    p.send(seg().seq(7).ack(1).data(b"more"));
    p.expect_data(b"more");
    p.at(80);
    p.expect(seg().ack(11));
}

/// MUST-30, MUST-32: it is announced, there, taken, and left out of what is read.
#[test]
fn out_of_line_it_is_read_alone() {
    let mut p = out_of_line();
    readiness(&mut p);
    p.send(seg().urg(3).ack(1).data(b"urgent"));
    assert!(readiness(&mut p).contains(Readiness::URGENT | Readiness::READABLE));
    assert_eq!(p.conn().recv_urgent(true), Ok(b'g'));
    assert_eq!(p.conn().recv_urgent(false), Ok(b'g'));
    assert_eq!(p.conn().recv_urgent(false), Err(UrgentError::Nothing));
    p.expect_data(b"ur");
    assert!(p.conn().is_at_mark());
    p.expect_data(b"ent");
    assert!(!p.conn().is_at_mark());
    p.run(40);
    p.expect(seg().ack(7));
}

/// As on BSD: until it is passed; reading on without it is the end of it.
#[test]
fn what_was_passed_is_gone() {
    let mut p = out_of_line();
    p.send(seg().urg(1).ack(1).data(b"!rest"));
    p.expect_data(b"rest");
    assert_eq!(p.conn().recv_urgent(false), Err(UrgentError::Nothing));
    p.run(40);
    p.expect(seg().ack(6));
}

/// An octet alone does not look like the end of the stream, nor like something to read; and it is
/// not lost by looking.
#[test]
fn alone_it_is_nothing_to_read() {
    let mut p = out_of_line();
    p.send(seg().urg(1).ack(1).data(b"!"));
    p.expect_no_data();
    assert!(p.conn().peek().is_err());
    p.conn().consume(1);
    assert_eq!(p.conn().recv_urgent(false), Ok(b'!'));
    p.expect_no_data();
    p.send(seg().fin().seq(2).ack(1));
    p.expect_eof();
    p.expect(seg().ack(3));
    p.conn().abort();
    p.pump();
    p.expect(seg().rst().ack(3));
}

/// MUST-32: each advance is told, nothing else is. R9293-48: the mark never moves back, and counts
/// with URG only.
#[test]
fn news_are_told_and_nothing_else() {
    let mut p = out_of_line();
    readiness(&mut p);
    let is_told = |p: &mut Peer| readiness(p).contains(Readiness::URGENT);
    p.send(seg().urg(100).ack(1));
    assert!(is_told(&mut p), "the first, before its octets");
    assert_eq!(p.conn().recv_urgent(false), Err(UrgentError::WouldBlock));
    p.send(seg().urg(100).ack(1));
    p.send(seg().urg(99).ack(1));
    let mut without_flag = seg().ack(1);
    without_flag.urgent = 200;
    p.send(without_flag);
    assert!(!is_told(&mut p), "repeated, backwards, without URG");
    assert_eq!(p.info().urgent_unread, 100);
    p.send(seg().urg(101).ack(1));
    assert!(is_told(&mut p), "onwards");
    assert_eq!(p.info().urgent_unread, 101);
    p.send(seg().ack(1).text(101));
    readiness(&mut p);
    assert_eq!(p.conn().recv_urgent(false), Ok(pattern(101, 1)[0]));
    // What has come already, and pointer 0: the octet before the segment.
    p.send(seg().urg(50).seq(1).ack(1));
    p.expect(seg().ack(102));
    p.send(seg().urg(0).seq(102).ack(1));
    assert!(!is_told(&mut p));
    p.expect_data(pattern(1, 100));
}

/// The one that was not read is an ordinary octet again, unless reading has stopped at it.
#[test]
fn a_further_one_takes_the_place() {
    let mut p = out_of_line();
    p.send(seg().urg(2).ack(1).data(b"ab"));
    p.send(seg().urg(2).seq(3).ack(1).data(b"cd"));
    assert_eq!(p.conn().recv_urgent(false), Ok(b'd'));
    p.expect_data(b"abc");
    assert!(p.conn().is_at_mark());
    p.send(seg().urg(2).seq(5).ack(1).data(b"ef"));
    p.expect_data(b"e");
    assert_eq!(p.conn().recv_urgent(false), Ok(b'f'));
    p.run(40);
    p.take_all();
}

/// MUST-31: urgent data of any length: the mark goes on with each segment.
#[test]
fn any_length() {
    let mut p = out_of_line();
    for start in [1, 1001, 2001, 3001] {
        let left = u16::try_from(4001 - start).unwrap();
        p.send(seg().seq(start).urg(left).ack(1).text(1000));
        assert_eq!(p.info().urgent_unread, 4000);
    }
    p.take_all();
    p.expect_data(pattern(1, 3999));
    assert_eq!(p.conn().recv_urgent(false), Ok(pattern(4000, 1)[0]));
}

/// MUST-66, R9293-30: also while our window is shut.
#[test]
fn at_a_shut_window_it_is_heard() {
    let mut p = Peer::accepted();
    let options = p.conn().options();
    p.conn().set_options(&TcpOptions { receive_buffer: 1, ..options }).unwrap();
    let edge = i64::from(p.info().rcv_wnd);
    let mut seq = 1;
    while seq < edge + 1 {
        let len = (edge + 1 - seq).min(1460);
        p.send(seg().seq(seq).ack(1).text(usize::try_from(len).unwrap()));
        seq += len;
    }
    p.take_all();
    assert_eq!(p.info().rcv_wnd, 0);
    readiness(&mut p);
    p.send(seg().seq(seq).urg(5).ack(1));
    assert!(readiness(&mut p).contains(Readiness::URGENT));
    p.send(seg().seq(seq).urg(6).ack(1).data(b"probe"));
    assert!(readiness(&mut p).contains(Readiness::URGENT));
    p.take_all();
}

/// RFC 9293 §3.10.7.3: the SYN,ACK may be urgent, as may what comes ahead of a hole.
#[test]
fn in_a_syn_ack_and_ahead_of_a_hole() {
    let mut p = Peer::connecting(config());
    p.expect_syn(minitcp_proto::wire::tcp::Flags::SYN);
    p.send(seg().syn().urg(3).ack(1).win(64_000).mss(1460));
    p.expect(seg().seq(1).ack(1));
    assert_eq!(p.info().urgent_unread, 2);
    p.send(seg().seq(4).urg(2).ack(1).data(b"def"));
    p.expect(seg().ack(1));
    assert_eq!(p.info().urgent_unread, 5);
    p.send(seg().seq(1).ack(1).data(b"abc"));
    p.expect(seg().ack(7));
    p.expect_data(b"abcd");
    p.expect_data(b"ef");
}

/// A FIN comes first: the octet never will.
#[test]
fn the_stream_may_end_before_it() {
    let mut p = out_of_line();
    p.send(seg().urg(3).fin().ack(1).data(b"x"));
    p.expect(seg().ack(3));
    assert_eq!(p.conn().recv_urgent(false), Err(UrgentError::Finished));
    p.expect_data(b"x");
    p.expect_eof();
    // R9293-48: after the FIN, URG says nothing.
    readiness(&mut p);
    p.send(seg().seq(3).urg(9).ack(1));
    assert!(!readiness(&mut p).contains(Readiness::URGENT));
    p.close();
    p.expect(seg().fin().ack(3));
    p.send(seg().seq(3).ack(2));
}

/// MUST-30, MUST-62, R6093-1: every segment that begins before the end of urgent data tells where
/// that is, sent again or not, until it is acknowledged.
#[test]
fn what_is_sent_urgent_says_so() {
    let mut p = Peer::accepted();
    assert_eq!(p.conn().send_urgent(b"abc"), Ok(3));
    p.pump();
    p.expect(seg().urg(3).ack(1).data(b"abc"));
    p.write(b"later");
    p.expect(seg().seq(4).ack(1).data(b"later"));
    p.send(seg().ack(2));
    p.expect_nothing();
    p.next();
    p.expect(seg().seq(2).urg(2).ack(1).data(b"bclater"));
    // A bare ACK stands behind it.
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(9).ack(2));
    p.send(seg().seq(2).ack(9));
    p.write(b"x");
    p.expect(seg().seq(9).ack(2).data(b"x"));
    p.send(seg().rst().seq(2));
    assert_eq!(p.conn().send_urgent(b"x"), Err(SendError::Closed));
}

/// As on Linux, neither Nagle nor the cork holds it back.
#[test]
fn it_does_not_wait() {
    let mut p = Peer::accepted();
    p.write(b"a");
    p.expect(seg().ack(1).data(b"a"));
    assert_eq!(p.conn().send_urgent(b"!"), Ok(1));
    p.pump();
    p.expect(seg().seq(2).urg(1).ack(1).data(b"!"));
    p.send(seg().ack(3));
    let options = p.conn().options();
    p.conn().set_options(&TcpOptions { cork: true, ..options }).unwrap();
    p.write(b"b");
    p.expect_nothing();
    assert_eq!(p.conn().send_urgent(b"!"), Ok(1));
    p.pump();
    p.expect(seg().seq(3).urg(2).ack(1).data(b"b!"));
    p.send(seg().ack(5));
    p.write(b"c");
    p.expect_nothing();
    p.run(200);
    p.expect(seg().seq(5).ack(1).data(b"c"));
    p.send(seg().ack(6));
}

/// A peer whose window is shut is told at once, and by each probe.
#[test]
fn a_shut_window_does_not_hide_it() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    assert_eq!(p.conn().send_urgent(b"now"), Ok(3));
    p.pump();
    p.expect(seg().urg(3).ack(1));
    p.next();
    p.expect(seg().urg(3).ack(1).data(b"n"));
    p.send(seg().ack(1).win(0));
    p.next();
    p.expect(seg().urg(3).ack(1).data(b"n"));
    p.send(seg().ack(1).win(64_000));
    p.expect(seg().urg(3).ack(1).data(b"n"));
    p.expect(seg().seq(2).urg(2).ack(1).data(b"ow"));
    p.send(seg().ack(4));
}

/// Farther than 65535: the pointer names an octet that is still to come, and then the last.
#[test]
fn farther_than_the_pointer_reaches() {
    let mut p = Peer::accepted_with(config(), seg().win(64_000).mss(1460).ws(3));
    p.send(seg().ack(1).win(64_000));
    let options = p.conn().options();
    p.conn().set_options(&TcpOptions { send_buffer: 1 << 17, ..options }).unwrap();
    let len = 100_000;
    assert_eq!(p.conn().send_urgent(&pattern(1, len)), Ok(len));
    let (mut acked, mut most) = (1, 0);
    while acked < 1 + i64::try_from(len).unwrap() {
        p.pump();
        let sent = p.take_all();
        assert!(!sent.is_empty(), "stalls at {acked}");
        for segment in &sent {
            let end = segment.seq + i64::try_from(segment.payload.len()).unwrap();
            let left = 1 + i64::try_from(len).unwrap() - segment.seq;
            assert_eq!(i64::from(segment.urgent), left.min(0xffff), "at {}", segment.seq);
            assert!(segment.seq + i64::from(segment.urgent) >= end, "a mark inside");
            (acked, most) = (acked.max(end), most.max(segment.payload.len()));
        }
        p.send(seg().ack(acked).win(64_000));
    }
    assert_eq!(most, 1460);
    p.take_all();
}

/// A slow reader of an urgent stream: whole, in order, and never stuck.
#[test]
fn peek_and_consume_stop_there_too() {
    let mut p = out_of_line();
    p.send(seg().urg(3).ack(1).data(b"ab!cd"));
    let peeked = |p: &mut Peer| {
        let connection = p.conn();
        connection.peek().map(|(a, b)| [a, b].concat())
    };
    assert_eq!(peeked(&mut p), Ok(b"ab".to_vec()));
    p.conn().consume(7);
    assert_eq!(peeked(&mut p), Ok(b"cd".to_vec()));
    p.conn().consume(1);
    assert_eq!(peeked(&mut p), Ok(b"d".to_vec()));
    p.conn().consume(9);
    assert_eq!(peeked(&mut p), Err(RecvError::WouldBlock));
    p.run(40);
    p.expect(seg().ack(6));
}
