//! Writes the seed corpora: real packets, short scenarios that come to a good end, and our own
//! packet scripts. Run in the root of the repository; the same files come out each time.
//!
//! `cargo run -p minitcp-fuzz --example seeds`

use std::fs;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use minitcp_driver_sim::{Link, Network, Seen, Tap, Transfer};
use minitcp_proto::{Config, UnboundUdp};

fn main() -> io::Result<()> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let corpus = folder.join("corpus");
    for (number, packet) in packets().iter().enumerate() {
        write(&corpus, "segment", &format!("packet-{number:02}"), packet)?;
    }
    for (name, calls) in stack_scenarios() {
        write(&corpus, "stack", name, &calls)?;
    }
    for (name, calls) in pair_scenarios() {
        write(&corpus, "pair", name, &calls)?;
    }
    let scripts = folder.join("../minitcp-driver-sim/tests/scripts");
    let mut groups: Vec<_> = fs::read_dir(scripts)?.collect::<Result<_, _>>()?;
    groups.sort_by_key(fs::DirEntry::path);
    for group in groups.iter().filter(|group| group.path().is_dir()) {
        let mut paths: Vec<_> = fs::read_dir(group.path())?.collect::<Result<_, _>>()?;
        paths.sort_by_key(fs::DirEntry::path);
        let scripts = paths.iter().filter(|entry| entry.path().extension() == Some("pkt".as_ref()));
        for script in scripts {
            let group = group.file_name().to_string_lossy().into_owned();
            let name = format!("{group}-{}", script.file_name().to_string_lossy());
            write(&corpus, "script", &name, &fs::read(script.path())?)?;
        }
    }
    Ok(())
}

fn write(corpus: &Path, target: &str, name: &str, octets: &[u8]) -> io::Result<()> {
    let folder = corpus.join(target);
    fs::create_dir_all(&folder)?;
    fs::write(folder.join(name), octets)
}

/// Keeps one packet of each kind: version, protocol, flags or type, header length.
#[derive(Default)]
struct Kinds {
    seen: Vec<Vec<u8>>,
    packets: Vec<Vec<u8>>,
}

impl Tap for Kinds {
    fn packet(&mut self, seen: &Seen<'_>) {
        let is_ipv4 = seen.bytes[0] >> 4 == 4;
        let (protocol, payload) = match is_ipv4 {
            true => (seen.bytes[9], &seen.bytes[20..]),
            false => (seen.bytes[6], &seen.bytes[40..]),
        };
        let mut kind = vec![seen.bytes[0], protocol];
        match protocol {
            6 => kind.extend([payload[12], payload[13], u8::from(payload.len() > 60)]),
            1 | 58 => kind.extend([payload[0], payload[1]]),
            _ => {}
        }
        if !self.seen.contains(&kind) && seen.bytes.len() <= 700 {
            self.seen.push(kind);
            self.packets.push(seen.bytes.to_vec());
        }
    }
}

/// What two hosts and a router say in transfers, refusals, datagrams and errors.
fn packets() -> Vec<Vec<u8>> {
    let kinds = Arc::new(Mutex::new(Kinds::default()));
    for addresses in [["10.0.0.1", "10.0.1.2"], ["fd00::1", "fd01::2"]] {
        let [a, b]: [IpAddr; 2] = addresses.map(|text| text.parse().expect("an address"));
        let mut network = Network::new(1);
        network.tap(Arc::clone(&kinds));
        let [client, server] = [(a, 1_500), (b, 1_280)].map(|(address, mtu)| {
            let mut config = Config::new(address, if a.is_ipv4() { 24 } else { 64 });
            (config.mtu, config.receive_buffer) = (mtu, 3_000);
            config.unbound_udp = UnboundUdp::PortUnreachable;
            network.host(config)
        });
        let ends = if a.is_ipv4() { ["10.0.0.254"] } else { ["fd00::254"] };
        let router = network.router(&ends.map(|text| text.parse().expect("an address")));
        network.link(client, router, Link::lossy(0.1).duplicate(0.1));
        network.link(router, server, Link::lan().mtu(1_280));
        assert!(Transfer::new(20_000).run(&mut network, client, server).is_success());
        let now = network.now();
        let stack = network.stack_mut(client);
        // Nobody listens there; nobody is there; nobody has bound that port.
        let _ = stack.connect(now, SocketAddr::new(b, 9), None);
        let any = SocketAddr::new(if a.is_ipv4() { [0; 4].into() } else { [0; 16].into() }, 0);
        let udp = stack.udp_bind(any).expect("the first");
        for len in [4, 400, 1_400] {
            let _ = stack.udp_send(udp, SocketAddr::new(b, 9), &vec![7; len]);
        }
        let nowhere: IpAddr =
            if a.is_ipv4() { "10.9.9.9" } else { "fd09::9" }.parse().expect("an address");
        let _ = stack.udp_send(udp, SocketAddr::new(nowhere, 9), b"hello");
        network.run_until(now + core::time::Duration::from_secs(600));
    }
    let kinds = kinds.lock().unwrap_or_else(PoisonError::into_inner);
    kinds.packets.clone()
}

/// Writes what `arbitrary::Unstructured` will read.
#[derive(Clone, Default)]
struct Calls(Vec<u8>);

impl Calls {
    /// A choice of `least..=most`.
    fn range(mut self, least: u32, most: u32, choice: u32) -> Self {
        assert!((least..=most).contains(&choice));
        let octets = (u32::BITS - (most - least).leading_zeros()).div_ceil(8) as usize;
        self.0.extend_from_slice(&(choice - least).to_be_bytes()[4 - octets..]);
        self
    }

    fn octets(mut self, octets: &[u8]) -> Self {
        self.0.extend_from_slice(octets);
        self
    }

    fn many(self, count: u32, step: impl Fn(Self) -> Self) -> Self {
        (0..count).fold(self, |calls, _| step(calls))
    }
}

const SYN: u32 = 4;
const ACK: u32 = 0;
const PSH: u32 = 8;
const FIN: u32 = 6;
const RST: u32 = 7;

/// The calls of `stack`, see its `step`.
impl Calls {
    fn segment(self, flags: u32, len: u32) -> Self {
        let calls = self.range(0, 15, 0).range(0, 3, 0).range(0, 7, 0).range(0, 7, 0);
        let mss = [2, 4, 5, 0xb4, 1, 3, 3, 2];
        calls.range(0, 9, flags).octets(&mss).octets(&[0xff, 0x7f]).range(0, 1_460, len)
    }

    fn wait(self, micros_log: u32) -> Self {
        self.range(0, 15, 7).range(0, 34, micros_log).range(0, 15, 8)
    }

    fn transmit(self) -> Self {
        self.range(0, 15, 9).range(1, 40, 40)
    }

    fn open(self, choice: u32) -> Self {
        let calls = self.range(0, 15, 11).range(0, 3, 0).range(0, 5, choice);
        if choice > 1 { calls.range(0, 3, 2) } else { calls }
    }

    /// On the only connection there is: no choice of which.
    fn connection(self, choice: u32, len: u32) -> Self {
        let calls = self.range(0, 15, 14).range(0, 7, choice);
        if choice <= 4 { calls.range(0, 5_000, len) } else { calls }
    }
}

fn stack_scenarios() -> Vec<(&'static str, Vec<u8>)> {
    // Buffers of 2¹⁵ octets, and the listener; the segments that follow need 24 octets after them.
    let start = Calls::default().octets(&(15u64 + 18 * 3 * 15).to_le_bytes());
    let passive = start.clone().open(2).segment(SYN, 0).transmit().segment(ACK, 0).transmit();
    // The listener is made with the first call, and the connection accepted with the second.
    let passive = passive.range(0, 15, 11).range(0, 3, 0).range(0, 5, 2);
    let end = |calls: Calls| calls.octets(&[0; 32]).0;
    let received = passive.clone().segment(PSH, 1_000).connection(3, 5_000).transmit();
    let sent = received.clone().connection(0, 3_000).transmit().segment(ACK, 0).transmit();
    let active = start.clone().open(0).transmit().segment(5, 0).transmit().segment(PSH, 100);
    vec![
        ("accepted", end(passive.clone())),
        ("received", end(received.clone())),
        ("exchanged", end(sent.clone())),
        ("closed-by-us", end(sent.clone().connection(5, 0).transmit().segment(FIN, 0).transmit())),
        (
            "closed-by-peer",
            end(sent.clone().segment(FIN, 0).transmit().connection(6, 0).transmit()),
        ),
        ("aborted", end(sent.clone().connection(7, 0).transmit())),
        ("reset", end(sent.clone().segment(RST, 0).connection(0, 10))),
        (
            "retransmitted",
            end(passive.clone().connection(0, 5_000).transmit().many(4, |c| c.wait(21).transmit())),
        ),
        ("connected", end(active.connection(3, 100).transmit().connection(6, 0).transmit())),
        (
            "datagrams",
            end(start
                .range(0, 15, 13)
                .octets(&[0, 7])
                .many(3, |c| c.range(0, 15, 13).range(0, 4, 3).range(0, 1_500, 500).octets(&[9, 0]))
                .transmit()),
        ),
    ]
}

/// The calls of `pair`, see its `step`.
impl Calls {
    fn side(self, side: u8, choice: u32) -> Self {
        self.octets(&[side]).range(0, 15, choice)
    }

    fn send(self, side: u8, len: u32) -> Self {
        self.side(side, 12).range(1, 20_000, len)
    }

    fn receive(self, side: u8) -> Self {
        self.side(side, 14).range(1, 20_000, 20_000)
    }

    fn shut_down(self, side: u8) -> Self {
        self.side(side, 15).range(0, 7, 0)
    }

    fn later(self, micros_log: u32) -> Self {
        self.side(0, 11).range(0, 22, micros_log)
    }

    /// Everything that the host has to say reaches the other.
    fn flow(self, side: u8) -> Self {
        self.side(side, 0).range(1, 16, 16).side(side, 3).range(1, 16, 16)
    }

    fn turn(self) -> Self {
        self.flow(0).flow(1).receive(0).receive(1)
    }
}

fn pair_scenarios() -> Vec<(&'static str, Vec<u8>)> {
    let start = |seed: u32| Calls::default().octets(&seed.to_le_bytes());
    let open = |seed| start(seed).turn().turn();
    let closed = |calls: Calls| {
        calls.shut_down(0).turn().shut_down(1).turn().later(16).turn().later(16).turn().0
    };
    let one_way = |seed| open(seed).send(0, 10_000).many(6, |c| c.turn().later(16));
    vec![
        ("one-way", closed(one_way(0x3f_3f))),
        ("one-way-small-packets", closed(one_way(0x3f_7f))),
        ("small-buffers", closed(one_way(0))),
        (
            "both-ways",
            closed(open(0x3f_3f).send(0, 9_000).send(1, 9_000).many(6, |c| c.turn().later(16))),
        ),
        (
            "one-lost",
            closed(
                open(0x3f_3f)
                    .send(0, 10_000)
                    .side(0, 0)
                    .range(1, 16, 16)
                    .side(0, 7)
                    .many(6, |c| c.turn().later(16)),
            ),
        ),
        (
            "reordered-and-duplicated",
            closed(
                open(0x3f_3f)
                    .send(0, 10_000)
                    .side(0, 0)
                    .range(1, 16, 16)
                    .side(0, 9)
                    .side(0, 8)
                    .many(6, |c| c.turn().later(16)),
            ),
        ),
        (
            "corrupted",
            closed(
                open(0x3f_3f)
                    .send(0, 10_000)
                    .side(0, 0)
                    .range(1, 16, 16)
                    .side(0, 10)
                    .octets(&[200, 1])
                    .many(6, |c| c.turn().later(20)),
            ),
        ),
        ("zero-window", {
            let full = open(0).send(0, 20_000).many(3, |c| c.flow(0).flow(1).later(16));
            closed(full.many(3, |c| c.send(0, 20_000).turn().later(20)))
        }),
        ("simultaneous-close", {
            let both = one_way(0x3f_3f).shut_down(0).shut_down(1);
            both.turn().turn().later(16).turn().0
        }),
    ]
}
