//! The scripted peer: builds what it sends, checks what it gets, and owns the clock.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};

use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::wire::{ip, options::Options};
use minitcp_proto::{
    Config, Connection, ConnectionId, Drop as Reason, Info, Instant, Limits, ListenerId, Memory,
    RecvError, RxMeta, Seed, SeqNum, Stack, State, Transmit, TxChecksum,
};

use super::{LOCAL, Log, REMOTE, Seg, config, limits, packet, seg};

pub type TestStack = Stack<'static, Log>;

/// One stack, one peer, one flow between them.
pub struct Peer {
    pub stack: TestStack,
    pub now: Instant,
    pub local: SocketAddr,
    pub remote: SocketAddr,
    /// The peer's initial sequence number.
    pub irs: u32,
    /// The stack's initial sequence number, once its SYN was seen.
    pub iss: u32,
    /// What the stack's clock said in its SYN.
    pub clock: u32,
    pub id: Option<ConnectionId>,
    pub listener: Option<ListenerId>,
    /// How long `shake` takes between SYN,ACK and ACK.
    pub rtt_ms: u64,
    /// What the stack sent and the script has not expected yet.
    sent: VecDeque<Vec<u8>>,
}

impl Peer {
    pub fn new(config: Config, limits: &Limits) -> Self {
        Self::with_seed(config, limits, 1)
    }

    pub fn with_seed(config: Config, limits: &Limits, seed: u64) -> Self {
        let memory = Memory::allocate(limits);
        Self {
            stack: Stack::with_observer(config, memory, Seed::from_u64(seed), Log::default()),
            now: Instant::ZERO,
            local: SocketAddr::new(IpAddr::V4(LOCAL), 80),
            remote: SocketAddr::new(IpAddr::V4(REMOTE), 5000),
            irs: 1_000_000,
            iss: 0,
            clock: 0,
            id: None,
            listener: None,
            rtt_ms: 0,
            sent: VecDeque::new(),
        }
    }

    /// A stack that listens on port 80.
    pub fn listening(config: Config) -> Self {
        let mut peer = Self::new(config, &limits());
        peer.listen(4);
        peer
    }

    pub fn listen(&mut self, backlog: u32) {
        self.listener = Some(self.stack.listen(self.local, backlog).unwrap());
    }

    /// A connection that the peer opened: MSS 1460, no window scaling, a window of 64000.
    pub fn accepted() -> Self {
        Self::accepted_with(config(), seg().win(64_000).mss(1460))
    }

    /// As `accepted`; `like` has the options of the peer's SYN, and its window.
    pub fn accepted_with(config: Config, like: Seg) -> Self {
        let mut peer = Self::listening(config);
        peer.shake(like);
        peer
    }

    /// As `accepted`, at a round-trip time of 100 ms: the RTO is 300 ms.
    pub fn far() -> Self {
        Self::far_with(config())
    }

    /// As [`far`](Self::far), with another configuration.
    pub fn far_with(config: Config) -> Self {
        let mut peer = Self::listening(config);
        peer.rtt_ms = 100;
        peer.shake(seg().win(64_000).mss(1460));
        peer
    }

    /// The peer's side of a three-way handshake with the listening stack.
    pub fn shake(&mut self, like: Seg) {
        let window = like.window.unwrap_or(64_000);
        self.send(like.syn());
        self.expect_syn(Flags::SYN | Flags::ACK);
        self.after(self.rtt_ms);
        self.send(seg().ack(1).win(window));
        self.id = self.stack.accept(self.listener.unwrap());
        assert!(self.id.is_some(), "accepted");
        self.pump();
    }

    /// A connection that the stack opened, established with a peer as in `accepted`.
    pub fn connected() -> Self {
        let mut peer = Self::connecting(config());
        peer.expect_syn(Flags::SYN);
        peer.send(seg().syn().ack(1).win(64_000).mss(1460));
        peer.expect(seg().seq(1).ack(1));
        peer
    }

    /// The stack has sent its SYN, which the script has not taken yet.
    pub fn connecting(config: Config) -> Self {
        let mut peer = Self::new(config, &limits());
        peer.connect();
        peer
    }

    pub fn connect(&mut self) {
        self.local.set_port(4000);
        self.remote.set_port(80);
        self.id = Some(self.stack.connect(self.now, self.remote, Some(self.local)).unwrap());
        self.pump();
    }

    // --- the wire ---

    /// The octets of `seg` as this peer sends it.
    pub fn packet(&self, seg: &Seg) -> Vec<u8> {
        let segment = self.segment(seg);
        let packet = packet::tcp_packet((self.remote.ip(), self.local.ip()), &segment);
        packet::with_class(packet, seg.class.unwrap_or(0))
    }

    pub fn segment<'a>(&self, seg: &'a Seg) -> Segment<'a> {
        Segment {
            src_port: self.remote.port(),
            dst_port: self.local.port(),
            seq: SeqNum(self.irs.wrapping_add(seg.seq as u32)),
            ack: SeqNum(seg.ack.map_or(0, |ack| self.iss.wrapping_add(ack as u32))),
            flags: seg.flags,
            window: seg.window.unwrap_or(64_000),
            urgent: seg.urgent,
            options: Seg::moved(&seg.options, self.iss, (0, self.clock)),
            payload: &seg.payload,
        }
    }

    /// Hands `seg` to the stack and takes what it answers.
    #[track_caller]
    pub fn send(&mut self, seg: Seg) {
        self.feed(seg);
        self.pump();
    }

    /// Hands `seg` to the stack, which is not polled.
    pub fn feed(&mut self, seg: Seg) {
        let packet = self.packet(&seg);
        self.feed_raw(&packet);
    }

    pub fn feed_raw(&mut self, packet: &[u8]) {
        self.stack.handle_packet(self.now, packet, RxMeta::default());
    }

    pub fn send_raw(&mut self, packet: &[u8]) {
        self.feed_raw(packet);
        self.pump();
    }

    /// Takes everything that the stack wants to send now.
    pub fn pump(&mut self) {
        let mut room = vec![0; 1 << 16];
        for _ in 0..10_000 {
            let Some(transmit) = self.stack.poll_transmit(self.now) else { return };
            let len = match transmit.checksum {
                TxChecksum::Complete => transmit.copy_to(&mut room),
                // As the device would complete it, but whole.
                TxChecksum::Partial { .. } => Transmit { segment_size: None, ..transmit }
                    .segments()
                    .and_then(|mut segments| segments.next_into(&mut room)),
            };
            let len = len.unwrap();
            packet::verify(&room[..len]);
            self.sent.push_back(room[..len].to_vec());
        }
        panic!("poll_transmit never ends");
    }

    /// Takes one packet only, as a slow link would.
    pub fn pump_one(&mut self) -> bool {
        let mut room = vec![0; 1 << 16];
        let Some(transmit) = self.stack.poll_transmit(self.now) else { return false };
        let len = transmit.copy_to(&mut room).unwrap();
        self.sent.push_back(room[..len].to_vec());
        true
    }

    fn decode(&self, packet: &[u8]) -> Seg {
        let packet = ip::parse(packet).unwrap();
        assert_eq!(packet.protocol, ip::protocol::TCP, "not TCP");
        let got = Segment::parse(packet.payload).unwrap();
        assert_eq!((packet.src, packet.dst), (self.local.ip(), self.remote.ip()));
        assert_eq!((got.src_port, got.dst_port), (self.local.port(), self.remote.port()));
        let near = |from: u32, base: u32| i64::from(from.wrapping_sub(base).cast_signed());
        Seg {
            flags: got.flags,
            seq: near(got.seq.0, self.iss),
            ack: got.flags.contains(Flags::ACK).then(|| near(got.ack.0, self.irs)),
            window: Some(got.window),
            urgent: got.urgent,
            options: Seg::moved(
                &got.options,
                self.irs.wrapping_neg(),
                (self.clock.wrapping_neg(), 0),
            ),
            payload: got.payload.to_vec(),
            class: Some(packet.traffic_class),
            ..Seg::default()
        }
    }

    /// The stack's next packet must be a segment like `expected`.
    #[track_caller]
    pub fn expect(&mut self, expected: Seg) {
        let got = self.take_seg();
        assert!(expected.matches(&got), "at {}\nexpected {expected:?}\n     got {got:?}", self.now);
    }

    /// The stack's next packet, which must be there.
    #[track_caller]
    pub fn take_seg(&mut self) -> Seg {
        match self.sent.pop_front() {
            Some(packet) => self.decode(&packet),
            None => panic!("at {}: the stack sends nothing", self.now),
        }
    }

    /// All segments that the script has not taken.
    pub fn take_all(&mut self) -> Vec<Seg> {
        let packets: Vec<_> = self.sent.drain(..).collect();
        packets.iter().map(|packet| self.decode(packet)).collect()
    }

    /// Forgets all packets, whoever they are for.
    pub fn take_raw_all(&mut self) {
        self.sent.clear();
    }

    /// All packets that the script has not taken, whoever they are for.
    pub fn take_packets(&mut self) -> Vec<Vec<u8>> {
        self.sent.drain(..).collect()
    }

    /// The next packet as octets.
    #[track_caller]
    pub fn take_raw(&mut self) -> Vec<u8> {
        self.sent.pop_front().expect("the stack sends nothing")
    }

    /// Takes the stack's SYN and learns its initial sequence number.
    #[track_caller]
    pub fn expect_syn(&mut self, flags: Flags) -> Seg {
        let packet = self.sent.front().expect("the stack sends nothing");
        let packet = ip::parse(packet).unwrap();
        let syn = Segment::parse(packet.payload).unwrap();
        self.iss = syn.seq.0;
        self.clock = syn.options.timestamps.map_or(0, |timestamps| timestamps.value);
        let got = self.take_seg();
        assert_eq!(got.flags, flags, "{got:?}");
        got
    }

    #[track_caller]
    pub fn expect_nothing(&mut self) {
        if let Some(packet) = self.sent.front() {
            panic!("at {}: unexpected {:?}", self.now, self.decode(packet));
        }
    }

    // --- time ---

    /// Moves to `millis` since the start and fires every timer on the way, where each must be
    /// silent until then; what is sent at that very time may be expected.
    #[track_caller]
    pub fn at(&mut self, millis: u64) {
        self.at_time(Instant::from_millis(millis));
    }

    /// As `at`, but `millis` from now.
    #[track_caller]
    pub fn after(&mut self, millis: u64) {
        self.at_time(self.now + std::time::Duration::from_millis(millis));
    }

    #[track_caller]
    pub fn at_time(&mut self, to: Instant) {
        assert!(to >= self.now, "back from {} to {to}", self.now);
        self.expect_nothing();
        for _ in 0..10_000 {
            match self.stack.poll_timeout() {
                Some(due) if due <= to => {
                    assert!(due >= self.now, "a deadline in the past");
                    self.now = due;
                    self.stack.handle_timeout(due);
                    self.pump();
                    if due < to {
                        self.expect_nothing();
                    }
                }
                _ => {
                    self.now = to;
                    self.stack.handle_timeout(to);
                    return self.pump();
                }
            }
        }
        panic!("timers never end at {}", self.now);
    }

    /// Moves on by `millis`, whatever the stack may send on the way; it can all be taken after.
    pub fn run(&mut self, millis: u64) {
        let until = self.now + std::time::Duration::from_millis(millis);
        for _ in 0..10_000 {
            match self.stack.poll_timeout().filter(|due| *due <= until) {
                Some(due) => self.now = self.now.max(due),
                None => self.now = until,
            }
            self.stack.handle_timeout(self.now);
            self.pump();
            if self.now == until && self.stack.poll_timeout().is_none_or(|due| due > until) {
                return;
            }
        }
        panic!("timers never end at {}", self.now);
    }

    /// Moves to the next deadline, and returns it in milliseconds; what is sent may be expected.
    #[track_caller]
    pub fn next(&mut self) -> u64 {
        self.expect_nothing();
        self.now = self.stack.poll_timeout().expect("no timer runs");
        self.stack.handle_timeout(self.now);
        self.pump();
        self.millis()
    }

    pub fn millis(&self) -> u64 {
        self.now.as_micros() / 1000
    }

    // --- the application ---

    #[track_caller]
    pub fn conn(&mut self) -> Connection<'_, 'static, Log> {
        self.stack.connection(self.id.unwrap()).expect("the connection is gone")
    }

    /// Sends all of `data`.
    #[track_caller]
    pub fn write(&mut self, data: impl AsRef<[u8]>) {
        let data = data.as_ref();
        assert_eq!(self.conn().send(data), Ok(data.len()));
        self.pump();
    }

    /// Sends octets `from .. from + len` of the test pattern, numbered as in `Seg::text`.
    #[track_caller]
    pub fn write_text(&mut self, from: usize, len: usize) {
        self.write(super::pattern(from, len));
    }

    /// Reads all that is there.
    #[track_caller]
    pub fn read(&mut self) -> Result<Vec<u8>, RecvError> {
        let mut out = vec![0; 1 << 20];
        let len = self.conn().recv(&mut out)?;
        out.truncate(len);
        self.pump();
        Ok(out)
    }

    /// Reads, and wants exactly this.
    #[track_caller]
    pub fn expect_data(&mut self, data: impl AsRef<[u8]>) {
        let got = self.read().unwrap();
        assert!(got == data.as_ref(), "got {}", got.escape_ascii());
    }

    #[track_caller]
    pub fn expect_no_data(&mut self) {
        assert_eq!(self.read(), Err(RecvError::WouldBlock));
    }

    #[track_caller]
    pub fn expect_eof(&mut self) {
        assert_eq!(self.read(), Ok(vec![]));
    }

    #[track_caller]
    pub fn shutdown(&mut self) {
        self.conn().shutdown();
        self.pump();
    }

    #[track_caller]
    pub fn close(&mut self) {
        self.conn().close();
        self.pump();
    }

    #[track_caller]
    pub fn abort(&mut self) {
        self.conn().abort();
        self.pump();
    }

    #[track_caller]
    pub fn state(&mut self) -> State {
        self.conn().state()
    }

    #[track_caller]
    pub fn info(&mut self) -> Info {
        self.conn().info().unwrap()
    }

    pub fn dropped(&self, reason: Reason) -> u64 {
        self.stack.stats().dropped(reason)
    }

    /// Nothing is held but sockets that the application bound.
    #[track_caller]
    pub fn expect_empty(&mut self) {
        self.expect_nothing();
        let usage = self.stack.usage();
        let (listeners, udp_sockets) = (usage.listeners, usage.udp_sockets);
        let empty = minitcp_proto::Usage { listeners, udp_sockets, ..Default::default() };
        assert_eq!(usage, empty);
        assert_eq!(self.stack.poll_timeout(), None);
    }
}

impl Drop for Peer {
    /// A script must take everything that the stack sent.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.expect_nothing();
        }
    }
}

/// The options that a script compares when it says none.
pub const NO_OPTIONS: Options = Options::NONE;
