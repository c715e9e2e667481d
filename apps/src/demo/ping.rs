//! ICMP echo (RFC 792, page 14) where no `ping` is installed, or there is no kernel to ping from.

use std::io::{self, Read as _};
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::icmp::{self, Icmp};
use minitcp_proto::wire::ip::{self, IpHeader, protocol};
use socket2::{Domain, Protocol, Socket, Type};

/// How long anything may take before it has failed.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

/// An echo request with `size` octets of data, without IP header.
pub(crate) fn request(number: u16, size: usize) -> Vec<u8> {
    let mut message = vec![0; icmp::HEADER_LEN];
    let ([id_high, id_low], [high, low]) = (ID.to_be_bytes(), number.to_be_bytes());
    let _fits = icmp::emit_header(ECHO_REQUEST, 0, [id_high, id_low, high, low], &mut message);
    message.extend(data(number).take(size));
    let checksum = Sum::of(&message).finish().to_be_bytes();
    message[icmp::CHECKSUM_OFFSET..][..2].copy_from_slice(&checksum);
    message
}

/// As [`request`], with an IP header.
pub(crate) fn request_packet(from: Ipv4Addr, to: Ipv4Addr, number: u16, size: usize) -> Vec<u8> {
    let message = request(number, size);
    let header = IpHeader {
        src: from.into(),
        dst: to.into(),
        protocol: protocol::ICMP,
        hop_limit: 64,
        traffic_class: 0,
        identification: 0,
        payload_len: message.len(),
    };
    let mut packet = vec![0; header.len()];
    let _fits = header.emit(&mut packet);
    packet.extend(message);
    packet
}

/// `packet` answers `request(number, size)`, data and checksum intact.
pub(crate) fn is_reply(packet: &[u8], from: Ipv4Addr, number: u16, size: usize) -> bool {
    let Ok(packet) = ip::parse(packet) else { return false };
    let reply = match icmp::parse_v4(packet.payload) {
        Ok(Icmp::EchoReply { id, seq, data }) => (id, seq, data),
        _ => return false,
    };
    packet.src == IpAddr::from(from)
        && (reply.0, reply.1) == (ID, number)
        && reply.2.iter().copied().eq(data(number).take(size))
}

/// The kernel's socket for ICMP.
pub(crate) struct RawSocket {
    socket: Socket,
    to: Ipv4Addr,
}

impl RawSocket {
    /// Needs root, in the user namespace that owns the network.
    pub(crate) fn open(to: Ipv4Addr) -> io::Result<Self> {
        let socket = Socket::new(Domain::IPV4, Type::RAW, Some(Protocol::ICMPV4))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        socket.connect(&SocketAddr::new(to.into(), 0).into())?;
        Ok(Self { socket, to })
    }

    /// Sends one echo request and waits for its answer.
    pub(crate) fn is_echoed(&self, number: u16, size: usize) -> bool {
        let (mut packet, begin) = ([0; 2048], Instant::now());
        if self.socket.send(&request(number, size)).is_err() {
            return false;
        }
        while begin.elapsed() < PATIENCE {
            match (&self.socket).read(&mut packet) {
                Ok(len) if is_reply(&packet[..len], self.to, number, size) => return true,
                Ok(_) => {} // Somebody else's.
                Err(_) => return false,
            }
        }
        false
    }
}

/// What the messages carry: different from one to the next.
fn data(number: u16) -> impl Iterator<Item = u8> {
    let [high, low] = number.to_be_bytes();
    (0..=u8::MAX).cycle().map(move |octet| octet ^ low ^ high)
}

const ECHO_REQUEST: u8 = 8;
const ID: u16 = 0x4d54;

#[cfg(test)]
mod tests {
    use super::*;
    use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed, Stack};

    #[test]
    fn a_stack_answers_and_nothing_else_passes_for_the_answer() {
        let (client, server) = (Ipv4Addr::new(10, 0, 0, 1), Ipv4Addr::new(10, 0, 0, 2));
        let memory = Memory::allocate(&Limits::default());
        let mut stack = Stack::new(Config::new(server, 24), memory, Seed::from_u64(1));
        for size in [0, 56, 1400] {
            let request = request_packet(client, server, 7, size);
            stack.handle_packet(Instant::ZERO, &request, RxMeta::default());
            let mut packet = [0; 1500];
            let transmit = stack.poll_transmit(Instant::ZERO).unwrap();
            let len = transmit.copy_to(&mut packet).unwrap();
            assert!(is_reply(&packet[..len], server, 7, size));
            assert!(!is_reply(&packet[..len], server, 8, size));
            assert!(!is_reply(&packet[..len], server, 7, size + 1));
            assert!(!is_reply(&packet[..len], client, 7, size));
            assert!(!is_reply(&request, server, 7, size));
            packet[len - 1] ^= 1;
            assert!(!is_reply(&packet[..len], server, 7, size));
        }
    }
}
