//! IPv6 extension headers: what may be skipped is, and of what must not be the sender hears
//! (RFC 8200 §4, RFC 4443 §3.4).

use std::net::IpAddr;

use minitcp_proto::Drop;
use minitcp_proto::wire::{icmp, ip};

use crate::common::{Peer, config, limits, packet};

const HOP_BY_HOP: u8 = 0;
const ROUTING: u8 = 43;
const FRAGMENT: u8 = 44;
const DESTINATION: u8 = 60;
const UDP: u8 = 17;
const ICMPV6: u8 = 58;
/// Four octets to skip.
const PAD: [u8; 4] = [1, 2, 0, 0];

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

fn peer() -> Peer {
    let mut config = config();
    config.add_address(v6().1, 64);
    let mut p = Peer::new(config, &limits());
    p.stack.udp_bind("[fd00::2]:9".parse().unwrap()).unwrap();
    p
}

/// Extension headers, each with its kind and what follows its length, around a datagram to port 9.
fn chain(addresses: (IpAddr, IpAddr), headers: &[(u8, &[u8])], last: (u8, Vec<u8>)) -> Vec<u8> {
    let kinds = headers.iter().map(|header| header.0).chain([last.0]);
    let mut payload = Vec::new();
    for ((kind, content), next) in headers.iter().zip(kinds.clone().skip(1)) {
        let units = (2 + content.len()) / 8 - 1;
        payload.extend([next, if *kind == FRAGMENT { 0 } else { units as u8 }]);
        payload.extend_from_slice(content);
    }
    payload.extend(last.1);
    packet::ip_packet(addresses, kinds.clone().next().unwrap(), payload, None)
}

fn datagram(addresses: (IpAddr, IpAddr)) -> (u8, Vec<u8>) {
    (UDP, packet::udp_packet(addresses, (5000, 9), b"data")[40..].to_vec())
}

fn message(kind: u8) -> (u8, Vec<u8>) {
    (ICMPV6, packet::icmp_packet(v6(), (kind, 0), [0; 4], b"message")[40..].to_vec())
}

/// An options header's content: one option with this type and two octets, then padding.
fn option(kind: u8) -> Vec<u8> {
    vec![kind, 2, 0, 0, 1, 0]
}

/// Code, pointer and source of the only answer, which must be a Parameter Problem that quotes
/// `about`; `None` if there is no answer.
#[track_caller]
fn answer(p: &mut Peer, about: &[u8]) -> Option<(u8, u32, IpAddr)> {
    p.send_raw(about);
    let packets = p.take_packets();
    assert!(packets.len() <= 1);
    let got = packets.first()?;
    packet::verify(got);
    let parsed = ip::parse(got).unwrap();
    let &[kind, code, _, _, a, b, c, d, ref quote @ ..] = parsed.payload else { panic!("short") };
    assert_eq!((kind, parsed.dst), (icmp::v6::PARAMETER_PROBLEM, v6().0));
    assert_eq!(quote, &about[..about.len().min(1280 - 48)]);
    Some((code, u32::from_be_bytes([a, b, c, d]), parsed.src))
}

/// RFC 8200 §4.2: by the two high bits of the option's type.
#[test]
fn options_that_must_not_be_skipped() {
    let many: IpAddr = "ff02::1".parse().unwrap();
    for header in [HOP_BY_HOP, DESTINATION] {
        for (to, bits, expected, dropped) in [
            (v6().1, 0x00, None, None),
            (v6().1, 0x40, None, Some(Drop::IpHeader)),
            (v6().1, 0x80, Some((2, 42, v6().1)), Some(Drop::IpHeader)),
            (v6().1, 0xc0, Some((2, 42, v6().1)), Some(Drop::IpHeader)),
            (many, 0x00, None, Some(Drop::NotOurs)),
            (many, 0x40, None, Some(Drop::IpHeader)),
            (many, 0x80, Some((2, 42, v6().1)), Some(Drop::IpHeader)),
            (many, 0xc0, None, Some(Drop::NotOurs)),
            ("fd00::3".parse().unwrap(), 0x80, None, Some(Drop::NotOurs)),
        ] {
            for low in [0x1e, 0x3f] {
                let mut p = peer();
                let addresses = (v6().0, to);
                let about = chain(addresses, &[(header, &option(bits | low))], datagram(addresses));
                assert_eq!(answer(&mut p, &about), expected, "{header}: {bits:#x} to {to}");
                assert_eq!(p.stack.observer().drops, Vec::from_iter(dropped), "{bits:#x} to {to}");
            }
        }
    }
}

#[test]
fn the_pointer_names_the_octet() {
    let two = [[1, 0].as_slice(), &PAD, &[0xc2, 4, 0, 0, 0, 0, 1, 0]].concat();
    for (headers, expected) in [
        // The second option of a second header, behind padding of one octet and of more.
        (
            vec![(HOP_BY_HOP, PAD.to_vec()), (DESTINATION, vec![0, 0, 0, 0xbe, 0, 0])],
            Some((2, 40 + 8 + 2 + 3)),
        ),
        (vec![(DESTINATION, two)], Some((2, 40 + 2 + 2 + 4))),
        // RFC 8200 §4.4: the type of a routing header that is not understood, unless it is done.
        (vec![(ROUTING, vec![0, 1, 0, 0, 0, 0])], Some((0, 42))),
        (vec![(ROUTING, vec![77, 255, 0, 0, 0, 0])], Some((0, 42))),
        (vec![(DESTINATION, option(5)), (ROUTING, vec![3, 1, 0, 0, 0, 0])], Some((0, 50))),
        (vec![(ROUTING, vec![0, 0, 0, 0, 0, 0])], None),
        (vec![(ROUTING, vec![77, 0, 0, 0, 0, 0])], None),
        // RFC 8200 §4: hop-by-hop options stand first, or are not recognized.
        (vec![(DESTINATION, option(5)), (HOP_BY_HOP, option(5))], Some((1, 40))),
        (vec![(HOP_BY_HOP, option(5)), (HOP_BY_HOP, option(0x80))], Some((1, 40))),
        (vec![(FRAGMENT, vec![0; 6]), (DESTINATION, option(0x80))], Some((2, 50))),
    ] {
        let headers: Vec<_> = headers.iter().map(|(kind, c)| (*kind, fill(c))).collect();
        let headers: Vec<_> = headers.iter().map(|(kind, c)| (*kind, c.as_slice())).collect();
        let mut p = peer();
        let about = chain(v6(), &headers, datagram(v6()));
        let got = answer(&mut p, &about).map(|(code, pointer, _)| (code, pointer));
        assert_eq!(got, expected, "{headers:?}");
        assert_eq!(p.stack.stats().datagrams_in, u64::from(expected.is_none()), "{headers:?}");
    }
}

/// Padded to whole units of eight octets, two of which are kind and length.
fn fill(content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    while !(content.len() + 2).is_multiple_of(8) {
        content.push(0);
    }
    content
}

/// RFC 4443 §3.4, code 1: the octet that named it, also behind extension headers.
#[test]
fn unrecognized_next_headers() {
    for (headers, pointer) in [
        (vec![], 6),
        (vec![(HOP_BY_HOP, &option(5)[..])], 40),
        (vec![(HOP_BY_HOP, &option(5)[..]), (DESTINATION, &option(6)[..])], 48),
        (vec![(FRAGMENT, &[0; 6][..]), (ROUTING, &[0; 14][..])], 48),
    ] {
        for protocol in [1, 50, 51, 132, 135, 253] {
            let mut p = peer();
            let about = chain(v6(), &headers, (protocol, vec![1; 20]));
            let got = answer(&mut p, &about).map(|(code, pointer, _)| (code, pointer));
            assert_eq!(got, Some((1, pointer)), "{protocol}");
            assert_eq!(p.dropped(Drop::Protocol), 1);
        }
        let mut p = peer();
        let nothing = chain(v6(), &headers, (59, vec![1; 20]));
        assert_eq!(answer(&mut p, &nothing), None, "no next header");
    }
}

/// RFC 4443 §2.4 (e): never about an error, nor to nobody or to many, and not too often.
#[test]
fn what_is_never_answered() {
    let problems: [(u8, &[u8]); 3] = [
        (HOP_BY_HOP, &[0x80, 2, 0, 0, 1, 0]),
        (DESTINATION, &[0x80, 2, 0, 0, 1, 0]),
        (ROUTING, &[0, 1, 0, 0, 0, 0]),
    ];
    for problem in problems {
        for (kind, is_answered) in [
            (1, false),
            (2, false),
            (3, false),
            (4, false),
            (100, false),
            (137, false),
            (128, true),
        ] {
            let mut p = peer();
            for headers in [vec![problem], vec![problem, (DESTINATION, &[1, 4, 0, 0, 0, 0])]] {
                let about = chain(v6(), &headers, message(kind));
                assert_eq!(answer(&mut p, &about).is_some(), is_answered, "{kind}");
            }
            // Whether it is an error cannot be seen.
            let cut = chain(v6(), &[problem], (ICMPV6, vec![]));
            assert_eq!(answer(&mut p, &cut), None);
            let fragment = chain(v6(), &[problem, (FRAGMENT, &[0, 8, 0, 0, 0, 1])], message(128));
            assert_eq!(answer(&mut p, &fragment), None);
        }
        for from in ["::", "::1", "ff02::1", "fd00::2", "::ffff:10.0.0.1"] {
            let addresses = (from.parse().unwrap(), v6().1);
            let mut p = peer();
            p.send_raw(&chain(addresses, &[problem], datagram(addresses)));
            assert_eq!((p.take_packets().len(), p.dropped(Drop::BadSource)), (0, 1), "{from}");
        }
        let mut p = peer();
        let about = chain(v6(), &[problem], datagram(v6()));
        (0..1000).for_each(|_| p.send_raw(&about));
        assert!((10..100).contains(&p.take_packets().len()));
        assert!(p.dropped(Drop::RateLimited) > 900);
    }
}

/// Lengths that cannot be, and more headers than anybody needs: dropped without a word.
#[test]
fn malformed_chains() {
    for headers in [
        vec![(DESTINATION, &[5, 5, 0, 0, 0, 0][..])],
        vec![(HOP_BY_HOP, &[1, 3, 0, 0, 0, 5][..])],
        vec![(DESTINATION, &PAD.iter().chain(&[1, 255]).copied().collect::<Vec<u8>>()[..])],
        vec![(DESTINATION, &[1, 4, 0, 0, 0, 0][..]); 7],
    ] {
        let mut p = peer();
        let about = chain(v6(), &headers, datagram(v6()));
        assert_eq!((answer(&mut p, &about), p.dropped(Drop::IpHeader)), (None, 1), "{headers:?}");
    }
}
