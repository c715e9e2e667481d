//! Does the kernel cut super-packets as we do? In network namespaces of the tests' own; without
//! root the test says SKIP and passes.

mod support;

use std::fs;
use std::io::{Read, Write};
use std::net::IpAddr;
use std::num::NonZeroU16;

use minitcp_proto::SeqNum;
use minitcp_proto::wire::checksum::pseudo_header;
use minitcp_proto::wire::ip;
use minitcp_proto::wire::options::Options;
use minitcp_proto::wire::segments::Segments;
use minitcp_proto::wire::tcp::{Flags, Segment};
use support::{in_namespace, pattern, run};

/// Our cutting in software against the kernel's, which must cut what it forwards to a device
/// without offloads.
#[test]
fn the_kernel_cuts_super_packets_as_we_do() {
    for version in [4, 6] {
        in_namespace(move || {
            let mut near = device("tun0", true);
            let mut far = device("tun1", false);
            let (from, to) = match version {
                4 => ("10.8.1.2", "10.8.2.2"),
                _ => ("fd01::2", "fd02::2"),
            };
            for (name, address) in [("tun0", from), ("tun1", to)] {
                run("ip", &["link", "set", name, "up"]);
                run("ip", &["route", "add", address, "dev", name]);
            }
            let ip = if version == 4 { "ipv4" } else { "ipv6" };
            fs::write(format!("/proc/sys/net/{ip}/conf/all/forwarding"), "1").unwrap();

            let payload = pattern(5 * 1000 + 1);
            for flags in [Flags::ACK, Flags::ACK | Flags::PSH | Flags::FIN | Flags::CWR] {
                let addresses = (from.parse().unwrap(), to.parse().unwrap());
                let header = tcp_header(addresses, flags, payload.len());
                let mut expected = Vec::new();
                let mut cut =
                    Segments::new(&header, (&payload, &[]), NonZeroU16::new(1000)).unwrap();
                let mut room = [0; 1200];
                while let Some(len) = cut.next_into(&mut room) {
                    expected.push(room[..len].to_vec());
                }
                near.write_all(&tso_packet(&header, &payload, 1000)).unwrap();
                for expected in &expected {
                    let mut got = read_tcp(&mut far);
                    // The router has taken one from the TTL or hop limit.
                    match version {
                        4 => (got[8], got[10], got[11]) = (64, expected[10], expected[11]),
                        _ => got[7] = 64,
                    }
                    assert!(got == *expected, "{flags}\n{got:x?}\n{expected:x?}");
                }
            }
        });
    }
}

fn device(name: &str, vnet: bool) -> tun::Device {
    let mut config = tun::Configuration::default();
    config.tun_name(name);
    config.platform_config(|platform| {
        platform.vnet_hdr(vnet);
    });
    tun::create(&config).unwrap()
}

/// IP and TCP headers of a super-packet, with the sum of the pseudo header where the checksum
/// goes.
fn tcp_header((src, dst): (IpAddr, IpAddr), flags: Flags, len: usize) -> Vec<u8> {
    let segment = Segment {
        src_port: 80,
        dst_port: 5000,
        seq: SeqNum(u32::MAX - 2500),
        ack: SeqNum(7),
        flags,
        window: 99,
        urgent: 0,
        options: Options { mss: Some(1460), ..Options::NONE },
        payload: &[],
    };
    let start = ip::header_len(src);
    let mut out = vec![0; start + segment.header_len()];
    let header_len = segment.emit_header(&mut out[start..]).unwrap();
    let (protocol, payload_len) = (ip::protocol::TCP, header_len + len);
    let (hop_limit, traffic_class, identification) = (64, 2, 65_533);
    let header =
        ip::IpHeader { src, dst, protocol, hop_limit, traffic_class, identification, payload_len };
    header.emit(&mut out).unwrap();
    let mut sum = pseudo_header(src, dst, protocol);
    sum.add_u32(u32::try_from(payload_len).unwrap());
    out[start + 16..start + 18].copy_from_slice(&sum.folded().to_be_bytes());
    out
}

/// A super-packet behind its virtio-net header.
fn tso_packet(header: &[u8], payload: &[u8], size: u16) -> Vec<u8> {
    let is_v4 = header[0] >> 4 == 4;
    let start = if is_v4 { 20 } else { 40 };
    let ecn = if header[usize::from(start) + 13] & 0x80 == 0 { 0 } else { 0x80 };
    let mut packet = vec![1, ecn | if is_v4 { 1 } else { 4 }];
    for field in [u16::try_from(header.len()).unwrap(), size, start, 16] {
        packet.extend(field.to_ne_bytes());
    }
    packet.extend(header);
    packet.extend(payload);
    packet
}

/// The next packet that is TCP; the kernel has things of its own to say over IPv6.
fn read_tcp(device: &mut tun::Device) -> Vec<u8> {
    let mut packet = vec![0; 2000];
    loop {
        let len = device.read(&mut packet).unwrap();
        match packet[0] >> 4 {
            4 if packet[9] == 6 => return packet[..len].to_vec(),
            6 if packet[6] == 6 => return packet[..len].to_vec(),
            _ => {}
        }
    }
}
