//! Do the numbers of a script stand on the wire as published? A reading of its own, of random
//! scripts: what etherparse finds in the octets must be what the line says, counted here anew.
//!
//! In a segment with SYN all numbers are absolute: the peer's are those on the wire, and the
//! stack's differ by what its SYN differs from the script. In every other segment both sequence
//! and acknowledgment number, and the edges of SACK blocks, count from the SYN of their side.

use std::fmt::Write as _;

use etherparse::{SlicedPacket, TcpOptionElement, TransportSlice};
use minitcp_driver_sim::script::packet::Direction;
use minitcp_driver_sim::script::run::{Report, Settings, run};
use minitcp_driver_sim::script::{self, run::Failure};
use proptest::prelude::*;

/// A packet line: the numbers as they are written.
#[derive(Clone, Debug)]
struct Line {
    inbound: bool,
    flags: &'static str,
    seq: u32,
    len: u32,
    ack: Option<u32>,
    sack: Option<(u32, u32)>,
}

impl Line {
    fn is_syn(&self) -> bool {
        self.flags.contains('S')
    }

    fn write(&self, to: &mut String) {
        let (arrow, time) = if self.inbound { ("<", "+.2") } else { (">", "*") };
        let end = self.seq.wrapping_add(self.len);
        write!(to, "{time} {arrow} {} {}:{end}({})", self.flags, self.seq, self.len).unwrap();
        if let Some(ack) = self.ack {
            write!(to, " ack {ack}").unwrap();
        }
        if self.inbound {
            to.push_str(" win 65535");
        }
        match (self.sack, self.inbound) {
            (Some((left, right)), _) => {
                write!(to, " <sack {left}:{right},nop,nop>").unwrap();
            }
            (None, true) if self.is_syn() => to.push_str(" <mss 1400>"),
            (None, true) => {}
            (None, false) => to.push_str(" <...>"),
        }
        to.push('\n');
    }
}

/// What happens after the handshake.
#[derive(Clone, Copy, Debug)]
enum Step {
    /// The program writes so many octets, at most a segment, and the peer acknowledges them, with a
    /// SACK block somewhere beyond that the stack must not mind.
    Write(u16, u16),
    /// The peer sends so many octets.
    Send(u16),
    /// The peer sends old octets again.
    Repeat(u16),
    /// The peer sends a SYN of any number, which is challenged.
    Syn(u32),
}

/// A script: its lines between calls, both initial numbers, and who opens.
#[derive(Debug)]
struct Plan {
    text: String,
    lines: Vec<Line>,
}

fn handshake(plan: &mut Plan, is_active: bool, isn: u32, peer_isn: u32) {
    let syn = |inbound, flags, seq, ack| Line { inbound, flags, seq, len: 0, ack, sack: None };
    let calls = match is_active {
        true => {
            "0 socket(..., SOCK_STREAM, 0) = 4\n+0 fcntl(4, F_SETFL, O_NONBLOCK) = 0\n\
                 +0 connect(4, ..., ...) = -1 EINPROGRESS (In progress)\n"
        }
        false => {
            "0 socket(..., SOCK_STREAM, 0) = 3\n+0 bind(3, ..., ...) = 0\n+0 listen(3, 1) = 0\n"
        }
    };
    plan.text.push_str(calls);
    let lines = match is_active {
        true => [
            syn(false, "S", isn, None),
            syn(true, "S.", peer_isn, Some(isn.wrapping_add(1))),
            syn(false, ".", 1, Some(1)),
        ],
        false => [
            syn(true, "S", peer_isn, None),
            syn(false, "S.", isn, Some(peer_isn.wrapping_add(1))),
            syn(true, ".", 1, Some(1)),
        ],
    };
    for line in lines {
        line.write(&mut plan.text);
        plan.lines.push(line);
    }
    if !is_active {
        plan.text.push_str("+0 accept(3, ..., ...) = 4\n");
    }
}

fn plan(is_active: bool, isn: u32, peer_isn: u32, steps: &[Step]) -> Plan {
    let mut plan = Plan { text: String::new(), lines: Vec::new() };
    handshake(&mut plan, is_active, isn, peer_isn);
    let (mut ours, mut theirs) = (1_u32, 1_u32);
    let mut add = |text: &mut String, line: Line| {
        line.write(text);
        plan.lines.push(line);
    };
    let ack = |ours, theirs| Line {
        inbound: false,
        flags: ".",
        seq: ours,
        len: 0,
        ack: Some(theirs),
        sack: None,
    };
    for step in steps {
        match *step {
            Step::Write(len, beyond) => {
                writeln!(plan.text, "+.2 write(4, ..., {len}) = {len}").unwrap();
                let len = u32::from(len);
                add(&mut plan.text, Line { flags: "P.", len, ..ack(ours, theirs) });
                ours += len;
                let left = ours + u32::from(beyond);
                let sack = (beyond > 0).then_some((left, left + 10));
                let line = Line { inbound: true, seq: theirs, ack: Some(ours), sack, ..ack(0, 0) };
                add(&mut plan.text, line);
            }
            Step::Send(len) => {
                let len = u32::from(len);
                let line = Line { inbound: true, flags: "P.", len, ..ack(theirs, ours) };
                add(&mut plan.text, line);
                theirs += len;
                add(&mut plan.text, ack(ours, theirs));
                writeln!(plan.text, "+0 read(4, ..., {len}) = {len}").unwrap();
            }
            Step::Repeat(len) if theirs > u32::from(len) => {
                let seq = theirs - u32::from(len);
                let line = Line { inbound: true, len: len.into(), ..ack(seq, ours) };
                add(&mut plan.text, line);
                add(&mut plan.text, ack(ours, theirs));
            }
            Step::Repeat(_) => {}
            Step::Syn(seq) => {
                // Challenges are few: half a second apart.
                plan.text.push_str("+1 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n");
                let line = Line { inbound: true, flags: "S", seq, len: 0, ack: None, sack: None };
                add(&mut plan.text, line);
                add(&mut plan.text, ack(ours, theirs));
            }
        }
    }
    plan
}

/// Sequence and acknowledgment number of a segment, and its first SACK block.
fn numbers(octets: &[u8]) -> (u32, u32, Option<(u32, u32)>) {
    let sliced = SlicedPacket::from_ip(octets).unwrap();
    let Some(TransportSlice::Tcp(tcp)) = sliced.transport else { panic!("no segment") };
    let sack = tcp.options_iterator().find_map(|option| match option {
        Ok(TcpOptionElement::SelectiveAcknowledgement(block, _)) => Some(block),
        _ => None,
    });
    (tcp.sequence_number(), tcp.acknowledgment_number(), sack)
}

/// The wire must have what the lines say.
fn check(plan: &Plan, report: &Report, isn: u32, peer_isn: u32) {
    assert_eq!(report.packets.len(), plan.lines.len(), "{}", plan.text);
    let ours = |line: &Line| !line.inbound && line.is_syn();
    let at = plan.lines.iter().position(ours).expect("a SYN of the stack");
    let live_isn = numbers(&report.packets[at].octets).0;
    for (line, packet) in plan.lines.iter().zip(&report.packets) {
        assert_eq!(packet.direction == Direction::Inbound, line.inbound, "{}", plan.text);
        let (local, remote) = match line.is_syn() {
            true => (live_isn.wrapping_sub(isn), 0),
            false => (live_isn, peer_isn),
        };
        let (of_seq, of_ack) = if line.inbound { (remote, local) } else { (local, remote) };
        let moved = |number: u32| number.wrapping_add(of_ack);
        let expected = (
            line.seq.wrapping_add(of_seq),
            line.ack.map_or(0, moved),
            line.sack.map(|(left, right)| (moved(left), moved(right))),
        );
        assert_eq!(numbers(&packet.octets), expected, "{line:?}\n{}", plan.text);
    }
}

fn play(text: &str, seed: u64) -> Result<Report, Failure> {
    let script = script::parse("random.pkt", text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let settings = Settings { seed, keep_packets: true, ..Settings::default() };
    run("random.pkt", &script, &settings)
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        (1..1400_u16, 0..2000_u16).prop_map(|(len, beyond)| Step::Write(len, beyond)),
        (1..1400_u16).prop_map(Step::Send),
        (1..100_u16).prop_map(Step::Repeat),
        any::<u32>().prop_map(Step::Syn),
    ]
}

/// Any number, and often one whose successors wrap.
fn number() -> impl Strategy<Value = u32> {
    prop_oneof![any::<u32>(), (u32::MAX - 3000)..=u32::MAX, 0..3_u32]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn the_wire_has_what_the_script_says(
        is_active in any::<bool>(),
        (isn, peer_isn) in (number(), number()),
        steps in prop::collection::vec(step(), 0..8),
        seed in any::<u64>(),
    ) {
        let plan = plan(is_active, isn, peer_isn, &steps);
        let report = play(&plan.text, seed).unwrap_or_else(|e| panic!("{e}\n{}", plan.text));
        check(&plan, &report, isn, peer_isn);
    }

    #[test]
    fn a_number_that_is_not_so_fails(
        is_active in any::<bool>(),
        (isn, peer_isn) in (number(), number()),
        steps in prop::collection::vec(step(), 1..5),
        (pick, off, in_ack) in (any::<prop::sample::Index>(), 1..u32::MAX, any::<bool>()),
    ) {
        let plan = plan(is_active, isn, peer_isn, &steps);
        let is_candidate = |line: &&Line| !line.inbound && (!line.is_syn() || in_ack);
        let lines: Vec<_> = plan.lines.iter().filter(is_candidate).cloned().collect();
        prop_assume!(!lines.is_empty());
        let wrong = &lines[pick.index(lines.len())];
        prop_assume!(!in_ack || wrong.ack.is_some());
        let mut other = wrong.clone();
        match in_ack {
            true => other.ack = wrong.ack.map(|ack| ack.wrapping_add(off)),
            false => other.seq = wrong.seq.wrapping_add(off),
        }
        let (mut before, mut after) = (String::new(), String::new());
        wrong.write(&mut before);
        other.write(&mut after);
        let text = plan.text.replacen(&before, &after, 1);
        prop_assert_ne!(&text, &plan.text);
        prop_assert!(play(&text, 1).is_err(), "{text}");
    }
}
