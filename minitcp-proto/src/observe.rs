//! What the stack tells a curious embedder: every packet, every change of state, every decision.

use core::fmt;
use core::net::{IpAddr, SocketAddr};

use crate::call::Call;
use crate::secret::Flow;
use crate::seq::SeqNum;
use crate::stats::Drop;
use crate::tcp::State;
use crate::time::Instant;
use crate::wire::tcp::Flags;

/// Receives [`Trace`] values as they happen. The implementation for `()` compiles to nothing.
pub trait Observer {
    /// `false` lets the stack skip the making of trace values altogether.
    const ENABLED: bool = true;

    /// Something happened at `now`.
    fn trace(&mut self, now: Instant, trace: &Trace);

    /// The application makes a call. Told whatever [`ENABLED`](Self::ENABLED) says; with this
    /// default, nobody listens and it costs nothing.
    #[inline]
    fn call(&mut self, call: &Call<'_>) {
        let _ = call;
    }
}

impl Observer for () {
    const ENABLED: bool = false;
    fn trace(&mut self, _now: Instant, _trace: &Trace) {}
}

impl<O: Observer + ?Sized> Observer for &mut O {
    const ENABLED: bool = O::ENABLED;
    fn trace(&mut self, now: Instant, trace: &Trace) {
        (**self).trace(now, trace);
    }
    fn call(&mut self, call: &Call<'_>) {
        (**self).call(call);
    }
}

/// Which way a packet went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// From the wire to this host.
    Received,
    /// From this host to the wire.
    Sent,
}

impl Direction {
    const fn name(self) -> &'static str {
        match self {
            Self::Received => "recv",
            Self::Sent => "send",
        }
    }
}

/// The decisions of loss recovery and flow control that a trace shows by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Note {
    /// The retransmission timer fired (RFC 6298 §5); the RTO is now so many microseconds.
    RetransmissionTimeout {
        /// The RTO after back-off, in microseconds.
        rto_micros: u32,
    },
    /// Three duplicate ACKs: fast retransmit (RFC 5681 §3.2).
    FastRetransmit {
        /// The first octet taken for lost.
        seq: SeqNum,
    },
    /// Recovery ended with a full acknowledgment (RFC 6582 §3.2).
    Recovered,
    /// A recovery was not called for, and is undone (RFC 5682, RFC 4015).
    Spurious,
    /// The window is reduced, as the peer has echoed a congestion mark (RFC 3168 §6.1.2).
    Echo,
    /// A zero-window probe goes out (RFC 9293 §3.8.6.1).
    WindowProbe,
    /// R1 (RFC 9293 §3.8.3): three retransmissions in vain. If there is another way to the peer, it
    /// should be tried.
    NoAnswer,
    /// The connection ended for want of an answer (R2, RFC 9293 §3.8.3).
    GaveUp,
}

/// One thing that happened.
#[derive(Clone, Copy, Debug)]
pub enum Trace {
    /// A TCP segment came or went.
    Tcp {
        /// Which way.
        direction: Direction,
        /// The four-tuple.
        flow: Flow,
        /// The control bits.
        flags: Flags,
        /// The sequence number.
        seq: SeqNum,
        /// The acknowledgment number; meaningful with ACK set.
        ack: SeqNum,
        /// The window in octets: scaled (RFC 7323 §2.3), but as on the wire in a SYN and in what
        /// belongs to no connection of this host.
        window: u32,
        /// Octets of payload.
        len: u32,
        /// The state before a received segment, after a sent one.
        state: State,
    },
    /// A connection (or listener, or handshake) moved on.
    State {
        /// The four-tuple.
        flow: Flow,
        /// From here.
        from: State,
        /// To here.
        to: State,
    },
    /// A connection decided something.
    Note {
        /// The four-tuple.
        flow: Flow,
        /// What.
        note: Note,
    },
    /// A UDP datagram came or went.
    Udp {
        /// Which way.
        direction: Direction,
        /// The two ends.
        flow: Flow,
        /// Octets of payload.
        len: u32,
    },
    /// An ICMP message came or went.
    Icmp {
        /// Which way.
        direction: Direction,
        /// This host's address.
        local: IpAddr,
        /// The other end's address.
        remote: IpAddr,
        /// ICMP type.
        kind: u8,
        /// ICMP code.
        code: u8,
        /// Octets after the eight-octet ICMP header.
        len: u32,
    },
    /// A packet, or part of one, was thrown away.
    Dropped(Drop),
}

/// One line, as the demos print it, with both ends where it is about two:
/// `[TCP ] recv  SYN  seq=1842910416 ack=0 win=64240 len=0  state=LISTEN  10.0.0.2:80 <- …`
impl fmt::Display for Trace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { direction, flow, flags, seq, ack, window, len, state } => write!(
                f,
                "[TCP ] {}  {flags}  seq={seq} ack={ack} win={window} len={len}  state={state}  {}",
                direction.name(),
                Ends(flow, arrow(*direction)),
            ),
            Self::State { flow, from, to } => {
                write!(f, "[TCP ] state {from} -> {to}  {}", Ends(flow, "-"))
            }
            Self::Note { flow, note } => {
                match note {
                    Note::RetransmissionTimeout { rto_micros } => {
                        write!(f, "[TCP ] timeout, rto is now {} ms", rto_micros / 1000)
                    }
                    Note::FastRetransmit { seq } => write!(f, "[TCP ] fast retransmit seq={seq}"),
                    Note::Recovered => f.write_str("[TCP ] recovered"),
                    Note::Spurious => f.write_str("[TCP ] nothing was lost: recovery undone"),
                    Note::Echo => f.write_str("[TCP ] a mark was echoed: window reduced"),
                    Note::WindowProbe => f.write_str("[TCP ] zero-window probe"),
                    Note::NoAnswer => f.write_str("[TCP ] no answer for a while"),
                    Note::GaveUp => f.write_str("[TCP ] gave up: no answer"),
                }?;
                write!(f, "  {}", Ends(flow, "-"))
            }
            Self::Udp { direction, flow, len } => {
                let ends = Ends(flow, arrow(*direction));
                write!(f, "[UDP ] {}  {ends} len={len}", direction.name())
            }
            Self::Icmp { direction, local, remote, kind, code, len } => write!(
                f,
                "[ICMP] {}  {local} {} {remote} type={kind} code={code} len={len}",
                direction.name(),
                arrow(*direction)
            ),
            Self::Dropped(reason) => write!(f, "[DROP] {reason}"),
        }
    }
}

/// Our end and, unless there is none yet, the other, with a sign between them.
struct Ends<'a>(&'a Flow, &'static str);

impl fmt::Display for Ends<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(flow, sign) = self;
        write!(f, "{}", SocketAddr::new(flow.local, flow.local_port))?;
        if flow.remote_port == 0 && flow.remote.is_unspecified() {
            return Ok(()); // A listener.
        }
        write!(f, " {sign} {}", SocketAddr::new(flow.remote, flow.remote_port))
    }
}

const fn arrow(direction: Direction) -> &'static str {
    match direction {
        Direction::Received => "<-",
        Direction::Sent => "->",
    }
}
