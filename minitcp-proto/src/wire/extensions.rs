//! IPv6 extension headers (RFC 8200 §4): skipped where they may be; where not, the sender hears of
//! what is wrong, or the packet is dropped without a word.

use super::icmp::v6;
use super::ip::{IpError, protocol};

/// What of an IPv6 packet its sender is to hear of, as Parameter Problem (RFC 4443 §3.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Problem {
    /// The code: of [`v6::PARAMETER_PROBLEM`].
    pub code: u8,
    /// The offset in the packet of the octet at fault.
    pub pointer: u32,
    /// Also if the packet was sent to many.
    pub also_to_many: bool,
}

/// The first protocol that is not an extension header, and where it starts.
#[inline]
pub(super) fn skip(next_header: u8, packet: &[u8]) -> Result<(u8, usize), IpError> {
    let first = Place::first(next_header);
    if !first.is_extension() {
        return Ok((first.kind, first.at)); // As nearly always.
    }
    match walk(first, packet) {
        Ok(last) => Ok((last.kind, last.at)),
        Err(Fault::Silent(error)) => Err(error),
        Err(Fault::Told(_)) => Err(IpError::Problem),
    }
}

/// What is wrong with an IPv6 packet that was refused for [`IpError::Problem`].
pub fn problem_of(packet: &[u8]) -> Option<Problem> {
    match walk(Place::first(*packet.get(NEXT_HEADER)?), packet) {
        Err(Fault::Told(problem)) => Some(problem),
        Ok(_) | Err(Fault::Silent(_)) => None,
    }
}

/// The first place that is no extension header.
fn walk(first: Place, packet: &[u8]) -> Result<Place, Fault> {
    let mut place = first;
    // RFC 8504 §5.3 lets a host bound the chain; the packet is dropped beyond the bound.
    for _ in 0..MAX_EXTENSIONS {
        if !place.is_extension() {
            break;
        }
        let extension = place.extension(packet)?;
        place.check(extension)?;
        place = place.after(extension)?;
    }
    if place.is_extension() { Err(IpError::ExtensionHeader.into()) } else { Ok(place) }
}

/// Why a packet is not taken.
enum Fault {
    Silent(IpError),
    Told(Problem),
}

impl From<IpError> for Fault {
    fn from(error: IpError) -> Self {
        Self::Silent(error)
    }
}

/// Where the protocol of a packet is named that has this header, of an IPv6 packet that was found
/// whole.
pub fn next_header_at(header: &[u8]) -> u32 {
    let mut place = Place::first(header.get(NEXT_HEADER).copied().unwrap_or_default());
    while place.at < header.len() {
        let next = place.extension(header).and_then(|extension| place.after(extension));
        let Ok(next) = next else { break };
        place = next;
    }
    pointer(place.named_at)
}

/// Whether an ICMPv6 error may be sent about `packet`, whatever its extension headers say: it is
/// neither an error nor a redirect itself (RFC 4443 §2.4 (e)), and one can see that.
pub fn may_be_complained_of(packet: &[u8]) -> bool {
    let mut place = Place::first(packet.get(NEXT_HEADER).copied().unwrap_or_default());
    for _ in 0..=MAX_EXTENSIONS {
        let Ok(extension) = place.extension(packet) else { return false };
        match (place.kind, extension) {
            (protocol::ICMPV6, _) => {
                return packet
                    .get(place.at)
                    .is_some_and(|kind| *kind >= v6::FIRST_INFORMATIONAL && *kind != v6::REDIRECT);
            }
            (FRAGMENT, extension) if is_part(extension) => return false,
            _ if !place.is_extension() => return true,
            _ => {}
        }
        let Ok(next) = place.after(extension) else { return false };
        place = next;
    }
    false
}

/// A place in the chain of headers.
#[derive(Clone, Copy)]
struct Place {
    /// What stands here, and where here is.
    kind: u8,
    at: usize,
    /// Where `kind` was said.
    named_at: usize,
}

impl Place {
    const fn first(kind: u8) -> Self {
        Self { kind, at: FIXED_LEN, named_at: NEXT_HEADER }
    }

    #[inline]
    const fn is_extension(self) -> bool {
        matches!(self.kind, HOP_BY_HOP | ROUTING | FRAGMENT | DESTINATION_OPTIONS)
    }

    /// The octets of the extension header here; none if there is another protocol.
    fn extension(self, packet: &[u8]) -> Result<&[u8], IpError> {
        if !self.is_extension() {
            return Ok(&[]);
        }
        let rest = packet.get(self.at..).ok_or(IpError::Truncated)?;
        let &[_, length, ..] = rest else { return Err(IpError::Truncated) };
        // A fragment header has no length of its own: the octet is reserved.
        let len = if self.kind == FRAGMENT { 8 } else { 8 * (usize::from(length) + 1) };
        rest.get(..len).ok_or(IpError::Truncated)
    }

    fn after(self, extension: &[u8]) -> Result<Self, IpError> {
        let kind = *extension.first().ok_or(IpError::Truncated)?;
        Ok(Self { kind, at: self.at + extension.len(), named_at: self.at })
    }

    /// Whether the extension header here can be skipped.
    fn check(self, extension: &[u8]) -> Result<(), Fault> {
        match self.kind {
            // RFC 8200 §4 and §4.1: directly after the fixed header, or not recognized.
            HOP_BY_HOP if self.at != FIXED_LEN => {
                Err(problem(v6::UNRECOGNIZED_NEXT_HEADER, self.named_at))
            }
            HOP_BY_HOP | DESTINATION_OPTIONS => self.check_options(extension),
            // RFC 6946 §4: a fragment that is the whole datagram is not part of another.
            FRAGMENT if is_part(extension) => Err(IpError::Fragment.into()),
            // RFC 8200 §4.4, RFC 5095 §3: no type is recognized, and the packet not forwarded.
            ROUTING if extension.get(SEGMENTS_LEFT).is_some_and(|left| *left > 0) => {
                Err(problem(v6::ERRONEOUS_HEADER_FIELD, self.at + ROUTING_TYPE))
            }
            _ => Ok(()),
        }
    }

    /// RFC 8200 §4.2: of an option that is not known, the two high bits say what to do. None is,
    /// but padding.
    fn check_options(self, extension: &[u8]) -> Result<(), Fault> {
        let mut at = 2;
        while let Some(&kind) = extension.get(at) {
            let unrecognized = |also_to_many| {
                let (code, pointer) = (v6::UNRECOGNIZED_OPTION, pointer(self.at + at));
                Err(Fault::Told(Problem { code, pointer, also_to_many }))
            };
            match kind >> 6 {
                0 => {}
                1 => return Err(IpError::ExtensionHeader.into()),
                2 => return unrecognized(true),
                _ => return unrecognized(false),
            }
            at += match (kind, extension.get(at + 1)) {
                (PAD1, _) => 1,
                (_, Some(len)) => 2 + usize::from(*len),
                (_, None) => return Err(IpError::ExtensionHeader.into()),
            };
        }
        if at == extension.len() { Ok(()) } else { Err(IpError::ExtensionHeader.into()) }
    }
}

/// Of a datagram that came in several.
fn is_part(fragment: &[u8]) -> bool {
    matches!(*fragment, [_, _, high, low, ..] if u16::from_be_bytes([high, low]) & PART_MASK != 0)
}

fn problem(code: u8, at: usize) -> Fault {
    Fault::Told(Problem { code, pointer: pointer(at), also_to_many: false })
}

/// No IP packet comes near 2³² octets.
fn pointer(at: usize) -> u32 {
    u32::try_from(at).unwrap_or(u32::MAX)
}

/// Octets of an IPv6 header without extensions, and where it names what follows.
const FIXED_LEN: usize = 40;
const NEXT_HEADER: usize = 6;

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION_OPTIONS: u8 = 60;
/// Extension headers skipped in one packet; RFC 8200 §4.1 recommends at most six before the
/// upper layer.
const MAX_EXTENSIONS: usize = 6;
/// In a routing header.
const ROUTING_TYPE: usize = 2;
const SEGMENTS_LEFT: usize = 3;
/// The offset and the M flag of a fragment header, without its reserved bits.
const PART_MASK: u16 = 0xfff9;
const PAD1: u8 = 0;

#[cfg(test)]
mod tests {
    use super::*;
    use std::vec::Vec;

    /// An IPv6 header that names `first`, and `payload`.
    fn extended(first: u8, payload: &[u8]) -> Vec<u8> {
        let mut packet = std::vec![0; FIXED_LEN];
        packet[NEXT_HEADER] = first;
        packet.extend_from_slice(payload);
        packet
    }

    #[test]
    fn what_is_skipped() {
        for (first, payload, protocol, at, named_at) in [
            (58, &[1, 2, 3, 4][..], 58, 40, 6),
            (HOP_BY_HOP, &[6, 0, 5, 2, 0, 0, 1, 0, 9][..], 6, 48, 40),
            (HOP_BY_HOP, &[6, 0, 0, 0, 0, 0, 0, 0][..], 6, 48, 40),
            (HOP_BY_HOP, &[6, 0, 0, 1, 3, 0, 0, 0][..], 6, 48, 40),
            (DESTINATION_OPTIONS, &[17, 0, 1, 4, 0, 0, 0, 0, 9][..], 17, 48, 40),
            (DESTINATION_OPTIONS, &[6, 0, 0x1e, 4, 1, 2, 3, 4][..], 6, 48, 40),
            (ROUTING, &[6, 0, 0, 0, 0, 0, 0, 0, 9][..], 6, 48, 40),
            (FRAGMENT, &[6, 77, 0, 6, 1, 2, 3, 4, 9][..], 6, 48, 40),
            (HOP_BY_HOP, &[60, 0, 1, 4, 0, 0, 0, 0, 6, 0, 1, 4, 0, 0, 0, 0][..], 6, 56, 48),
            (ROUTING, &[[6, 1, 0, 0, 0, 0, 0, 0], [0; 8]].concat(), 6, 56, 40),
            // Unknown to this stack, so the protocol of the payload; 59 says that nothing comes.
            (59, &[][..], 59, 40, 6),
            (51, &[6, 4][..], 51, 40, 6),
        ] {
            let packet = extended(first, payload);
            assert_eq!(skip(first, &packet), Ok((protocol, at)), "{first}");
            assert_eq!(next_header_at(&packet[..at]), named_at, "{first}");
        }
    }

    #[test]
    fn what_is_not() {
        let mut hop_by_hop_later = [[0; 8], [6, 0, 1, 4, 0, 0, 0, 0]].concat();
        for (first, payload, expected) in [
            (FRAGMENT, &[6, 0, 0, 1, 0, 0, 0, 0][..], IpError::Fragment),
            (FRAGMENT, &[6, 0, 0, 8, 0, 0, 0, 0][..], IpError::Fragment),
            (FRAGMENT, &[6, 0, 1, 0, 0, 0, 0, 0][..], IpError::Fragment),
            (FRAGMENT, &[6, 0, 0, 0, 0, 0, 0][..], IpError::Truncated),
            (ROUTING, &[6, 0, 0, 1, 0, 0, 0, 0][..], IpError::Problem),
            (DESTINATION_OPTIONS, &[][..], IpError::Truncated),
            (DESTINATION_OPTIONS, &[6, 1, 1, 4, 0, 0, 0, 0][..], IpError::Truncated),
            (DESTINATION_OPTIONS, &[6, 0, 0x80, 4, 0, 0, 0, 0][..], IpError::Problem),
            (DESTINATION_OPTIONS, &[6, 0, 0x40, 4, 0, 0, 0, 0][..], IpError::ExtensionHeader),
            (DESTINATION_OPTIONS, &[6, 0, 1, 5, 0, 0, 0, 0][..], IpError::ExtensionHeader),
            (DESTINATION_OPTIONS, &[6, 0, 1, 3, 0, 0, 0, 1][..], IpError::ExtensionHeader),
            // Jumbo payload, and hop-by-hop options that are not first.
            (HOP_BY_HOP, &[6, 0, 0xc2, 4, 0, 1, 0, 0][..], IpError::Problem),
            (ROUTING, &hop_by_hop_later, IpError::Problem),
        ] {
            let packet = extended(first, payload);
            assert_eq!(skip(first, &packet), Err(expected), "{payload:x?}");
            assert_eq!(problem_of(&packet).is_some(), expected == IpError::Problem);
        }
        hop_by_hop_later[0] = DESTINATION_OPTIONS;
        assert_eq!(skip(ROUTING, &extended(ROUTING, &hop_by_hop_later)), Ok((6, 56)));
    }

    #[test]
    fn the_chain_is_bounded() {
        for (count, expected) in [
            (MAX_EXTENSIONS, Ok((6, FIXED_LEN + 8 * MAX_EXTENSIONS))),
            (MAX_EXTENSIONS + 1, Err(IpError::ExtensionHeader)),
        ] {
            let mut chain = [60, 0, 1, 4, 0, 0, 0, 0].repeat(count);
            chain[8 * (count - 1)] = 6;
            let packet = extended(DESTINATION_OPTIONS, &chain);
            assert_eq!(skip(DESTINATION_OPTIONS, &packet), expected);
        }
    }
}
