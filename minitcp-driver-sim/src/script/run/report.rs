//! What has a script done?

use crate::script::packet::Direction;

/// What a script that passed has done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// `--dry_run` was given: the script was read and not run.
    pub is_dry_run: bool,
    /// Packets sent to the stack.
    pub inbound: usize,
    /// Packets of the stack that were checked.
    pub outbound: usize,
    /// Packets of the stack that the script does not mention, which an exact script refuses: those
    /// after its last packet, and those of conversations that it has left.
    pub unmentioned: usize,
    /// Virtual time that passed, in nanoseconds.
    pub nanos: u64,
    /// Every packet with its time, in the notation of scripts and in the order of the script; of
    /// very many, the last ones.
    pub exchange: Vec<String>,
    /// Every packet in the order in which it came or left, if the settings keep them.
    pub packets: Vec<RawPacket>,
}

/// A packet of a run, from its IP header on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawPacket {
    /// When, in nanoseconds since the start.
    pub nanos: u64,
    /// Who sent it.
    pub direction: Direction,
    /// All of it.
    pub octets: Vec<u8>,
}
