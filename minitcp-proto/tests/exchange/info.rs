//! What a connection says of itself: the cheap part of Linux's `tcp_info`.

use minitcp_proto::{Instant, TcpOptions};

use crate::common::{Peer, config, seg};
use crate::socket_options::{connecting, defaults};

/// R9293-52.
#[test]
fn windows_buffers_and_the_handshake() {
    let options = TcpOptions {
        receive_buffer: 1 << 20,
        send_buffer: 5000,
        max_segment: Some(900),
        ..defaults()
    };
    let mut p = connecting(config(), &options);
    p.pump();
    p.expect_syn(minitcp_proto::wire::tcp::Flags::SYN);
    p.at(1000);
    p.take_all(); // The SYN again.
    p.at(1100);
    p.send(seg().syn().ack(1).win(64_000).mss(1460).ws(3));
    p.take_all();
    let info = p.info();
    assert_eq!((info.rcv_wscale, info.snd_wscale), (5, 3));
    assert_eq!((info.local_mss, info.mss, info.retransmits), (900, 900, 1));
    assert_eq!((info.receive_buffer, info.receive_room), (1 << 20, 1 << 20));
    assert_eq!((info.send_buffer, info.send_room, info.in_flight), (5000, 5000, 0));
    assert_eq!(info.last_sent, Instant::from_millis(1000));
    assert_eq!(info.last_received, Instant::from_millis(1100));
}

/// R9293-52.
#[test]
fn what_is_under_way() {
    let mut p = Peer::far();
    p.at(1000);
    p.write_text(1, 4000);
    assert_eq!(p.take_all().len(), 2, "Nagle holds the tail");
    p.at(1050);
    p.send(seg().ack(1).data(b"unread"));
    let info = p.info();
    assert_eq!((info.in_flight, info.unsent), (2920, 1080));
    assert_eq!(info.send_room, info.send_buffer - 4000);
    assert_eq!(info.receive_room, 65_535 - 6);
    assert_eq!(info.last_sent, Instant::from_millis(1000));
    assert_eq!(info.last_received, Instant::from_millis(1050));
    assert!(!info.is_recovering);
    p.run(400);
    p.take_all();
    let info = p.info();
    assert!(info.is_recovering && info.retransmits > 0, "{info:?}");
    let last_received = info.last_received;
    p.send(seg().seq(90_000).ack(4001)); // Outside the window: who knows who that is.
    p.take_all();
    assert_eq!(p.info().last_received, last_received);
    p.send(seg().seq(7).ack(1461));
    p.run(500);
    p.take_all();
    p.send(seg().seq(7).ack(2921));
    assert_eq!(p.take_all().len(), 1, "the tail");
    let info = p.info();
    assert_eq!((info.in_flight, info.unsent, info.is_recovering), (1080, 0, false));
}

#[test]
fn probes_of_a_shut_window() {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p.write(b"x");
    assert_eq!(p.info().window_probes, 0);
    p.run(1000);
    assert!(p.info().window_probes > 0);
    p.send(seg().ack(2).win(1000));
    assert_eq!(p.info().window_probes, 0);
    p.take_all();
}
