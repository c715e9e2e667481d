//! What can the device do for the stack, and what does it say before each packet?

use std::fmt;
use std::io;
use std::num::NonZeroU16;
use std::os::fd::BorrowedFd;

use bitflags::bitflags;
use minitcp_proto::{RxMeta, Transmit, TxChecksum};

use crate::sys;

bitflags! {
    /// What a TUN device does for the stack: what is asked for in
    /// [`TunConfig::offloads`](crate::TunConfig), and what there is in
    /// [`TunDriver::offloads`](crate::TunDriver::offloads). Shown as `checksums, TSO for IPv4`.
    ///
    /// The last four are of no use without checksums, and are not asked for without them.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct TunOffloads: u8 {
        /// The kernel fills in the checksums of TCP and UDP packets that it gets, and hands over
        /// such packets without having made one.
        const CHECKSUM = 1;
        /// TCP packets over IPv4 come as super-packets of up to 64 KiB.
        const TSO4 = 2;
        /// TCP packets over IPv6 do.
        const TSO6 = 4;
        /// Even if they bear CWR (RFC 3168).
        const TSO_ECN = 8;
        /// UDP datagrams of one flow come as super-packets (Linux 6.2 and later).
        const USO = 16;
    }
}

impl TunOffloads {
    /// Takes from the device behind `fd` as much of `self` as the kernel has, the newest feature
    /// given up first, and returns it. The mask belongs to the device and survives whoever
    /// negotiated it, so that "nothing" is set, too.
    pub(crate) fn negotiate(self, fd: BorrowedFd<'_>) -> io::Result<Self> {
        let wanted = if self.contains(Self::CHECKSUM) { self } else { Self::empty() };
        let newest_first = [Self::USO, Self::TSO_ECN, Self::TSO6, Self::TSO4, Self::CHECKSUM];
        let mut mask = wanted;
        for feature in newest_first {
            match sys::set_offload(fd, mask.kernel_mask()) {
                Ok(()) => return Ok(mask),
                // What a kernel does not know.
                Err(error) if error.raw_os_error() == Some(libc::EINVAL) => mask.remove(feature),
                Err(error) => return Err(error),
            }
        }
        sys::set_offload(fd, 0).map(|()| Self::empty())
    }

    /// `TUN_F_..` of `linux/if_tun.h`.
    const fn kernel_mask(self) -> u8 {
        let mut mask = self.intersection(Self::USO.complement()).bits();
        if self.contains(Self::USO) {
            mask |= USO4 | USO6;
        }
        mask
    }
}

impl fmt::Display for TunOffloads {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_empty() {
            return f.write_str("none");
        }
        let names = [
            (Self::CHECKSUM, "checksums"),
            (Self::TSO4, "TSO for IPv4"),
            (Self::TSO6, "TSO for IPv6"),
            (Self::TSO_ECN, "TSO with ECN"),
            (Self::USO, "USO"),
        ];
        let mut separator = "";
        for (_, name) in names.iter().filter(|(feature, _)| self.contains(*feature)) {
            write!(f, "{separator}{name}")?;
            separator = ", ";
        }
        Ok(())
    }
}

/// What stands before a packet: `struct virtio_net_hdr` (virtio 1.2 §5.1.6), in the byte order
/// of the machine, as Linux has it unless told otherwise.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct VnetHeader {
    flags: u8,
    gso_type: u8,
    hdr_len: u16,
    gso_size: u16,
    csum_start: u16,
    csum_offset: u16,
}

impl VnetHeader {
    /// Octets.
    pub(crate) const LEN: usize = 10;

    /// What the device is to do with `transmit`.
    pub(crate) fn asking_for(transmit: &Transmit<'_>) -> Self {
        let mut header = Self::default();
        let TxChecksum::Partial { start, offset } = transmit.checksum else { return header };
        (header.flags, header.csum_start, header.csum_offset) = (NEEDS_CSUM, start, offset);
        let Some(size) = transmit.segment_size else { return header };
        let is_v4 = transmit.header.first().is_some_and(|first| first >> 4 == 4);
        let flags = transmit.header.get(usize::from(start) + 13).copied().unwrap_or(0);
        header.gso_type = if is_v4 { GSO_TCPV4 } else { GSO_TCPV6 };
        if flags & CWR != 0 {
            header.gso_type |= GSO_ECN;
        }
        header.hdr_len = u16::try_from(transmit.header.len()).unwrap_or(u16::MAX);
        header.gso_size = size.get();
        header
    }

    /// Whether the packet is one that the device merged or is to cut.
    pub(crate) const fn is_burst(self) -> bool {
        self.gso_type != GSO_NONE
    }

    /// What the device says of a packet that it hands over.
    pub(crate) fn meta(self) -> RxMeta {
        RxMeta {
            checksum_verified: self.flags & (NEEDS_CSUM | DATA_VALID) != 0,
            segment_size: if self.is_burst() { NonZeroU16::new(self.gso_size) } else { None },
        }
    }

    /// Where the sum starts that is still to be made, and where it goes: both from the start of
    /// the packet.
    pub(crate) fn missing_checksum(self) -> Option<(usize, usize)> {
        let start = usize::from(self.csum_start);
        (self.flags & NEEDS_CSUM != 0).then(|| (start, start + usize::from(self.csum_offset)))
    }

    pub(crate) fn octets(self) -> [u8; Self::LEN] {
        let [a, b] = self.hdr_len.to_ne_bytes();
        let [c, d] = self.gso_size.to_ne_bytes();
        let [e, f] = self.csum_start.to_ne_bytes();
        let [g, h] = self.csum_offset.to_ne_bytes();
        [self.flags, self.gso_type, a, b, c, d, e, f, g, h]
    }

    pub(crate) fn from_octets(octets: [u8; Self::LEN]) -> Self {
        let [flags, gso_type, a, b, c, d, e, f, g, h] = octets;
        Self {
            flags,
            gso_type,
            hdr_len: u16::from_ne_bytes([a, b]),
            gso_size: u16::from_ne_bytes([c, d]),
            csum_start: u16::from_ne_bytes([e, f]),
            csum_offset: u16::from_ne_bytes([g, h]),
        }
    }
}

/// The checksum field holds only the sum of the pseudo header.
const NEEDS_CSUM: u8 = 1;
/// The checksum was found good.
const DATA_VALID: u8 = 2;
const GSO_NONE: u8 = 0;
const GSO_TCPV4: u8 = 1;
const GSO_TCPV6: u8 = 4;
const GSO_ECN: u8 = 0x80;
/// `TUN_F_USO4` and `TUN_F_USO6`.
const USO4: u8 = 0x20;
const USO6: u8 = 0x40;
/// In the octet of TCP's flags.
const CWR: u8 = 0x80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_those_of_the_kernel() {
        assert_eq!(TunOffloads::empty().kernel_mask(), 0);
        assert_eq!(TunOffloads::CHECKSUM.kernel_mask(), 1);
        assert_eq!((TunOffloads::TSO4 | TunOffloads::TSO6).kernel_mask(), 6);
        assert_eq!(TunOffloads::all().kernel_mask(), 0x6f, "without UFO, 0x10");
    }

    #[test]
    fn shown_in_words() {
        assert_eq!(TunOffloads::empty().to_string(), "none");
        let some = TunOffloads::CHECKSUM | TunOffloads::TSO6;
        assert_eq!(some.to_string(), "checksums, TSO for IPv6");
    }

    #[test]
    fn what_the_device_is_asked_for() {
        let mut headers = [0; 60];
        headers[0] = 0x45;
        headers[33] = 0x10;
        let whole = Transmit {
            header: &headers[..40],
            payload: (&[], &[]),
            segment_size: None,
            checksum: TxChecksum::Complete,
        };
        assert_eq!(VnetHeader::asking_for(&whole).octets(), [0; 10]);

        let checksum = TxChecksum::Partial { start: 20, offset: 16 };
        let partial = Transmit { checksum, ..whole };
        let header = VnetHeader::asking_for(&partial);
        assert_eq!(header.missing_checksum(), Some((20, 36)));
        assert!(!header.is_burst());
        assert_eq!(VnetHeader::from_octets(header.octets()), header);

        let burst = Transmit { segment_size: NonZeroU16::new(1460), ..partial };
        let header = VnetHeader::asking_for(&burst);
        assert_eq!((header.gso_type, header.gso_size, header.hdr_len), (GSO_TCPV4, 1460, 40));
        let meta = header.meta();
        assert!(meta.checksum_verified);
        assert_eq!(meta.segment_size, NonZeroU16::new(1460));

        headers[0] = 0x60;
        headers[53] = CWR;
        let checksum = TxChecksum::Partial { start: 40, offset: 16 };
        let segment_size = NonZeroU16::new(1440);
        let congested = Transmit { header: &headers, payload: (&[], &[]), segment_size, checksum };
        assert_eq!(VnetHeader::asking_for(&congested).gso_type, GSO_TCPV6 | GSO_ECN);
    }

    #[test]
    fn what_the_device_says() {
        for (flags, gso_type, gso_size, verified, segment_size) in [
            (0, GSO_NONE, 1460, false, None),
            (DATA_VALID, GSO_NONE, 0, true, None),
            (NEEDS_CSUM, GSO_TCPV6, 1440, true, NonZeroU16::new(1440)),
            (0, GSO_TCPV4, 0, false, None),
        ] {
            let header = VnetHeader { flags, gso_type, gso_size, ..VnetHeader::default() };
            let expected = RxMeta { checksum_verified: verified, segment_size };
            assert_eq!(header.meta(), expected, "{header:?}");
        }
    }
}
