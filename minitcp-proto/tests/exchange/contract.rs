//! The contract of the core: any call in any order, time that repeats or goes back, stale ids,
//! late polling, and the same bytes from the same seed and calls.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{
    ConnectionId, Instant, Limits, ListenerId, Memory, RxMeta, Seed, Stack, State, UdpId,
};
use proptest::prelude::*;

use crate::common::{Peer, config, config_with, limits, packet, pattern, seg};

#[test]
fn time_never_goes_back() {
    let mut p = Peer::far();
    p.write(b"x");
    p.take_all();
    p.at(350);
    p.stack.handle_timeout(Instant::ZERO);
    assert!(p.stack.poll_transmit(Instant::ZERO).is_none());
    assert_eq!(p.stack.poll_timeout(), Some(Instant::from_millis(400)));
    p.stack.handle_packet(Instant::ZERO, &p.packet(&seg().ack(2)), RxMeta::default());
    assert_eq!(p.info().srtt_micros, Some(118_750), "350 - 100 ms were measured");
}

#[test]
fn timeouts_at_any_time_are_harmless() {
    let mut p = Peer::far();
    p.write(b"x");
    p.take_all();
    for millis in 100..400 {
        p.now = Instant::from_millis(millis);
        p.stack.handle_timeout(p.now);
        p.stack.handle_timeout(p.now);
        p.pump();
    }
    p.expect_nothing();
    p.at(400);
    p.expect(seg().ack(1).data(b"x"));
}

/// A whole exchange fed before the first poll.
#[test]
fn polling_late_loses_nothing() {
    let mut p = Peer::listening(config());
    p.feed(seg().syn().mss(1460));
    p.feed(seg().syn().mss(1460));
    assert!(p.pump_one());
    p.expect_syn(Flags::SYN | Flags::ACK);
    p.feed(seg().ack(1).text(1000));
    p.feed(seg().seq(2001).ack(1).text(1000));
    p.feed(seg().seq(1001).ack(1).text(1000));
    p.feed(seg().fin().seq(3001).ack(1));
    p.id = p.stack.accept(p.listener.unwrap());
    let mut out = vec![0; 4000];
    assert_eq!(p.conn().recv(&mut out), Ok(3000));
    assert_eq!(out[..3000], pattern(1, 3000));
    assert_eq!(p.conn().send(b"answer"), Ok(6));
    p.conn().close();
    p.pump();
    p.expect(seg().fin().ack(3002).data(b"answer"));
    p.send(seg().seq(3002).ack(8));
    p.expect_empty();
}

/// One packet for each poll, with time between: nothing is lost, nothing repeated.
#[test]
fn polling_rarely_loses_nothing() {
    let mut p = Peer::far();
    assert_eq!(p.conn().send(&pattern(1, 14_600)), Ok(14_600));
    for index in 0..10 {
        p.now += Duration::from_millis(1);
        assert!(p.pump_one());
        p.expect(seg().seq(1 + index * 1460).ack(1).text(1460));
    }
    assert!(!p.pump_one());
    p.send(seg().ack(14_601));
}

#[test]
fn stale_ids_find_nothing() {
    let mut p = Peer::accepted();
    let (id, listener) = (p.id.unwrap(), p.listener.unwrap());
    let udp = p.stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    p.abort();
    p.take_raw();
    p.stack.close_listener(listener);
    p.stack.udp_close(udp);
    // New ones in the same slots.
    p.remote.set_port(5001);
    p.listen(4);
    p.shake(seg());
    let other = p.stack.udp_bind("10.0.0.2:9".parse().unwrap()).unwrap();
    assert!(p.stack.connection(id).is_none());
    assert_eq!(p.stack.accept(listener), None);
    assert_eq!(p.stack.listener_addr(listener), None);
    p.stack.close_listener(listener);
    p.stack.udp_close(udp);
    assert!(p.stack.udp_addr(udp).is_none() && p.stack.udp_addr(other).is_some());
    assert!(p.stack.listener_addr(p.listener.unwrap()).is_some());
    assert_eq!(p.state(), State::Established);
}

/// Timeouts of zero are the caller's folly, but time must go on.
#[test]
fn timeouts_of_zero_do_not_hang() {
    let config = config_with(|c| {
        c.initial_rto = Duration::ZERO;
        c.min_rto = Duration::ZERO;
        c.max_rto = Duration::ZERO;
        c.delayed_ack = Duration::ZERO;
        c.msl = Duration::ZERO;
        c.fin_wait_2_timeout = Duration::ZERO;
    });
    let mut p = Peer::accepted_with(config, seg().mss(1460));
    p.write(b"x");
    for _ in 0..100 {
        p.now = p.stack.poll_timeout().unwrap();
        p.stack.handle_timeout(p.now);
        p.pump();
    }
    p.take_all();
}

// --- anything at all ---

#[derive(Clone, Debug)]
enum Call {
    Segment { port: u8, flags: u16, seq: i16, ack: i16, window: u16, len: u16 },
    Noise(Vec<u8>),
    Datagram(u8, u16),
    Ping(u16),
    Poll(u8),
    Advance(u32),
    Timeout,
    Event,
    Listen(u8),
    CloseListener,
    Accept,
    Connect(u8),
    Send(u8, u16),
    Recv(u8, u16),
    Consume(u8, u16),
    Shutdown(u8),
    Close(u8),
    Abort(u8),
    NoDelay(u8, bool),
    UdpBind(u8),
    UdpSend(u16),
    UdpRecv,
    UdpClose,
}

fn call() -> impl Strategy<Value = Call> {
    use Call::*;
    let small = -3_000_i16..3_000;
    prop_oneof![
        12 => (0_u8..3, 0_u16..64, small.clone(), small, any::<u16>(), 0_u16..1461).prop_map(
            |(port, flags, seq, ack, window, len)| Segment { port, flags, seq, ack, window, len }),
        // What mostly occurs: in order, with ACK.
        12 => (0_u8..3, prop_oneof![Just(0x10_u16), Just(0x11), Just(0x02), Just(0x12)],
            -2_i16..3, -2_i16..3, prop_oneof![Just(0_u16), 0_u16..70, any::<u16>()], 0_u16..1461)
            .prop_map(|(port, flags, seq, ack, window, len)| {
                Segment { port, flags, seq, ack, window, len }
            }),
        1 => prop::collection::vec(any::<u8>(), 0..100).prop_map(Noise),
        1 => (0_u8..4, 0_u16..1500).prop_map(|(port, len)| Datagram(port, len)),
        1 => (0_u16..1500).prop_map(Ping),
        8 => (0_u8..20).prop_map(Poll),
        4 => any::<u32>().prop_map(Advance),
        2 => Just(Timeout),
        2 => Just(Event),
        1 => (0_u8..3).prop_map(Listen),
        1 => Just(CloseListener),
        4 => Just(Accept),
        2 => (0_u8..3).prop_map(Connect),
        4 => (any::<u8>(), 0_u16..20_000).prop_map(|(at, len)| Send(at, len)),
        4 => (any::<u8>(), 0_u16..20_000).prop_map(|(at, len)| Recv(at, len)),
        1 => (any::<u8>(), any::<u16>()).prop_map(|(at, len)| Consume(at, len)),
        1 => any::<u8>().prop_map(Shutdown),
        1 => any::<u8>().prop_map(Close),
        1 => any::<u8>().prop_map(Abort),
        1 => (any::<u8>(), any::<bool>()).prop_map(|(at, on)| NoDelay(at, on)),
        1 => (0_u8..4).prop_map(UdpBind),
        1 => (0_u16..1500).prop_map(UdpSend),
        1 => Just(UdpRecv),
        1 => Just(UdpClose),
    ]
}

/// A stack under arbitrary calls; segments are numbered from where the stack really is.
struct Chaos {
    p: Peer,
    ids: Vec<ConnectionId>,
    listeners: Vec<ListenerId>,
    sockets: Vec<UdpId>,
    sent: Vec<Vec<u8>>,
}

const TIGHT: Limits = Limits {
    connections: 3,
    half_open: 2,
    time_wait: 2,
    listeners: 2,
    udp_sockets: 2,
    datagrams: 6,
    assemblies: 1,
    models: 1,
    buffer_bytes: 16 << 10,
};

impl Chaos {
    fn new(seed: u64) -> Self {
        let config = config_with(|c| {
            c.receive_buffer = 8_000;
            c.send_buffer = 9_000;
        });
        let mut p = Peer::with_seed(config, &TIGHT, seed);
        p.listen(2);
        let listeners = vec![p.listener.unwrap()];
        Self { p, ids: vec![], listeners, sockets: vec![], sent: vec![] }
    }

    fn id(&self, at: u8) -> Option<ConnectionId> {
        self.ids.get(usize::from(at) % self.ids.len().max(1)).copied()
    }

    /// What the stack itself would call the next numbers of the flow with `port`.
    fn numbers(&mut self, port: u16) -> (u32, u32) {
        for id in self.ids.clone() {
            if let Some(connection) = self.p.stack.connection(id)
                && connection.peer_addr().is_some_and(|peer| peer.port() == port)
                && let Some(info) = connection.info()
            {
                return (info.rcv_nxt.0, info.snd_nxt.0);
            }
        }
        // A handshake, or nobody: go by what was sent last.
        let last = self
            .sent
            .iter()
            .rev()
            .find(|packet| packet[9] == 6 && packet[22..24] == port.to_be_bytes());
        let number = |at: usize, packet: &Vec<u8>| {
            u32::from_be_bytes(packet[at..at + 4].try_into().unwrap())
        };
        last.map_or((7, 7), |packet| (number(28, packet), number(24, packet).wrapping_add(1)))
    }

    fn poll(&mut self, packets: u8) {
        let mut room = [0; 2000];
        for _ in 0..packets {
            let Some(transmit) = self.p.stack.poll_transmit(self.p.now) else { break };
            let len = transmit.copy_to(&mut room).unwrap();
            packet::verify(&room[..len]);
            assert!(len <= 1500, "the MTU");
            self.sent.push(room[..len].to_vec());
        }
    }

    fn segment(&mut self, call: &Call) {
        let Call::Segment { port, flags, seq, ack, window, len } = *call else { return };
        self.p.remote.set_port(5000 + u16::from(port));
        let (rcv_nxt, snd_nxt) = self.numbers(5000 + u16::from(port));
        (self.p.irs, self.p.iss) = (rcv_nxt, snd_nxt);
        let mut like = seg().seq(seq.into()).ack(ack.into()).win(window);
        like.flags = Flags::from_bits_truncate(flags);
        like.payload = vec![0x61; len.into()];
        self.p.feed(like);
    }

    fn network(&mut self, call: &Call) {
        let addresses = (self.p.remote.ip(), self.p.local.ip());
        match call {
            Call::Noise(octets) => self.p.feed_raw(octets),
            Call::Datagram(port, len) => {
                let ports = (9, 5000 + u16::from(*port));
                let octets = vec![1; usize::from(*len).min(1472)];
                self.p.feed_raw(&packet::udp_packet(addresses, ports, &octets));
            }
            Call::Ping(len) => {
                let octets = vec![1; usize::from(*len).min(1472)];
                self.p.feed_raw(&packet::icmp_packet(addresses, (8, 0), [0; 4], &octets));
            }
            _ => self.segment(call),
        }
    }

    fn call(&mut self, call: &Call) {
        let now = self.p.now;
        let local = |port: u8| format!("10.0.0.2:{}", 5000 + u16::from(port)).parse().unwrap();
        let stack = &mut self.p.stack;
        match *call {
            Call::Poll(packets) => self.poll(packets),
            Call::Advance(micros) => {
                self.p.now += Duration::from_micros((micros >> (micros & 31)).into());
            }
            Call::Timeout => stack.handle_timeout(now),
            Call::Event => drop(stack.poll_event()),
            Call::Listen(port) => self.listeners.extend(stack.listen(local(port), 2)),
            Call::CloseListener => {
                if let Some(listener) = self.listeners.pop() {
                    stack.close_listener(listener);
                }
            }
            Call::Accept => {
                for listener in &self.listeners {
                    self.ids.extend(stack.accept(*listener));
                }
            }
            Call::Connect(port) => {
                let remote = format!("10.0.0.1:{}", 5000 + u16::from(port)).parse().unwrap();
                let local = "10.0.0.2:80".parse().unwrap();
                self.ids.extend(stack.connect(now, remote, Some(local)));
            }
            Call::UdpBind(port) => self.sockets.extend(stack.udp_bind(local(port))),
            Call::UdpSend(len) => {
                for id in &self.sockets {
                    let to = "10.0.0.1:9".parse().unwrap();
                    let _ = stack.udp_send(*id, to, &vec![2; len.into()]);
                }
            }
            Call::UdpRecv => {
                for id in &self.sockets {
                    stack.udp_recv(*id, &mut [0; 100]);
                }
            }
            Call::UdpClose => {
                if let Some(id) = self.sockets.pop() {
                    stack.udp_close(id);
                }
            }
            _ => self.connection(call),
        }
    }

    fn connection(&mut self, call: &Call) {
        let at = match *call {
            Call::Send(at, _) | Call::Recv(at, _) | Call::Consume(at, _) => at,
            Call::Shutdown(at) | Call::Close(at) | Call::Abort(at) | Call::NoDelay(at, _) => at,
            _ => return self.network(call),
        };
        let Some(id) = self.id(at) else { return };
        let Some(mut connection) = self.p.stack.connection(id) else { return };
        match *call {
            Call::Send(_, len) => drop(connection.send(&vec![3; len.into()])),
            Call::Recv(_, len) => drop(connection.recv(&mut vec![0; len.into()])),
            Call::Consume(_, len) => connection.consume(len.into()),
            Call::Shutdown(_) => connection.shutdown(),
            Call::Close(_) => connection.close(),
            Call::Abort(_) => connection.abort(),
            Call::NoDelay(_, on) => connection.set_no_delay(on),
            _ => {}
        }
    }

    fn check(&mut self) {
        let usage = self.p.stack.usage();
        assert!(usage.connections <= 3 && usage.half_open <= 2 && usage.time_wait <= 2);
        assert!(usage.buffer_bytes <= 16 << 10 && usage.datagrams <= 6);
        for id in self.ids.clone() {
            let Some(connection) = self.p.stack.connection(id) else { continue };
            let info = connection.info().unwrap();
            assert!(info.snd_una.at_or_before(info.snd_nxt));
            assert!(info.unread <= 8_000 && info.rcv_wnd <= 8_000 + 1);
            assert!(connection.unacknowledged() <= 9_000);
            assert!(info.cwnd >= u32::from(info.mss));
        }
    }

    /// Everything is closed; time passes; nothing is left.
    fn wind_up(&mut self) {
        for id in std::mem::take(&mut self.ids) {
            if let Some(connection) = self.p.stack.connection(id) {
                connection.close();
            }
        }
        for listener in std::mem::take(&mut self.listeners) {
            self.p.stack.close_listener(listener);
        }
        for socket in std::mem::take(&mut self.sockets) {
            self.p.stack.udp_close(socket);
        }
        for _ in 0..2_000 {
            self.poll(200);
            let Some(next) = self.p.stack.poll_timeout() else { break };
            self.p.now = self.p.now.max(next);
            self.p.stack.handle_timeout(self.p.now);
        }
        self.poll(200);
        assert_eq!(self.p.stack.usage(), minitcp_proto::Usage::default());
        while self.p.stack.poll_event().is_some() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    /// No order of calls and no packet panics, breaks an invariant, or leaves anything behind.
    #[test]
    fn any_calls_in_any_order(
        calls in prop::collection::vec(call(), 1..200),
        seed in any::<u64>(),
    ) {
        let mut chaos = Chaos::new(seed);
        for call in &calls {
            chaos.call(call);
            chaos.check();
        }
        chaos.wind_up();
    }

    /// Same seed, same calls: same bytes. Another seed: other sequence numbers.
    #[test]
    fn determinism(calls in prop::collection::vec(call(), 1..60), seed in any::<u64>()) {
        let run = |seed| {
            let mut chaos = Chaos::new(seed);
            calls.iter().for_each(|call| chaos.call(call));
            chaos.poll(200);
            (std::mem::take(&mut chaos.sent), chaos.p.stack.stats().clone())
        };
        prop_assert_eq!(run(seed), run(seed));
    }
}

/// R6528-3.
#[test]
fn another_seed_gives_other_sequence_numbers() {
    let syn = |seed| {
        let memory = Memory::allocate(&limits());
        let mut stack = Stack::new(config(), memory, Seed::from_u64(seed));
        stack.connect(Instant::ZERO, "10.0.0.1:80".parse().unwrap(), None).unwrap();
        let mut out = [0; 100];
        stack.poll_transmit(Instant::ZERO).unwrap().copy_to(&mut out);
        out
    };
    assert_eq!(syn(1), syn(1));
    assert_ne!(syn(1), syn(2));
}
