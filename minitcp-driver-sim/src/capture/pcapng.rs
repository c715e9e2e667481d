//! A capture of a run: the pcapng format, with a comment on every packet that met a fault.
//!
//! Each node is an interface. A packet that is sent stands in its sender's interface, with what
//! becomes of it on the next link; a packet that is received stands in its receiver's.
//! (IETF draft-ietf-opsawg-pcapng: section header, interface description, enhanced packet.)

use std::io::{self, Write};

use crate::capture::tap::{Seen, Tap, Way};
use crate::ids::NodeId;
use crate::link::pipe::{Effects, Fate};

/// Writes what it sees to `out`. The first error of `out` is kept, and nothing more is written;
/// [`finish`](Self::finish) returns it.
#[derive(Debug)]
pub struct PcapNg<W: Write> {
    out: W,
    /// The node of each interface that was described.
    interfaces: Vec<NodeId>,
    result: io::Result<()>,
    block: Vec<u8>,
}

impl<W: Write> PcapNg<W> {
    /// Starts a capture with its section header; `title` becomes the section's comment.
    pub fn new(out: W, title: &str) -> Self {
        let (interfaces, result, block) = (Vec::new(), Ok(()), Vec::new());
        let mut capture = Self { out, interfaces, result, block };
        capture.write_section(title);
        capture
    }

    /// Flushes, and gives the output back.
    ///
    /// # Errors
    /// The first error that writing met.
    pub fn finish(mut self) -> io::Result<W> {
        self.result?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn write_section(&mut self, title: &str) {
        self.begin(SECTION_HEADER);
        self.block.extend_from_slice(&BYTE_ORDER_MAGIC.to_le_bytes());
        // Version 1.0; the section's length is not known.
        self.block.extend_from_slice(&[1, 0, 0, 0]);
        self.block.extend_from_slice(&[0xff; 8]);
        self.add_option(OPT_COMMENT, title.as_bytes());
        self.add_option(SHB_USERAPPL, b"minitcp-driver-sim");
        self.end();
    }

    fn interface_of(&mut self, node: NodeId) -> u32 {
        let known = self.interfaces.iter().position(|known| *known == node);
        let index = known.unwrap_or_else(|| {
            self.interfaces.push(node);
            self.begin(INTERFACE_DESCRIPTION);
            self.block.extend_from_slice(&LINKTYPE_RAW.to_le_bytes());
            self.block.extend_from_slice(&[0; 2]);
            // No limit on the length of packets.
            self.block.extend_from_slice(&[0; 4]);
            self.add_option(IF_NAME, format!("node{}", node.number()).as_bytes());
            self.add_option(IF_TSRESOL, &[9]);
            self.end();
            self.interfaces.len() - 1
        });
        u32::try_from(index).unwrap_or(u32::MAX)
    }

    fn write_packet(&mut self, seen: &Seen<'_>) {
        let interface = self.interface_of(seen.node);
        self.begin(ENHANCED_PACKET);
        let nanos = seen.at.as_nanos();
        let len = u32::try_from(seen.bytes.len()).unwrap_or(u32::MAX);
        let [high, low] = [nanos >> 32, nanos & 0xffff_ffff];
        for field in [u64::from(interface), high, low, u64::from(len), u64::from(len)] {
            let [a, b, c, d, ..] = field.to_le_bytes();
            self.block.extend_from_slice(&[a, b, c, d]);
        }
        self.block.extend_from_slice(seen.bytes);
        self.pad();
        let (direction, comment) = match seen.way {
            Way::In(effects) => (INBOUND, describe(effects)),
            Way::Out(Fate::Delivered { effects, .. }) => (OUTBOUND, describe(effects)),
            Way::Out(Fate::Lost(loss)) => (OUTBOUND, Some(format!("dropped: {loss}"))),
        };
        if let Some(comment) = comment {
            self.add_option(OPT_COMMENT, comment.as_bytes());
        }
        self.add_option(EPB_FLAGS, &direction.to_le_bytes());
        self.end();
    }

    fn begin(&mut self, kind: u32) {
        self.block.clear();
        self.block.extend_from_slice(&kind.to_le_bytes());
        // The length follows when it is known.
        self.block.extend_from_slice(&[0; 4]);
    }

    fn add_option(&mut self, code: u16, value: &[u8]) {
        let len = u16::try_from(value.len()).unwrap_or(u16::MAX);
        self.block.extend_from_slice(&code.to_le_bytes());
        self.block.extend_from_slice(&len.to_le_bytes());
        self.block.extend_from_slice(value.get(..usize::from(len)).unwrap_or(value));
        self.pad();
    }

    /// Fields and blocks end at multiples of four octets.
    fn pad(&mut self) {
        self.block.resize(self.block.len().next_multiple_of(4), 0);
    }

    /// Ends the options and the block, and writes it.
    fn end(&mut self) {
        self.add_option(OPT_END, &[]);
        let total = u32::try_from(self.block.len() + 4).unwrap_or(u32::MAX).to_le_bytes();
        self.block.extend_from_slice(&total);
        if let Some(field) = self.block.get_mut(4..8) {
            field.copy_from_slice(&total);
        }
        if self.result.is_ok() {
            self.result = self.out.write_all(&self.block);
        }
    }
}

impl<W: Write> Tap for PcapNg<W> {
    fn packet(&mut self, seen: &Seen<'_>) {
        self.write_packet(seen);
    }
}

fn describe(effects: Effects) -> Option<String> {
    (!effects.is_empty()).then(|| effects.to_string())
}

const SECTION_HEADER: u32 = 0x0a0d_0d0a;
const INTERFACE_DESCRIPTION: u32 = 1;
const ENHANCED_PACKET: u32 = 6;
const BYTE_ORDER_MAGIC: u32 = 0x1a2b_3c4d;
/// Packets start with their IP header.
const LINKTYPE_RAW: u16 = 101;

const OPT_END: u16 = 0;
const OPT_COMMENT: u16 = 1;
const IF_NAME: u16 = 2;
const EPB_FLAGS: u16 = 2;
const SHB_USERAPPL: u16 = 4;
/// Timestamps count in 10⁻ⁿ seconds.
const IF_TSRESOL: u16 = 9;

const INBOUND: u32 = 1;
const OUTBOUND: u32 = 2;
