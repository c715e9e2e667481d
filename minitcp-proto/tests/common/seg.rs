//! The words of a script: `seg().syn().seq(0).mss(1460)`.

use std::fmt;

use minitcp_proto::SeqNum;
use minitcp_proto::wire::options::{Options, SackBlocks, Timestamps};
use minitcp_proto::wire::tcp::Flags;

/// A segment to send or to expect. In an expectation, what is not said is not compared, but for
/// the flags (PSH aside), `seq` and the payload.
#[derive(Clone, Default)]
pub struct Seg {
    pub flags: Flags,
    pub seq: i64,
    pub ack: Option<i64>,
    pub window: Option<u16>,
    pub options: Options,
    /// In an expectation, compare options too.
    pub exact_options: bool,
    pub payload: Vec<u8>,
    pub any_payload: Option<usize>,
    pub push: Option<bool>,
    pub urgent: u16,
    /// The traffic class or type of service of its packet.
    pub class: Option<u8>,
}

pub fn seg() -> Seg {
    Seg { seq: 1, ..Seg::default() }
}

impl Seg {
    fn with(mut self, flags: Flags) -> Self {
        self.flags |= flags;
        self
    }

    /// The SYN, at relative sequence number 0.
    pub fn syn(mut self) -> Self {
        self.seq = 0;
        self.with(Flags::SYN)
    }

    pub fn fin(self) -> Self {
        self.with(Flags::FIN)
    }

    pub fn rst(self) -> Self {
        self.with(Flags::RST)
    }

    pub fn urg(mut self, pointer: u16) -> Self {
        self.urgent = pointer;
        self.with(Flags::URG)
    }

    pub fn ece(self) -> Self {
        self.with(Flags::ECE)
    }

    pub fn cwr(self) -> Self {
        self.with(Flags::CWR)
    }

    /// In a packet with this type of service or traffic class.
    pub fn class(mut self, class: u8) -> Self {
        self.class = Some(class);
        self
    }

    pub fn push(mut self, set: bool) -> Self {
        self.push = Some(set);
        self
    }

    pub fn seq(mut self, seq: i64) -> Self {
        self.seq = seq;
        self
    }

    /// Sets the ACK flag as well.
    pub fn ack(mut self, ack: i64) -> Self {
        self.ack = Some(ack);
        self.with(Flags::ACK)
    }

    /// The window field.
    pub fn win(mut self, window: u16) -> Self {
        self.window = Some(window);
        self
    }

    pub fn mss(mut self, mss: u16) -> Self {
        self.options.mss = Some(mss);
        self.exact_options = true;
        self
    }

    pub fn ws(mut self, shift: u8) -> Self {
        self.options.window_scale = Some(shift);
        self.exact_options = true;
        self
    }

    /// Timestamps: `value` on the sender's clock, `echo` on that of the other. The stack's clock
    /// counts from its SYN on.
    pub fn ts(mut self, value: u32, echo: u32) -> Self {
        self.options.timestamps = Some(Timestamps { value, echo });
        self.exact_options = true;
        self
    }

    pub fn sack_ok(mut self) -> Self {
        self.options.sack_permitted = true;
        self.exact_options = true;
        self
    }

    /// SACK blocks, in relative sequence numbers.
    pub fn sack(mut self, blocks: &[(u32, u32)]) -> Self {
        for &(left, right) in blocks {
            assert!(self.options.sack.push((SeqNum(left), SeqNum(right))));
        }
        self.exact_options = true;
        self
    }

    /// An expectation: no options at all.
    pub fn no_options(mut self) -> Self {
        self.options = Options::NONE;
        self.exact_options = true;
        self
    }

    pub fn data(mut self, payload: impl AsRef<[u8]>) -> Self {
        self.payload = payload.as_ref().to_vec();
        self
    }

    /// `len` octets of the test pattern that belong at this segment's `seq`.
    pub fn text(mut self, len: usize) -> Self {
        self.payload = super::pattern(usize::try_from(self.seq).unwrap(), len);
        self
    }

    /// An expectation: `len` octets of anything.
    pub fn len(mut self, len: usize) -> Self {
        self.any_payload = Some(len);
        self
    }

    /// The options with other beginnings of the numbers: of sequence numbers by `seq`, of TSval
    /// and TSecr by `clocks`.
    pub fn moved(options: &Options, seq: u32, clocks: (u32, u32)) -> Options {
        let mut sack = SackBlocks::EMPTY;
        for &(left, right) in options.sack.as_slice() {
            sack.push((left.plus(seq), right.plus(seq)));
        }
        let timestamps = options.timestamps.map(|Timestamps { value, echo }| Timestamps {
            value: value.wrapping_add(clocks.0),
            echo: echo.wrapping_add(clocks.1),
        });
        Options { sack, timestamps, ..*options }
    }

    /// Whether `got` is what was expected.
    pub fn matches(&self, got: &Self) -> bool {
        let ignored = Flags::PSH;
        (self.flags - ignored) == (got.flags - ignored)
            && self.urgent == got.urgent
            && self.class.is_none_or(|class| Some(class) == got.class)
            && self.push.is_none_or(|push| push == got.flags.contains(Flags::PSH))
            && self.seq == got.seq
            && (self.ack.is_none() || self.ack == got.ack)
            && self.window.is_none_or(|window| Some(window) == got.window)
            && (!self.exact_options || self.options == got.options)
            && match self.any_payload {
                Some(len) => got.payload.len() == len,
                None => self.payload == got.payload,
            }
    }
}

impl fmt::Debug for Seg {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<{} seq={}", self.flags, self.seq)?;
        if let Some(ack) = self.ack {
            write!(f, " ack={ack}")?;
        }
        if let Some(window) = self.window {
            write!(f, " win={window}")?;
        }
        if self.options != Options::NONE {
            let Options { mss, window_scale, sack_permitted, timestamps, sack, .. } = self.options;
            write!(f, " mss={mss:?} ws={window_scale:?} sackOK={sack_permitted}")?;
            write!(f, " ts={timestamps:?} sack={:?}", sack.as_slice())?;
        }
        if let Some(class) = self.class {
            write!(f, " class={class:#04x}")?;
        }
        if self.urgent > 0 {
            write!(f, " urg={}", self.urgent)?;
        }
        write!(f, " len={}", self.any_payload.unwrap_or(self.payload.len()))?;
        if !self.payload.is_empty() {
            let shown = &self.payload[..self.payload.len().min(12)];
            write!(f, " {}", shown.escape_ascii())?;
        }
        write!(f, ">")
    }
}
