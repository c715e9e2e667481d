//! What the options of a connection do on the wire: buffers, Nagle and cork, delayed ACKs, MSS,
//! timeouts, header fields; set before the SYN leaves and after.

use std::time::Duration;

use minitcp_proto::wire::ip;
use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{
    CloseReason, Config, Congestion, Event, Keepalive, ListenOptions, OptionError, Readiness,
    SocketId, TcpOptions,
};

use crate::common::{Peer, config, config_with, limits, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

pub(crate) fn defaults() -> TcpOptions {
    config().tcp_options()
}

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

/// The stack has sent its SYN with these options.
pub(crate) fn connecting(config: Config, options: &TcpOptions) -> Peer {
    let mut p = Peer::new(config, &limits());
    p.local.set_port(4000);
    p.remote.set_port(80);
    let id = p.stack.connect_with(p.now, p.remote, Some(p.local), options);
    p.id = Some(id.unwrap());
    p
}

/// As `Peer::connected`, with these options from the start.
pub(crate) fn connected(options: &TcpOptions) -> Peer {
    let mut p = connecting(config(), options);
    p.pump();
    p.expect_syn(Flags::SYN);
    p.send(seg().syn().ack(1).win(64_000).mss(1460));
    p.expect(seg().seq(1).ack(1));
    p
}

/// A listener whose connections start with these options.
fn listening(config: Config, tcp: TcpOptions) -> Peer {
    let mut p = Peer::listening(config);
    let options = ListenOptions { tcp, defer_accept: None };
    assert!(p.stack.set_listener_options(p.listener.unwrap(), &options));
    p
}

#[track_caller]
pub(crate) fn set(p: &mut Peer, options: &TcpOptions) {
    p.conn().set_options(options).unwrap();
    p.pump();
}

fn events(p: &mut Peer) -> Readiness {
    let id = SocketId::Connection(p.id.unwrap());
    let raised = std::iter::from_fn(|| p.stack.poll_event());
    raised
        .filter(|event: &Event| event.socket == id)
        .fold(Readiness::empty(), |all, event| all | event.readiness)
}

#[test]
fn what_is_set_is_what_holds() {
    let keepalive = Keepalive { idle: secs(9), interval: secs(8), count: 7 };
    let options = TcpOptions {
        receive_buffer: 30_000,
        send_buffer: 20_000,
        tune_receive_buffer: true,
        tune_send_buffer: true,
        no_delay: true,
        cork: true,
        quick_ack: true,
        max_segment: Some(1000),
        user_timeout: Some(Duration::from_millis(1500)),
        keepalive: Some(keepalive),
        not_sent_low_water: Some(4096),
        hop_limit: Some(9),
        traffic_class: 0xb8,
        urgent_in_line: false,
        congestion: Congestion::NewReno,
    };
    let mut p = connected(&defaults());
    assert_eq!(p.conn().options(), defaults());
    set(&mut p, &options);
    assert_eq!(p.conn().options(), options);
    let bad = TcpOptions { max_segment: Some(87), no_delay: false, ..options };
    assert_eq!(p.conn().set_options(&bad), Err(OptionError::Invalid));
    assert_eq!(p.conn().options(), options, "nothing was changed");
    p.conn().set_no_delay(false);
    p.conn().set_congestion(Congestion::Cubic);
    let now = TcpOptions { no_delay: false, congestion: Congestion::Cubic, ..options };
    assert_eq!(p.conn().options(), now);
}

#[test]
fn accepted_connections_inherit() {
    let options = TcpOptions {
        receive_buffer: 8000,
        send_buffer: 5000,
        no_delay: true,
        max_segment: Some(600),
        hop_limit: Some(7),
        traffic_class: 0xfc,
        urgent_in_line: false,
        congestion: Congestion::NewReno,
        ..defaults()
    };
    let mut p = listening(config(), options);
    p.send(seg().syn().mss(1460).ws(2));
    let syn_ack = p.expect_syn(SYN_ACK);
    assert_eq!((syn_ack.options.mss, syn_ack.window), (Some(600), Some(8000)));
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    assert_eq!(p.conn().options(), options);
    assert_eq!(p.info().mss, 600);
    p.pump();
}

// --- buffers ---

#[test]
fn receive_buffer_sets_window_and_scale_before_the_syn() {
    let large = TcpOptions { receive_buffer: 1 << 20, ..defaults() };
    let small = TcpOptions { receive_buffer: 5000, ..defaults() };
    for (first, second, window, scale) in [
        (large, None, 65_535, 5),
        (small, None, 5000, 0),
        (large, Some(small), 5000, 0),
        (small, Some(large), 65_535, 5),
    ] {
        let mut p = connecting(config(), &first);
        if let Some(options) = second {
            p.conn().set_options(&options).unwrap();
        }
        p.pump();
        let syn = p.expect_syn(Flags::SYN);
        assert_eq!((syn.window, syn.options.window_scale), (Some(window), Some(scale)));
        p.send(seg().syn().ack(1).win(64_000).ws(2));
        let ack = p.take_seg();
        let offered = u32::from(ack.window.unwrap()) << scale;
        assert!(offered >= u32::from(window), "{offered} of {window}");
    }
}

/// The scale is chosen for what the buffer may become, by either side of the handshake.
#[test]
fn receive_buffer_grows_as_far_as_the_scale_that_was_chosen_for_it() {
    let config = || config_with(|c| c.largest_receive_buffer = 1 << 20);
    let small = TcpOptions { receive_buffer: 5000, ..defaults() };
    let mut p = connecting(config(), &small);
    p.conn().set_options(&TcpOptions { receive_buffer: 4000, ..defaults() }).unwrap();
    p.conn().set_options(&small).unwrap();
    p.pump();
    let syn = p.expect_syn(Flags::SYN);
    assert_eq!((syn.window, syn.options.window_scale), (Some(5000), Some(5)));
    p.send(seg().syn().ack(1).win(64_000).ws(2));
    let ack = p.take_seg();
    assert!((4096..=5024).contains(&(u32::from(ack.window.unwrap()) << 5)), "{ack:?}");
    set(&mut p, &TcpOptions { receive_buffer: 1 << 20, ..defaults() });
    let update = p.take_seg();
    assert!(u32::from(update.window.unwrap()) << 5 > 900_000, "{update:?}");

    let mut p = listening(config(), small);
    p.send(seg().syn().win(64_000).ws(2));
    let syn_ack = p.expect_syn(Flags::SYN | Flags::ACK);
    assert_eq!((syn_ack.window, syn_ack.options.window_scale), (Some(5000), Some(5)));
}

/// What the SYN said is repeated, and kept, whatever the application wants meanwhile.
#[test]
fn receive_buffer_between_two_syns() {
    let mut p = connecting(config(), &TcpOptions { receive_buffer: 1 << 20, ..defaults() });
    p.pump();
    p.expect_syn(Flags::SYN);
    set(&mut p, &TcpOptions { receive_buffer: 3000, ..defaults() });
    p.at(1000);
    p.expect(seg().syn().win(65_535).mss(1460).ws(5).sack_ok().ts(1000, 0));
    p.send(seg().syn().ack(1).win(64_000).ws(2));
    let ack = p.take_seg();
    assert!(u32::from(ack.window.unwrap()) << 5 >= 65_535, "withdrawn: {ack:?}");
}

/// The peer's SYN finds ours still waiting to be fetched.
#[test]
fn receive_buffer_where_the_syns_cross_at_once() {
    for receive_buffer in [5000, 1 << 20] {
        let mut p = connecting(config(), &TcpOptions { receive_buffer, ..defaults() });
        p.send(seg().syn().ws(2));
        let syn_ack = p.expect_syn(SYN_ACK);
        assert_eq!(syn_ack.window, Some(receive_buffer.min(65_535) as u16));
    }
}

#[test]
fn a_shrunk_receive_buffer_withdraws_nothing() {
    let mut p = Peer::accepted();
    set(&mut p, &TcpOptions { receive_buffer: 4000, ..defaults() });
    p.expect_nothing();
    // All that was offered before is taken: 65535 octets, and the edge never moves left.
    let mut sent = 1;
    while sent < 65_536 {
        let len = 1460.min(65_536 - sent);
        p.send(seg().seq(sent).ack(1).text(len as usize));
        sent += len;
        for ack in p.take_all() {
            let edge = ack.ack.unwrap() + i64::from(ack.window.unwrap());
            assert_eq!(edge, 65_536, "{ack:?}");
        }
    }
    p.run(100);
    p.take_all();
    assert_eq!(p.info().unread, 65_535);
    // Once it is read, the window is that of the new buffer.
    p.read().unwrap();
    p.expect(seg().seq(1).ack(65_536).win(4000));
    p.send(seg().seq(65_536).ack(1).text(1460));
    p.run(100);
    p.expect(seg().seq(1).ack(65_536 + 1460).win(4000 - 1460));
}

#[test]
fn a_grown_receive_buffer_is_offered_as_far_as_the_scale_goes() {
    let mut p = connected(&TcpOptions { receive_buffer: 2000, ..defaults() });
    set(&mut p, &TcpOptions { receive_buffer: 1 << 20, ..defaults() });
    p.expect(seg().seq(1).ack(1).win(65_535));
}

#[test]
fn send_buffer_caps_what_send_takes() {
    let mut p = connected(&TcpOptions { send_buffer: 3000, ..defaults() });
    assert_eq!(p.conn().send(&[7; 5000]), Ok(3000));
    assert_eq!(p.conn().send_room(), 0);
    events(&mut p);
    set(&mut p, &TcpOptions { send_buffer: 6000, ..defaults() });
    assert!(events(&mut p).contains(Readiness::WRITABLE));
    assert_eq!(p.conn().send(&[7; 5000]), Ok(3000));
    set(&mut p, &TcpOptions { send_buffer: 100, ..defaults() });
    assert_eq!(p.conn().send(&[7; 5000]), Ok(0), "and what is queued stays");
    assert_eq!(p.conn().unacknowledged(), 6000);
    p.take_all();
}

#[test]
fn not_sent_low_water_limits_what_waits_unsent() {
    let mut p = Peer::new(config(), &limits());
    p.listen(4);
    p.shake(seg().win(3000).mss(1000));
    set(&mut p, &TcpOptions { not_sent_low_water: Some(2000), ..defaults() });
    assert_eq!(p.conn().send_room(), 2000);
    assert_eq!(p.conn().send(&[1; 9000]), Ok(2000));
    events(&mut p);
    p.pump(); // Both segments leave: nothing is unsent, so there is room again.
    assert_eq!(p.take_all().len(), 2);
    assert!(events(&mut p).contains(Readiness::WRITABLE));
    assert_eq!(p.conn().send(&[1; 9000]), Ok(2000));
    p.pump(); // One fills the window, the other waits.
    assert_eq!(p.take_all().len(), 1);
    assert_eq!(p.conn().send_room(), 1000);
    assert!(!events(&mut p).contains(Readiness::WRITABLE), "half of it still waits");
    p.send(seg().ack(3001).win(3000));
    assert_eq!(p.take_all().len(), 1);
    assert!(events(&mut p).contains(Readiness::WRITABLE));
    assert_eq!(p.conn().send_room(), 2000);
}

// --- when to send ---

#[test]
fn no_delay_sends_small_segments_at_once() {
    let mut p = connected(&TcpOptions { no_delay: true, ..defaults() });
    p.write(b"a");
    p.expect(seg().seq(1).ack(1).data(b"a"));
    p.write(b"b");
    p.expect(seg().seq(2).ack(1).data(b"b"));
    set(&mut p, &defaults());
    p.write(b"c");
    p.expect_nothing();
    set(&mut p, &TcpOptions { no_delay: true, ..defaults() });
    p.expect(seg().seq(3).ack(1).data(b"c"));
}

#[test]
fn cork_holds_partial_segments_until_it_is_drawn() {
    let corked = TcpOptions { cork: true, no_delay: true, ..defaults() };
    let mut p = connected(&corked);
    p.write(b"head");
    p.expect_nothing();
    p.write_text(5, 1460);
    p.expect(seg().seq(1).ack(1).len(1460));
    p.expect_nothing();
    p.send(seg().ack(1461));
    p.expect_nothing();
    set(&mut p, &TcpOptions { cork: false, ..corked });
    p.expect(seg().seq(1461).ack(1).len(4));
}

/// What the cork held is for Nagle to decide upon, and the 200 ms are over with it.
#[test]
fn nagle_holds_what_the_cork_lets_go() {
    let mut p = Peer::far();
    p.write(b"in flight");
    p.expect(seg().seq(1).ack(1).data(b"in flight"));
    let start = p.millis();
    set(&mut p, &TcpOptions { cork: true, ..defaults() });
    p.write(b"held");
    set(&mut p, &defaults());
    p.at(start + 250);
    p.send(seg().ack(10));
    p.expect(seg().seq(10).ack(1).data(b"held"));
}

#[test]
fn cork_holds_for_200_milliseconds_at_most() {
    let mut p = connected(&TcpOptions { cork: true, ..defaults() });
    p.write(b"head");
    p.at(199);
    p.at(200);
    p.expect(seg().seq(1).ack(1).data(b"head"));
    p.write(b"next"); // Something is in flight now: held all the same, and for as long.
    p.at(399);
    p.at(400);
    p.expect(seg().seq(5).ack(1).data(b"next"));
}

#[test]
fn the_end_of_the_stream_draws_the_cork() {
    let mut p = connected(&TcpOptions { cork: true, ..defaults() });
    p.write(b"tail");
    p.expect_nothing();
    p.shutdown();
    p.expect(seg().fin().seq(1).ack(1).data(b"tail"));
}

#[test]
fn quick_ack_delays_nothing() {
    let mut p = connected(&TcpOptions { quick_ack: true, ..defaults() });
    p.send(seg().ack(1).data(b"x"));
    p.expect(seg().seq(1).ack(2));
    set(&mut p, &defaults());
    p.send(seg().seq(2).ack(1).data(b"y"));
    p.expect_nothing();
    set(&mut p, &TcpOptions { quick_ack: true, ..defaults() });
    p.expect(seg().seq(1).ack(3));
}

// --- segments and headers ---

#[test]
fn max_segment_is_announced_and_kept() {
    let options = TcpOptions { max_segment: Some(700), no_delay: true, ..defaults() };
    let mut p = connecting(config(), &options);
    p.pump();
    assert_eq!(p.expect_syn(Flags::SYN).options.mss, Some(700));
    p.send(seg().syn().ack(1).win(64_000).mss(1460));
    p.expect(seg().seq(1).ack(1));
    p.write_text(1, 1000);
    p.expect(seg().seq(1).ack(1).text(700));
    p.expect(seg().seq(701).ack(1).text(300));
    // Afterwards it can only shrink.
    set(&mut p, &TcpOptions { max_segment: Some(500), ..options });
    p.write_text(1001, 600);
    p.expect(seg().seq(1001).ack(1).text(500));
    p.expect(seg().seq(1501).ack(1).text(100));
    set(&mut p, &TcpOptions { max_segment: None, ..options });
    assert_eq!(p.info().mss, 500);
}

/// Every packet of the connection, whoever makes it: SYN, ACK, data, FIN, reset, TIME-WAIT.
/// MUST-48, MUST-49, SHLD-22, SHLD-23.
#[test]
fn hop_limit_and_traffic_class_stand_in_every_packet() {
    let options =
        TcpOptions { hop_limit: Some(3), traffic_class: 0xbb, quick_ack: true, ..defaults() };
    let check = |p: &mut Peer, what: &str| {
        let raw = p.take_raw();
        let packet = ip::parse(&raw).unwrap();
        assert_eq!((packet.hop_limit, packet.traffic_class), (3, 0xb8), "{what}");
    };
    let mut p = connecting(config(), &options);
    p.pump();
    let iss = |p: &Peer| p.stack.observer().lines.len();
    assert!(iss(&p) > 0);
    p.iss = p.info().snd_una.0;
    check(&mut p, "SYN");
    p.send(seg().syn().ack(1).win(64_000));
    check(&mut p, "ACK of the handshake");
    p.send(seg().ack(1).data(b"x"));
    check(&mut p, "pure ACK");
    p.write(b"x");
    check(&mut p, "data");
    p.send(seg().seq(90_000).ack(1));
    check(&mut p, "answer to what is outside the window");
    p.abort();
    check(&mut p, "RST");

    let mut p = listening(config(), options);
    p.send(seg().syn());
    let syn_ack = p.take_raw();
    assert_eq!(ip::parse(&syn_ack).unwrap().hop_limit, 3, "SYN,ACK");
    p.at(1000);
    p.iss = u32::from_be_bytes(syn_ack[24..28].try_into().unwrap());
    check(&mut p, "SYN,ACK again");
    p.send(seg().ack(500));
    check(&mut p, "RST of a handshake");
    p.send(seg().ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    p.close();
    check(&mut p, "FIN");
    p.send(seg().fin().ack(2));
    check(&mut p, "last ACK");
    p.send(seg().fin().ack(2));
    check(&mut p, "ACK of TIME-WAIT");
}

// --- timeouts ---

/// MUST-21.
#[test]
fn user_timeout_ends_what_nobody_acknowledges() {
    for (timeout, ends_at) in [(Some(Duration::from_millis(2500)), 2500), (None, 900_201)] {
        let mut p = connected(&TcpOptions { user_timeout: timeout, ..defaults() });
        p.write(b"x");
        p.run(ends_at - 1);
        assert_eq!(p.conn().close_reason(), None, "{timeout:?}");
        p.run(1);
        assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut), "{timeout:?}");
        p.take_all();
    }
}

/// MUST-21, MUST-22.
#[test]
fn user_timeout_set_later_and_in_the_handshake() {
    let options = TcpOptions { user_timeout: Some(secs(2)), ..defaults() };
    let mut p = connecting(config(), &options);
    p.pump();
    p.run(2000);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    p.take_all();
    let mut p = Peer::accepted();
    p.write(b"x");
    p.run(500);
    set(&mut p, &options);
    p.run(2500);
    assert_eq!(p.conn().close_reason(), Some(CloseReason::TimedOut));
    p.take_all();
}
