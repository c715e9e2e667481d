//! SYN cookies (RFC 4987 §3.6): no flood keeps a genuine client out, and no forgery lets one in.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Config, Drop, Limits, ListenOptions, State, SynCookies};

use crate::common::{Peer, Seg, config, limits, seg};
use crate::support::{SYN_ACK, Talk, half_open, talk, turn_to};

const SLOTS: usize = 16;

/// A host that scales its windows, and the address of a client.
fn host(ipv6: bool, change: impl FnOnce(&mut Config)) -> Peer {
    let local: IpAddr = if ipv6 { "fd00::2" } else { "10.0.0.2" }.parse().unwrap();
    let remote: IpAddr = if ipv6 { "fd00::1" } else { "10.0.0.1" }.parse().unwrap();
    let mut config = Config::new(local, if ipv6 { 64 } else { 24 });
    change(&mut config);
    let mut p = Peer::new(config, &Limits { half_open: SLOTS, ..limits() });
    (p.local, p.remote) = (SocketAddr::new(local, 80), SocketAddr::new(remote, 5000));
    p.listen(100);
    p
}

/// SYNs from everywhere, as many as `count`; the conversation is then where it was.
fn flood(p: &mut Peer, count: u32) {
    let genuine = talk(p);
    for number in 0..count {
        let address = match p.local.ip() {
            IpAddr::V4(_) => IpAddr::V4(Ipv4Addr::from(0xc612_0000 + number)),
            IpAddr::V6(_) => {
                IpAddr::V6((0x2001_0db8_u128 << 96 | u128::from(number) << 64 | 1).into())
            }
        };
        p.remote = SocketAddr::new(address, 1024 + (number % 60_000) as u16);
        p.send(seg().syn().mss(1460));
        p.take_raw_all();
    }
    turn_to(p, &genuine);
}

/// The SYN of a genuine client, answered while a flood goes on that then pushes it out.
#[track_caller]
fn call(p: &mut Peer, syn: Seg) -> (Talk, Seg) {
    flood(p, SLOTS as u32);
    p.send(syn.syn());
    let answer = p.expect_syn(SYN_ACK);
    let client = talk(p);
    flood(p, SLOTS as u32 + 1);
    assert!(p.dropped(Drop::HalfOpenEvicted) > 0);
    (client, answer)
}

#[track_caller]
fn accept(p: &mut Peer) {
    p.id = p.stack.accept(p.listener.unwrap());
    assert!(p.id.is_some(), "accepted");
    p.pump();
}

/// Many SYNs from one place come at once, as a device hands them over: each is answered before it
/// gives way, though a crowd gives way first.
#[test]
fn each_syn_of_a_burst_is_answered_once() {
    let mut p = Peer::new(config(), &Limits::default());
    p.listen(1000);
    flood(&mut p, 2000);
    for burst in 0..20 {
        for port in 0..256 {
            p.remote.set_port(10_000 + 256 * burst + port);
            p.feed(seg().syn().mss(1460));
        }
        p.pump();
        let packets = p.take_packets();
        let is_answered = |port| packets.iter().filter(|it| is_syn_ack_for(it, port)).count() == 1;
        let first = 10_000 + 256 * burst;
        assert!((first..first + 256).all(is_answered), "of burst {burst}");
    }
}

/// R4987-2, over both versions of IP.
#[test]
fn a_client_gets_in_though_its_handshake_gave_way() {
    for ipv6 in [false, true] {
        let mut p = host(ipv6, |_| {});
        call(&mut p, seg().mss(1460));
        p.send(seg().ack(1));
        accept(&mut p);
        p.send(seg().ack(1).data(b"hello"));
        p.expect_data(b"hello");
        p.write(b"welcome");
        p.take_raw_all();
        let stats = p.stack.stats();
        assert_eq!((stats.syn_cookies_accepted, stats.syn_cookies_failed), (1, 0));
        assert!(stats.syn_cookies_sent > 0);
    }
}

/// R4987-4: scaled windows and SACK are as the SYN,ACK has said, with timestamps and without, and
/// segments no larger than the peer takes.
#[test]
fn what_the_syn_ack_said_holds() {
    for ipv6 in [false, true] {
        for (timestamps, shift, sack) in [
            (true, Some(7), true),
            (false, Some(7), true),
            (false, None, false),
            (true, Some(0), true),
        ] {
            let mut p = host(ipv6, |_| {});
            let mut syn = seg().mss(1400);
            syn.options.window_scale = shift;
            syn.options.sack_permitted = sack;
            let syn = if timestamps { syn.ts(100, 0) } else { syn };
            let (_, answer) = call(&mut p, syn);
            assert_eq!(answer.options.window_scale.is_some(), shift.is_some());
            assert_eq!(answer.options.sack_permitted, sack);
            let ack = seg().ack(1).win(1000);
            p.send(if timestamps { ack.ts(101, 0) } else { ack });
            accept(&mut p);
            let info = p.info();
            assert_eq!(info.snd_wnd, 1000 << shift.unwrap_or(0));
            assert_eq!(info.rcv_wscale, shift.and(answer.options.window_scale).unwrap_or(0));
            let text = seg().ack(1).data(b"x");
            let hole = seg().seq(11).ack(1).data(b"y");
            p.after(5);
            p.send(if timestamps { text.ts(102, 0) } else { text });
            p.take_raw_all();
            p.send(if timestamps { hole.ts(103, 0) } else { hole });
            let answer = p.take_seg();
            assert_eq!(!answer.options.sack.is_empty(), sack, "{answer:?}");
            let clock = answer.options.timestamps.map(|told| told.value);
            assert_eq!(clock, timestamps.then_some(5), "goes on where the SYN,ACK had it");
            p.write(vec![7; 3000]);
            let largest = p.take_all().iter().map(|got| got.payload.len()).max();
            let fits = 1300 - 12 - 12..=1400;
            assert!(largest.is_some_and(|len| fits.contains(&len)), "{largest:?}");
        }
    }
}

/// The ACK was lost, or brings text or FIN: the first segment that comes is as good.
#[test]
fn text_and_fin_that_come_first_are_kept() {
    for (first, text, end) in [
        (seg().ack(1).data(b"GET /"), &b"GET /"[..], false),
        (seg().fin().ack(1).data(b"GET /"), b"GET /", true),
        (seg().fin().ack(1), b"", true),
    ] {
        let mut p = host(false, |_| {});
        call(&mut p, seg().mss(1460));
        p.send(first);
        accept(&mut p);
        if !text.is_empty() {
            p.expect_data(text);
        }
        p.take_raw_all();
        if end {
            p.expect_eof();
            assert_eq!(p.state(), State::CloseWait);
        }
    }
}

/// The second segment overtakes all before it: no reset, which would end what is genuine.
#[test]
fn text_that_overtakes_the_first_is_not_reset() {
    let mut p = host(false, |_| {});
    call(&mut p, seg().mss(1460));
    p.send(seg().seq(6).ack(1).data(b"world"));
    p.expect_nothing();
    p.send(seg().ack(1).data(b"hello"));
    accept(&mut p);
    p.send(seg().seq(6).ack(1).data(b"world"));
    p.expect_data(b"helloworld");
}

/// R4987-3: what is forged or too old is reset, and leads to nothing.
#[test]
fn forged_and_aged_cookies_are_reset() {
    for ipv6 in [false, true] {
        let mut p = host(ipv6, |_| {});
        let (client, _) = call(&mut p, seg().mss(1460));
        for (seq, ack) in [(1, 200), (1, -200), (2, 1), (0, 1), (1, 1 << 20), (1, 1 << 30)] {
            p.send(seg().seq(seq).ack(ack));
            p.expect(seg().rst().seq(ack));
        }
        p.remote.set_port(5001);
        p.send(seg().ack(1));
        p.expect(seg().rst().seq(1));
        turn_to(&mut p, &client);
        assert_eq!(p.stack.stats().syn_cookies_failed, 7);
        for _ in 0..4 {
            p.run(50_000);
            flood(&mut p, 2 * SLOTS as u32);
        }
        p.send(seg().ack(1));
        p.expect(seg().rst().seq(1));
        assert_eq!(p.stack.stats().syn_cookies_accepted, 0);
        assert!(p.stack.accept(p.listener.unwrap()).is_none());
    }
}

/// Who has all the time to try numbers out finds nobody who looks at them.
#[test]
fn without_a_flood_no_cookie_is_looked_at() {
    let mut p = host(false, |_| {});
    for port in 0..SLOTS as u16 {
        half_open(&mut p, 6000 + port);
    }
    p.remote.set_port(5000);
    p.send(seg().ack(1));
    p.expect(seg().rst().seq(1));
    flood(&mut p, SLOTS as u32);
    p.run(140_000);
    p.take_raw_all();
    p.send(seg().ack(1));
    p.expect(seg().rst().seq(1));
    assert_eq!(p.stack.stats().syn_cookies_failed, 0);
}

/// Handshakes with ordinary numbers are not pushed out, whatever comes.
#[test]
fn who_was_there_before_the_flood_stays() {
    let mut p = host(false, |_| {});
    let clients: Vec<Talk> = (0..SLOTS as u16 / 2).map(|n| half_open(&mut p, 5000 + n)).collect();
    flood(&mut p, 1000);
    for client in clients {
        turn_to(&mut p, &client);
        p.send(seg().ack(1));
        accept(&mut p);
    }
    assert_eq!(p.stack.stats().syn_cookies_accepted, 0);
}

/// A full accept queue: the handshake is kept from its ACK on, and its SYN,ACK repeated until there
/// is room (RFC 9293 §3.8.1).
#[test]
fn a_cookie_waits_for_room_in_the_accept_queue() {
    let mut p = host(false, |_| {});
    p.stack
        .start_listening(
            p.listener.unwrap(),
            1,
            &ListenOptions { defer_accept: None, tcp: p.stack.config().tcp_options() },
        )
        .unwrap();
    let (client, _) = call(&mut p, seg().mss(1460));
    p.remote.set_port(5001);
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p.send(seg().ack(1));
    turn_to(&mut p, &client);
    p.send(seg().ack(1));
    p.expect_nothing();
    assert!(p.stack.accept(p.listener.unwrap()).is_some(), "the one before");
    let mut repeated = 0;
    for _ in 0..4 {
        p.run(1000);
        repeated += p.take_packets().iter().filter(|packet| is_syn_ack_for(packet, 5000)).count();
    }
    assert!(repeated > 0);
    p.send(seg().ack(1));
    accept(&mut p);
}

fn is_syn_ack_for(packet: &[u8], port: u16) -> bool {
    let packet = minitcp_proto::wire::ip::parse(packet).unwrap();
    let segment = minitcp_proto::wire::tcp::Segment::parse(packet.payload).unwrap();
    segment.dst_port == port && segment.flags == SYN_ACK
}

/// Always: nothing is kept once the answer has left, and each SYN has one.
#[test]
fn always_means_that_nothing_is_kept() {
    for ipv6 in [false, true] {
        let mut p = host(ipv6, |c| c.syn_cookies = SynCookies::Always);
        p.send(seg().syn().mss(1460).ws(7));
        let first = p.expect_syn(SYN_ACK);
        let usage = p.stack.usage();
        assert_eq!((usage.half_open, usage.timers), (0, 0));
        p.send(seg().syn().mss(1460).ws(7));
        let again = p.expect_syn(SYN_ACK);
        assert_eq!((first.seq, again.seq), (0, 0), "the same SYN, the same number");
        p.send(seg().ack(1));
        accept(&mut p);
        assert_eq!(p.stack.stats().syn_cookies_sent, 2);
    }
}

/// Never: as without cookies.
#[test]
fn never_means_that_a_flood_evicts() {
    let mut p = host(false, |c| c.syn_cookies = SynCookies::Never);
    call(&mut p, seg().mss(1460));
    p.send(seg().ack(1));
    p.expect_nothing();
    assert!(p.stack.accept(p.listener.unwrap()).is_none());
    assert_eq!(p.stack.stats().syn_cookies_sent, 0);
}

/// A late segment of a connection that is over brings back no handshake.
#[test]
fn a_late_segment_of_an_ended_connection_is_no_cookie() {
    let mut p = host(false, |_| {});
    call(&mut p, seg().mss(1460));
    p.send(seg().ack(1).data(b"hello"));
    accept(&mut p);
    p.expect_data(b"hello");
    p.write(b"welcome");
    p.take_raw_all();
    p.send(seg().rst().seq(6));
    flood(&mut p, 1);
    p.send(seg().ack(1).data(b"hello"));
    assert!(p.take_all().iter().all(|got| got.flags.contains(Flags::RST)));
    assert!(p.stack.accept(p.listener.unwrap()).is_none());
}

/// A million SYNs, 200,000 a second, from everywhere. A client at 20 ms calls a hundred times
/// meanwhile: each time its first SYN is answered at once, its first ACK and its text are taken,
/// and no more is held than the slots that there are.
#[test]
fn a_million_syns_keep_nobody_out() {
    const SYNS: u32 = 1_000_000;
    const IN_A_ROUND_TRIP: u32 = 4_000;
    let mut p = Peer::new(config(), &Limits::default());
    p.listen(1000);
    let mut host = Flood { number: 0 };
    host.send(&mut p, IN_A_ROUND_TRIP);
    let full = p.stack.usage();
    let mut got_in = 0;
    for client in 0..100 {
        p.remote = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)), 5000 + client);
        p.send(seg().syn().mss(1460).ws(7));
        p.expect_syn(SYN_ACK);
        host.send(&mut p, IN_A_ROUND_TRIP);
        p.send(seg().ack(1).data(b"hello"));
        p.id = p.stack.accept(p.listener.unwrap());
        if p.id.is_some() {
            got_in += 1;
            p.expect_data(b"hello");
            p.abort();
        }
        p.take_raw_all();
        host.send(&mut p, SYNS / 100 - IN_A_ROUND_TRIP);
        let usage = p.stack.usage();
        assert_eq!((usage.half_open, usage.buffer_bytes), (full.half_open, full.buffer_bytes));
    }
    assert_eq!((got_in, host.number), (100, SYNS + IN_A_ROUND_TRIP));
    assert_eq!(full.half_open, 1024);
}

/// SYNs of strangers, each from another address and port, 5 µs apart.
struct Flood {
    number: u32,
}

impl Flood {
    fn send(&mut self, p: &mut Peer, count: u32) {
        let genuine = talk(p);
        for _ in 0..count {
            let source = Ipv4Addr::from(0xc612_0000 + (self.number & 0x1_ffff));
            let port = 1024 + (self.number >> 17 << 5) as u16;
            p.remote = SocketAddr::new(IpAddr::V4(source), port);
            self.number += 1;
            p.now += Duration::from_micros(5);
            let packet = p.packet(&seg().syn().mss(1460));
            p.feed_raw(&packet);
            if self.number.is_multiple_of(64) {
                p.stack.handle_timeout(p.now);
                while p.stack.poll_transmit(p.now).is_some() {}
            }
        }
        p.stack.handle_timeout(p.now);
        while p.stack.poll_transmit(p.now).is_some() {}
        turn_to(p, &genuine);
    }
}
