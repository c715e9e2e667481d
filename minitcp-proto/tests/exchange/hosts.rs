//! TCP in its IP packets: hops, options and extension headers around a segment, and which of
//! several addresses and sockets it belongs to (RFC 1122 §3.2, RFC 9293 §3.9.1.1 and §3.9.2).

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::checksum::Sum;
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::wire::{icmp, ip};
use minitcp_proto::{Config, Drop, State};

use crate::common::{LOCAL, Peer, REMOTE, config, limits, packet, seg};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

/// An IPv4 packet with other octets at some places, and its header checksum made right again.
fn altered(mut packet: Vec<u8>, changes: &[(usize, u8)]) -> Vec<u8> {
    for (at, octet) in changes {
        packet[*at] = *octet;
    }
    let len = usize::from(packet[0] & 15) * 4;
    packet[10..12].fill(0);
    let sum = Sum::of(&packet[..len]).finish();
    packet[10..12].copy_from_slice(&sum.to_be_bytes());
    packet
}

/// `packet` with `options` in its IPv4 header.
fn with_options(mut packet: Vec<u8>, options: &[u8]) -> Vec<u8> {
    packet.splice(20..20, options.iter().copied());
    let words = 5 + options.len() / 4;
    let len = u16::try_from(packet.len()).unwrap().to_be_bytes();
    altered(packet, &[(0, 0x40 | words as u8), (2, len[0]), (3, len[1])])
}

/// MUST-50, R1122-9: options of IP that TCP does not know change nothing, whatever they are.
#[test]
fn a_segment_behind_ip_options_counts() {
    let router_alert = [148, 4, 0, 0];
    let record_route = [7, 7, 4, 0, 0, 0, 0, 0];
    let timestamp = [68, 8, 5, 0, 0, 0, 0, 0];
    let unknown = [30, 3, 1, 0];
    let malformed = [148, 0, 0, 0];
    for options in [&router_alert[..], &record_route, &timestamp, &unknown, &malformed] {
        let mut p = Peer::accepted();
        p.send_raw(&with_options(p.packet(&seg().ack(1).data(b"x")), options));
        p.expect_data(b"x");
        p.at(40);
        p.expect(seg().ack(2));
    }
}

/// R9293-4: the pseudo-header has TCP as its next header, and the length of the segment, however
/// many extension headers come before it.
#[test]
fn a_segment_behind_extension_headers_counts() {
    let (remote, local): (IpAddr, IpAddr) =
        ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap());
    let mut p = Peer::new(Config::new(local, 64), &limits());
    (p.local, p.remote) = (SocketAddr::new(local, 80), SocketAddr::new(remote, 5000));
    p.listen(4);
    let mut syn = p.packet(&seg().syn());
    // Destination options: two headers of padding (RFC 8200 §4.6).
    let first = [60, 0, 1, 4, 0, 0, 0, 0];
    let second = [6, 1, 1, 12, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
    syn.splice(40..40, first.into_iter().chain(second));
    syn[6] = 60;
    let len = u16::try_from(syn.len() - 40).unwrap();
    syn[4..6].copy_from_slice(&len.to_be_bytes());
    p.send_raw(&syn);
    p.expect_syn(Flags::SYN | Flags::ACK);
}

/// R9293-2: what the bits without a meaning say is nobody's business.
#[test]
fn reserved_bits_are_ignored() {
    for bits in [0b0010, 0b0100, 0b1000, 0b1110] {
        let mut p = Peer::accepted();
        let mut segment = p.packet(&seg().ack(1).data(b"x")).split_off(20);
        segment[12] |= bits;
        segment[16..18].fill(0);
        p.send_raw(&packet::ip_packet(V4, 6, segment, Some(16)));
        p.expect_data(b"x");
        p.at(40);
        p.expect(seg().ack(2));
    }
}

/// R1122-8: a packet that has arrived needs no more hops.
#[test]
fn hops_that_are_used_up_do_not_matter() {
    for hops in [0, 1] {
        let mut p = Peer::listening(config());
        p.send_raw(&altered(p.packet(&seg().syn()), &[(8, hops)]));
        p.expect_syn(Flags::SYN | Flags::ACK);
        let ping = packet::icmp_packet(V4, (icmp::v4::ECHO_REQUEST, 0), [0; 4], b"ping");
        p.send_raw(&altered(ping, &[(8, hops)]));
        assert_eq!(p.take_raw()[20], icmp::v4::ECHO_REPLY, "{hops}");
    }
}

/// R1122-19: messages that nobody knows; R1122-27: nor does anybody answer for all.
#[test]
fn messages_to_nobody_draw_nothing() {
    let mut p = Peer::new(config(), &limits());
    for kind in [1, 2, 7, 44, 253] {
        p.send_raw(&packet::icmp_packet(V4, (kind, 0), [0; 4], b"what?"));
    }
    assert_eq!(p.dropped(Drop::IgnoredIcmp), 5);
    for to in ["255.255.255.255", "10.0.0.255", "224.0.0.1"] {
        let addresses = (V4.0, to.parse().unwrap());
        p.send_raw(&packet::icmp_packet(addresses, (8, 0), [0; 4], b"ping"));
    }
    assert_eq!(p.dropped(Drop::NotOurs), 3);
    p.expect_empty();
}

/// MUST-44, MUST-45: nobody chose an address, so it is the one in the network of the peer; and it
/// is the same in every segment.
#[test]
fn the_local_address_is_chosen_once() {
    let mut config = config();
    config.add_address([10, 0, 1, 2], 24);
    config.add_address([10, 0, 2, 2], 24);
    for (network, own) in [(0, [10, 0, 0, 2]), (1, [10, 0, 1, 2]), (2, [10, 0, 2, 2])] {
        let mut p = Peer::new(config.clone(), &limits());
        p.remote = SocketAddr::from(([10, 0, network, 1], 80));
        p.id = Some(p.stack.connect(p.now, p.remote, None).unwrap());
        p.local = p.conn().local_addr().unwrap();
        assert_eq!(p.local.ip(), IpAddr::from(own));
        p.pump();
        p.expect_syn(Flags::SYN); // Each `expect` looks at the addresses.
        p.at(1000);
        p.expect_syn(Flags::SYN);
        p.send(seg().syn().ack(1));
        p.expect(seg().ack(1));
        p.write(b"x");
        p.expect(seg().ack(1).data(b"x"));
        p.send(seg().ack(2).fin());
        p.expect(seg().seq(2).ack(2));
        p.close();
        p.expect(seg().seq(2).fin().ack(2));
    }
}

/// R9293-50: the connection before the listener on its address, and that before the one on all.
#[test]
fn the_most_specific_socket_takes_a_segment() {
    let mut config = config();
    config.add_address([10, 0, 0, 3], 24);
    let mut p = Peer::new(config, &limits());
    let on_all = p.stack.listen("0.0.0.0:80".parse().unwrap(), 4).unwrap();
    p.listen(4);
    let on_one = p.listener;
    p.shake(seg()); // `shake` accepts from the listener on the address.
    assert_eq!(p.stack.acceptable(on_all), 0);
    p.send(seg().ack(1).data(b"x"));
    p.expect_data(b"x");
    p.at(40);
    p.expect(seg().ack(2));
    assert_eq!((p.state(), p.stack.acceptable(on_one.unwrap())), (State::Established, 0));
    p.local.set_ip(IpAddr::from([10, 0, 0, 3]));
    p.listener = Some(on_all);
    p.shake(seg());
    assert_eq!(p.conn().local_addr(), Some(p.local));
}

/// MUST-49: where the application says nothing, the host does.
#[test]
fn the_hop_limit_is_a_setting_of_the_host() {
    let mut config = config();
    config.hop_limit = 7;
    let mut p = Peer::listening(config);
    p.send(seg().syn());
    let syn_ack = p.take_raw();
    assert_eq!(ip::parse(&syn_ack).unwrap().hop_limit, 7);
}

/// MUST-41, MUST-42: a port that a connection was opened from, and that has one which lives, can
/// have a listener, and neither connection notices.
#[test]
fn a_listener_beside_connections_on_its_port() {
    let mut p = Peer::connecting(config()); // From port 4000; it stays in SYN-SENT.
    p.expect_syn(Flags::SYN);
    let (calling, callee, iss) = (p.id, p.remote, p.iss);
    p.remote = SocketAddr::new(callee.ip(), 5000);
    p.listen(4);
    p.shake(seg());
    let accepted = p.id;
    assert!(p.stack.listen(p.local, 4).is_err(), "there is one");
    p.stack.close_listener(p.listener.unwrap());
    p.listen(4);
    p.send(seg().ack(1).data(b"x"));
    p.expect_data(b"x");
    p.at(40);
    p.expect(seg().ack(2));
    (p.id, p.remote, p.iss) = (calling, callee, iss);
    p.send(seg().syn().ack(1));
    p.expect(seg().ack(1));
    assert_eq!(p.state(), State::Established);
    p.id = accepted;
    assert_eq!(p.state(), State::Established);
}

/// R1122-21: no error about what was sent to many, came from nobody, or is a later part of
/// something.
#[test]
fn errors_are_for_one_host_about_a_whole_packet() {
    let mut p = Peer::new(config(), &limits());
    let (peer, own) = ("10.0.0.1", "10.0.0.2");
    let unwanted = |from: &str, to: &str| {
        packet::udp_packet((from.parse().unwrap(), to.parse().unwrap()), (5000, 9), b"nobody")
    };
    p.send_raw(&unwanted(peer, own));
    assert_eq!(p.take_raw()[20..22], [icmp::v4::UNREACHABLE, icmp::v4::PORT_UNREACHABLE]);
    for (from, to) in [
        (peer, "255.255.255.255"),
        (peer, "10.0.0.255"),
        (peer, "224.0.0.1"),
        ("255.255.255.255", own),
        ("10.0.0.255", own),
        ("224.0.0.1", own),
        ("127.0.0.1", own),
        ("0.0.0.0", own),
    ] {
        p.send_raw(&unwanted(from, to));
    }
    p.send_raw(&altered(unwanted(peer, own), &[(7, 9)])); // A later fragment.
    p.expect_empty();
}

/// MUST-57: a listener on all addresses has nothing to say to who speaks to many.
#[test]
fn a_syn_to_many_draws_nothing() {
    let mut p = Peer::new(config(), &limits());
    p.stack.listen("0.0.0.0:80".parse().unwrap(), 4).unwrap();
    for to in ["255.255.255.255", "10.0.0.255", "224.0.0.1", "10.0.0.0"] {
        p.local.set_ip(to.parse().unwrap());
        p.send(seg().syn());
        p.send(seg().ack(1));
        p.expect_nothing();
    }
    assert_eq!(p.dropped(Drop::NotOurs), 8);
    p.expect_empty();
}

/// MUST-3: a bit that was turned over anywhere in a segment, or in the addresses that the
/// pseudo-header has, costs the segment and nothing else.
#[test]
fn a_segment_with_a_wrong_bit_is_dropped_in_silence() {
    let mut p = Peer::accepted();
    let options = [1, 1, 253, 4, 9, 9, 1, 0];
    let text = seg().ack(1).data(b"odd");
    let whole = packet::tcp_packet_with_options(V4, &p.segment(&text), &options);
    // The last octet of each address: 10.0.0.1 and 10.0.0.2.
    for at in [15, 19].into_iter().chain(20..whole.len()) {
        for bit in 0..8 {
            let mut wrong = whole.clone();
            wrong[at] ^= 1 << bit;
            p.send_raw(&if at < 20 { altered(wrong, &[]) } else { wrong });
            p.expect_nothing();
        }
    }
    p.expect_no_data();
    let drops = [Drop::TcpChecksum, Drop::NotOurs, Drop::BadSource, Drop::BadTcp];
    let dropped: u64 = drops.map(|reason| p.dropped(reason)).iter().sum();
    assert_eq!(dropped, 8 * (whole.len() as u64 - 18));
    assert!(p.dropped(Drop::TcpChecksum) > 8 * 28);
    p.send_raw(&whole);
    p.expect_data(b"odd");
    p.at(40);
    p.expect(seg().ack(4));
}

/// R1122-26: each address answers for itself; R1122-30: a datagram says which one it was for, and a
/// socket that is bound to one sends from there.
#[test]
fn each_address_speaks_for_itself() {
    let mut config = config();
    config.add_address([10, 0, 0, 3], 24);
    let mut p = Peer::new(config, &limits());
    let on_all = p.stack.udp_bind("0.0.0.0:53".parse().unwrap()).unwrap();
    for own in ["10.0.0.2", "10.0.0.3"] {
        let addresses = (V4.0, own.parse().unwrap());
        p.send_raw(&packet::icmp_packet(addresses, (8, 0), [0; 4], b"ping"));
        p.send_raw(&packet::udp_packet(addresses, (5000, 53), b"question"));
        let got = p.stack.udp_recv(on_all, &mut [0; 10]).unwrap();
        assert_eq!(got.to.ip(), addresses.1);
        let answering = p.stack.udp_bind(got.to).unwrap();
        p.stack.udp_send(answering, got.from, b"answer").unwrap();
        p.pump();
        for packet in p.take_packets() {
            let packet = ip::parse(&packet).unwrap();
            assert_eq!((packet.src, packet.dst), (addresses.1, addresses.0));
        }
        p.stack.udp_close(answering);
    }
}

/// MUST-9, R6528-2: whoever does not have the secret knows nothing of the first number: hosts with
/// other secrets have others for the same four-tuple at the same time, and other distances to a
/// neighbour's.
#[test]
fn nobody_can_tell_the_first_number() {
    let first = |seed, port| {
        let mut p = Peer::with_seed(config(), &limits(), seed);
        p.local.set_port(port);
        p.stack.connect(p.now, p.remote, Some(p.local)).unwrap();
        p.pump();
        p.expect_syn(Flags::SYN);
        p.iss
    };
    let mut numbers = BTreeSet::new();
    let mut distances = BTreeSet::new();
    for seed in 0..100 {
        let number = first(seed, 4000);
        numbers.insert(number >> 8);
        distances.insert(first(seed, 4001).wrapping_sub(number) >> 8);
    }
    assert_eq!((numbers.len(), distances.len()), (100, 100));
}
