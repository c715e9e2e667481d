//! Whatever a peer says about urgent data, the stream stays whole, reading goes on, and nothing is
//! held for it (RFC 6093 §6): against a model that knows the rules of RFC 9293 §3.8.5 and of BSD.

use minitcp_proto::{RecvError, TcpOptions, UrgentError};
use proptest::prelude::*;

use crate::common::{Peer, pattern, seg};

/// All octets that the peer ever sends.
const STREAM: usize = 3000;
/// The largest segment.
const SEGMENT: usize = 300;

/// What the peer or the application does next.
#[derive(Clone, Debug)]
enum Step {
    /// A segment at `rcv_nxt` and so far on or back, of so many octets, with an urgent pointer.
    Segment {
        offset: i64,
        len: usize,
        pointer: Option<u16>,
    },
    Read(usize),
    Consume(usize),
    ReadUrgent {
        peek: bool,
    },
    InLine(bool),
}

fn step() -> impl Strategy<Value = Step> {
    let pointer = prop_oneof![Just(0), Just(1), 2_u16..400, Just(0xffff)];
    let offset = prop_oneof![4 => Just(0), 1 => -400_i64..400];
    prop_oneof![
        6 => (offset, 0..SEGMENT, proptest::option::weighted(0.6, pointer))
            .prop_map(|(offset, len, pointer)| Step::Segment { offset, len, pointer }),
        3 => (0_usize..400).prop_map(Step::Read),
        1 => (0_usize..400).prop_map(Step::Consume),
        2 => any::<bool>().prop_map(|peek| Step::ReadUrgent { peek }),
        1 => any::<bool>().prop_map(Step::InLine),
    ]
}

/// Positions count the octets of the stream from 1, as relative sequence numbers do.
struct Model {
    /// The next octet to be read.
    next: i64,
    mark: Option<i64>,
    is_taken: bool,
    in_line: bool,
}

impl Model {
    fn announce(&mut self, last: i64, rcv_nxt: i64) {
        if last < rcv_nxt || self.mark.is_some_and(|mark| last <= mark) {
            return;
        }
        if self.mark == Some(self.next) && !self.in_line && self.next < rcv_nxt {
            self.next += 1;
        }
        (self.mark, self.is_taken) = (Some(last), false);
    }

    /// From where to where a read goes, at most.
    fn readable(&self, rcv_nxt: i64) -> (i64, i64) {
        match self.mark {
            Some(mark) if mark == self.next && mark < rcv_nxt && !self.in_line => {
                (self.next + 1, rcv_nxt)
            }
            Some(mark) if mark > self.next => (self.next, rcv_nxt.min(mark)),
            _ => (self.next, rcv_nxt),
        }
    }

    fn on_read(&mut self, to: i64) {
        self.next = to;
        if self.mark.is_some_and(|mark| mark < to) {
            self.mark = None;
        }
    }

    fn urgent(&self, rcv_nxt: i64) -> Result<i64, UrgentError> {
        match self.mark {
            Some(mark) if !self.in_line && !self.is_taken && mark < rcv_nxt => Ok(mark),
            Some(_) if !self.in_line && !self.is_taken => Err(UrgentError::WouldBlock),
            _ => Err(UrgentError::Nothing),
        }
    }
}

fn text(from: i64, to: i64) -> Vec<u8> {
    pattern(usize::try_from(from).unwrap(), usize::try_from(to - from).unwrap())
}

struct World {
    peer: Peer,
    model: Model,
}

impl World {
    fn new() -> Self {
        let model = Model { next: 1, mark: None, is_taken: false, in_line: true };
        Self { peer: Peer::accepted(), model }
    }

    fn rcv_nxt(&mut self) -> i64 {
        let info = self.peer.info();
        i64::from(info.rcv_nxt.0.wrapping_sub(self.peer.irs))
    }

    /// RFC 9293 §3.10.7.4, first step, where the window is wider than anything that is sent.
    fn segment(&mut self, offset: i64, len: usize, pointer: Option<u16>) {
        let rcv_nxt = self.rcv_nxt();
        let end_of_all = i64::try_from(STREAM).unwrap() + 1;
        let seq = (rcv_nxt + offset).clamp(1, end_of_all);
        let end = (seq + i64::try_from(len).unwrap()).min(end_of_all);
        let is_acceptable = seq >= rcv_nxt || end > rcv_nxt;
        let mut segment = seg().seq(seq).ack(1).data(text(seq, end));
        if let Some(pointer) = pointer {
            segment = segment.urg(pointer);
            if is_acceptable {
                self.model.announce(seq + i64::from(pointer) - 1, rcv_nxt);
            }
        }
        self.peer.send(segment);
        self.peer.take_raw_all();
    }

    fn read(&mut self, most: usize) {
        let rcv_nxt = self.rcv_nxt();
        let (from, end) = self.model.readable(rcv_nxt);
        let to = end.min(from + i64::try_from(most).unwrap());
        let mut out = vec![0; most];
        match self.peer.conn().recv(&mut out) {
            Ok(count) => {
                assert!(end > from);
                assert!(out[..count] == text(from, to), "{from} to {to}");
                if count > 0 {
                    self.model.on_read(to);
                }
            }
            Err(error) => assert_eq!((error, end <= from), (RecvError::WouldBlock, true)),
        }
    }

    fn consume(&mut self, most: usize) {
        let rcv_nxt = self.rcv_nxt();
        let (from, end) = self.model.readable(rcv_nxt);
        let peeked = self.peer.conn().peek().map(|(a, b)| [a, b].concat());
        assert_eq!(peeked.unwrap_or_default(), text(from, end.max(from)));
        self.peer.conn().consume(most);
        let to = end.min(from + i64::try_from(most).unwrap());
        if to > from {
            self.model.on_read(to);
        }
    }

    fn read_urgent(&mut self, peek: bool) {
        let rcv_nxt = self.rcv_nxt();
        let expected = self.model.urgent(rcv_nxt);
        let octet = expected.map(|at| text(at, at + 1)[0]);
        assert_eq!(self.peer.conn().recv_urgent(peek), octet);
        self.model.is_taken |= expected.is_ok() && !peek;
    }

    fn step(&mut self, step: &Step) {
        match *step {
            Step::Segment { offset, len, pointer } => self.segment(offset, len, pointer),
            Step::Read(most) => self.read(most),
            Step::Consume(most) => self.consume(most),
            Step::ReadUrgent { peek } => self.read_urgent(peek),
            Step::InLine(urgent_in_line) => {
                let options = self.peer.conn().options();
                self.peer.conn().set_options(&TcpOptions { urgent_in_line, ..options }).unwrap();
                self.model.in_line = urgent_in_line;
            }
        }
        let at_mark = self.model.mark == Some(self.model.next);
        assert_eq!(self.peer.conn().is_at_mark(), at_mark);
        let unread = self.model.mark.map_or(0, |mark| mark + 1 - self.model.next);
        assert_eq!(i64::from(self.peer.info().urgent_unread), unread);
    }

    /// All that is left comes in order, and can be read to the end.
    fn finish(&mut self) {
        let end = i64::try_from(STREAM).unwrap() + 1;
        while self.rcv_nxt() < end {
            self.segment(0, SEGMENT, None);
        }
        // A mark and what it hides is two more reads.
        for _ in 0..3 {
            self.read(STREAM);
        }
        let is_hidden = self.model.mark == Some(end - 1) && self.model.next == end - 1;
        assert!(self.model.next == end || is_hidden, "stuck at {}", self.model.next);
        self.peer.conn().abort();
        self.peer.pump();
        self.peer.take_raw_all();
        let usage = self.peer.stack.usage();
        assert_eq!((usage.buffer_bytes, usage.connections), (0, 0));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// R9293-48, MUST-31, MUST-33, R6093-3.
    #[test]
    fn any_pointers_anywhere_leave_the_stream_whole(
        steps in proptest::collection::vec(step(), 1..60),
    ) {
        let mut world = World::new();
        for step in &steps {
            world.step(step);
        }
        world.finish();
    }
}

/// A pointer that moves on with each segment, for ever: one event waits, and nothing is held.
#[test]
fn a_mark_that_always_moves_costs_nothing() {
    let mut p = Peer::accepted();
    let options = p.conn().options();
    p.conn().set_options(&TcpOptions { urgent_in_line: false, ..options }).unwrap();
    let before = p.stack.usage();
    for pointer in 1..=0xffff {
        p.send(seg().urg(pointer).ack(1));
    }
    p.take_raw_all();
    assert_eq!(p.stack.usage(), before);
    p.send(seg().ack(1).data(b"still here"));
    p.expect_data(b"still here");
    p.run(40);
    p.take_raw_all();
}
