//! Why was it dropped? For one reason, whatever came, in whatever state, however often: so that the
//! counters tell how many packets were dropped. `random_calls` holds connections to it, too.

use std::net::IpAddr;

use minitcp_proto::wire::ip::protocol;
use minitcp_proto::{RxMeta, UnboundUdp};
use proptest::prelude::*;

use crate::common::{LOCAL, Peer, REMOTE, config, limits, packet, seg};
use crate::support::{dropped_in, half_open, open, time_wait, turn_to};

const V4: (IpAddr, IpAddr) = (IpAddr::V4(REMOTE), IpAddr::V4(LOCAL));

fn v6() -> (IpAddr, IpAddr) {
    ("fd00::1".parse().unwrap(), "fd00::2".parse().unwrap())
}

/// A host with a connection, a handshake, a remnant and a socket, and a packet of each kind that
/// these and nobody can get.
fn host(unbound: UnboundUdp) -> (Peer, Vec<Vec<u8>>) {
    let mut config = config();
    config.unbound_udp = unbound;
    config.add_address(v6().1, 64);
    let mut p = Peer::new(config, &limits());
    p.listen(8);
    p.stack.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    let known = [open(&mut p, 5000), half_open(&mut p, 5001), time_wait(&mut p, 5002)];
    let mut packets = vec![];
    for talk in &known {
        turn_to(&mut p, talk);
        for at in [-1, 1, 2, 100, 100_000] {
            for like in [seg().rst(), seg().syn(), seg().ack(1), seg().ack(90_000), seg().fin()] {
                packets.push(p.packet(&like.clone().seq(at)));
                packets.push(p.packet(&like.seq(at).data([7; 10])));
            }
        }
    }
    for port in [80, 81] {
        p.local.set_port(port);
        p.remote.set_port(6000);
        packets.extend([seg().syn(), seg().ack(1), seg().rst(), seg()].map(|s| p.packet(&s)));
    }
    for addresses in [V4, v6()] {
        let echo = if addresses.0.is_ipv4() { 8 } else { 128 };
        packets.extend([53, 7000].map(|to| packet::udp_packet(addresses, (9999, to), b"data")));
        let quote = packet::udp_packet((addresses.1, addresses.0), (53, 9999), b"data");
        for (kind, code) in [(echo, 0), (3, 3), (1, 4), (77, 0)] {
            packets.push(packet::icmp_packet(addresses, (kind, code), [0; 4], &quote));
        }
        packets.push(packet::ip_packet(addresses, 99, vec![7; 20], None));
        packets.push(packet::ip_packet(addresses, protocol::NO_NEXT_HEADER, vec![], None));
        // Of destination options, one that must not be skipped (RFC 8200 §4.2).
        packets.push(packet::ip_packet(addresses, 60, vec![17, 0, 0x9e, 2, 0, 0, 1, 0], None));
    }
    (p, packets)
}

proptest! {
    #[test]
    fn a_packet_is_dropped_for_one_reason(
        unbound in prop_oneof![
            Just(UnboundUdp::PortUnreachable), Just(UnboundUdp::Echo), Just(UnboundUdp::Drop),
        ],
        // Which, how often, which octet of it is changed, and milliseconds after that.
        sent in prop::collection::vec(
            (any::<prop::sample::Index>(), 1..60, any::<Option<(u16, u8)>>(), 0..700_u64),
            1..60,
        ),
    ) {
        let (mut p, packets) = host(unbound);
        for (which, times, change, then) in sent {
            let mut bytes = which.get(&packets).clone();
            if let Some((at, to)) = change {
                let at = usize::from(at) % bytes.len();
                bytes[at] = to;
            }
            for _ in 0..times {
                let before = dropped_in(p.stack.stats());
                p.stack.handle_packet(p.now, &bytes, RxMeta::default());
                let dropped = dropped_in(p.stack.stats()) - before;
                prop_assert!(dropped <= 1, "{dropped} reasons for {bytes:02x?}");
            }
            p.pump();
            p.take_raw_all();
            p.run(then);
            p.take_raw_all();
        }
    }
}
