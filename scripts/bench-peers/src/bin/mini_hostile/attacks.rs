//! The table of attacks.

use crate::attacker::{Attack, Connections, Dice, Means, Move, Peer};
use crate::packets::{Packet, Way, datagram, message, segment};
use crate::world::{DOWN, ECHO, NEAR, NEAR_DOWN, NEAR_UP, SERVER, UP};
use minitcp_proto::wire::icmp::v4;
use minitcp_proto::wire::ip::protocol;
use minitcp_proto::wire::options::{Options, Timestamps};
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{SeqNum, UnboundUdp};
use std::net::{Ipv4Addr, SocketAddrV4};

/// Ports of the server that are there for the attacker, and what is done behind them: read all and
/// close when the peer does; nothing; send without end; send a lot and close; close at once; accept
/// nobody; close the listener itself and open it again, twice a second.
pub(crate) const READ: u16 = 2000;
pub(crate) const DEAF: u16 = 2001;
pub(crate) const SEND: u16 = 2002;
pub(crate) const SEND_AND_CLOSE: u16 = 2003;
pub(crate) const CLOSE: u16 = 2004;
pub(crate) const QUEUE: u16 = 2005;
pub(crate) const RESTART: u16 = 2006;
/// A UDP socket that nobody reads.
pub(crate) const UNREAD: u16 = 2007;
/// Nobody is there.
const CLOSED: u16 = 3000;
/// Of the server.
pub(crate) const POOL_KIB: usize = 16 << 10;

pub(crate) static NOTHING: Attack = attack('-', "nothing", Means::Nothing);

pub(crate) static ATTACKS: &[Attack] = &[
    Attack {
        floods_handshakes: true,
        ..packets('A', "SYNs, random sources", |dice| syn(dice.stranger(), ECHO, dice))
    },
    Attack {
        floods_handshakes: true,
        ..packets('A', "SYNs, four sources", |dice| {
            let host = Ipv4Addr::new(198, 18, 0, (dice.roll() % 4) as u8);
            syn(SocketAddrV4::new(host, dice.port()), ECHO, dice)
        })
    },
    Attack {
        rate: Some(5000.0),
        ..packets('A', "SYNs, 5,000 a second", |dice| syn(dice.stranger(), ECHO, dice))
    },
    Attack {
        floods_handshakes: true,
        ..packets('A', "SYNs, and ACKs of nothing", |dice| {
            let pair = dice.count / 2;
            let [.., a, b, c] = pair.wrapping_mul(0x9e37_79b1).to_be_bytes();
            let from = SocketAddrV4::new(Ipv4Addr::new(198, 18, a, b), 1024 + u16::from(c));
            match dice.count % 2 {
                0 => segment(to(from, ECHO), Flags::SYN, (pair, 0), u16::MAX, &[]),
                _ => segment(to(from, ECHO), Flags::ACK, (pair + 1, dice.roll()), u16::MAX, &[]),
            }
        })
    },
    Attack {
        rate: Some(200.0),
        most_answers: Some(220.0), // The listener is gone before a SYN,ACK is due again.
        ..packets('A', "SYNs to a listener that closes", |dice| syn(dice.stranger(), RESTART, dice))
    },
    connections('A', "connections that nobody accepts", (QUEUE, 64), deaf, |_, _| Move::Leave),
    Attack {
        most_kib: POOL_KIB / 2 + 1024, // Refused first where memory is not ample.
        ..connections('A', "octets ahead, 512 connections", (READ, 512), follow, |peer, dice| {
            if peer.step == 0 {
                peer.seq = peer.seq.wrapping_add(1);
                return Move::Send(peer.text(u32::MAX, b"x")); // Comes next, and opens the window.
            }
            let back = 1 + dice.roll() % 1000;
            Move::Send(peer.text(peer.room.saturating_sub(back).max(1), b"x"))
        })
    },
    connections('A', "one octet ahead, 1,000 connections", (READ, 1000), follow, |peer, _| {
        Move::Send(peer.text(1, b"x"))
    }),
    connections('A', "holes without number, one connection", (READ, 1), follow, |peer, _| {
        Move::Send(peer.text(1 + 2 * (peer.step % 30_000), b"x"))
    }),
    with_options("holes without number, SACK", SACK, (READ, 1), |peer, _| {
        Move::Send(peer.text(1 + 2 * (peer.step % 30_000), b"x"))
    }),
    with_options("the same octet ahead, SACK", SACK, (READ, 1), |peer, _| {
        // Each is told as a duplicate, with the block that it is part of.
        Move::Send(peer.text(1 + 2 * (peer.step.min(31)), b"x"))
    }),
    Attack {
        most_kib: 1024, // Nothing of it is the stream's.
        ..connections('A', "octets beyond a FIN", (DEAF, 64), follow, |peer, dice| {
            Move::Send(match peer.step {
                0 => peer.text(30_000, b"x"),
                1 => peer.segment(Flags::FIN | Flags::ACK, (0, 0), u16::MAX, &[]),
                _ => peer.text(1 + dice.roll() % 60_000, b"x"),
            })
        })
    },
    Attack {
        means: Means::Connections(Connections {
            window: 1000,
            ..on(SEND_AND_CLOSE, 64, shut, |_, _| Move::Leave)
        }),
        ..attack('A', "orphans, shut windows that answer", Means::Nothing)
    },
    connections('A', "orphans in FIN-WAIT-1", (CLOSE, 64), deaf, |_, _| Move::Leave),
    connections('A', "orphans in FIN-WAIT-2", (CLOSE, 64), take_fin, |_, _| Move::Leave),
    connections('A', "orphans in CLOSING", (CLOSE, 64), deaf, |peer, _| match peer.step {
        0 => Move::Send(peer.segment(Flags::FIN | Flags::ACK, (0, 0), u16::MAX, &[])),
        _ => Move::Leave,
    }),
    connections('A', "orphans in LAST-ACK", (READ, 64), deaf, |peer, _| match peer.step {
        0 => Move::Send(peer.segment(Flags::FIN | Flags::ACK, (0, 0), u16::MAX, &[])),
        _ => Move::Leave,
    }),
    connections('A', "TIME-WAIT without end", (CLOSE, 64), close, |_, _| Move::Leave),
    packets('A', "datagrams unread, empty", |dice| datagram(to(dice.stranger(), UNREAD), &[])),
    packets('A', "datagrams unread, one octet", |dice| datagram(to(dice.stranger(), UNREAD), b"x")),
    packets('A', "datagrams unread, 1,472 octets", |dice| {
        datagram(to(dice.stranger(), UNREAD), &[0x5a; 1472])
    }),
    packets('A', "pings, 56 octets", |dice| ping(dice, &[0x5a; 56])),
    packets('A', "pings, 1,472 octets", |dice| ping(dice, &[0x5a; 1472])),
    packets('A', "segments to closed ports", |dice| {
        let kinds = [Flags::SYN, Flags::ACK, Flags::RST, Flags::FIN];
        let flags = kinds[dice.count as usize % kinds.len()];
        let way = to(dice.stranger(), CLOSED + dice.port() % 30_000);
        segment(way, flags, (dice.roll(), dice.roll()), u16::MAX, &[])
    }),
    packets('A', "ACKs to a listener", |dice| {
        let numbers = (dice.roll(), dice.roll());
        segment(to(dice.stranger(), ECHO), Flags::ACK, numbers, u16::MAX, &[])
    }),
    Attack {
        unbound: UnboundUdp::Echo,
        // Of a dozen that begin, each goes round without end; from two hosts, 1,000 each, then a pause.
        most_answers: Some(2100.0),
        ..attack('A', "echo to echo", Means::Echo)
    },
    Attack {
        unbound: UnboundUdp::Echo,
        ..packets('A', "datagrams to the echo, 1,472 octets", |dice| {
            datagram(to(dice.stranger(), CLOSED), &[0x5a; 1472])
        })
    },
    Attack {
        means: Means::Connections(Connections { mss: 1, ..on(SEND, 1, follow, acknowledge) }),
        ..attack('A', "a peer with an MSS of 1", Means::Nothing)
    },
    Attack {
        means: Means::Connections(Connections {
            window: 100,
            ..on(SEND, 8, follow, |peer, _| {
                let window = if peer.step % 2 == 0 { 0 } else { 100 };
                Move::Send(peer.segment(Flags::ACK, (0, 0), window, &[]))
            })
        }),
        ..attack('A', "a window that flaps", Means::Nothing)
    },
    Attack {
        means: Means::Connections(Connections {
            window: 1,
            ..on(SEND, 8, follow, |peer, _| Move::Send(peer.segment(Flags::ACK, (0, 0), 1, &[])))
        }),
        ..attack('A', "a window of 1", Means::Nothing)
    },
    connections('A', "octets one by one", (READ, 8), follow, |peer, _| {
        peer.seq = peer.seq.wrapping_add(1);
        Move::Send(peer.text(u32::MAX, b"x"))
    }),
    connections('A', "duplicate ACKs, a sending server", (SEND, 1), deaf, |peer, _| {
        // Each tells of a loss; every sixteenth takes what was sent again.
        if peer.step % 16 == 15 {
            peer.ack = peer.ack.wrapping_add(1460);
        }
        Move::Send(peer.segment(Flags::ACK, (0, 0), u16::MAX, &[]))
    }),
    connections('A', "ACK division", (SEND, 1), deaf, |peer, _| {
        peer.ack = peer.ack.wrapping_add(1);
        Move::Send(peer.segment(Flags::ACK, (0, 0), u16::MAX, &[]))
    }),
    Attack {
        means: Means::Connections(Connections {
            // A larger one would have its share of the link, as a rival that means well.
            window: 100,
            ..on(SEND, 1, leap, |peer, dice| {
                // Of what may be on its way, or is not sent yet.
                let ahead = 100 * (dice.roll() % 4);
                Move::Send(peer.segment(Flags::ACK, (0, ahead as i32), 100, &[]))
            })
        }),
        ..attack('A', "optimistic ACKs", Means::Nothing)
    },
    packets('A', "fragments", |dice| {
        let mut packet = datagram(to(dice.stranger(), UNREAD), &[0x5a; 1000]);
        packet[6] = 0x20; // More fragments; the header is summed anew.
        packet[10..12].fill(0);
        let sum = bench_peers::checksum_add(0, &packet[..20]);
        packet[10..12].copy_from_slice(&(!sum).to_be_bytes());
        packet
    }),
    packets('A', "damaged segments", |dice| {
        let mut packet = syn(dice.stranger(), ECHO, dice);
        packet[37] ^= 0x55;
        packet
    }),
    packets('B', "datagrams to unbound ports", |dice| {
        datagram(to(dice.stranger(), CLOSED + dice.port() % 30_000), &[0x5a; 100])
    }),
    connections('B', "resets in the window, own connection", (READ, 1), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::RST, (100, 0), 0, &[]))
    }),
    connections('B', "SYNs, own connection", (READ, 1), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::SYN, (0, 0), u16::MAX, &[]))
    }),
    connections('B', "keep-alives, own connection", (READ, 1), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::ACK, (-1, 0), u16::MAX, &[]))
    }),
    connections('B', "ACKs of old, own connection", (READ, 1), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::ACK, (0, -10_000_000), u16::MAX, &[]))
    }),
    connections('B', "ACKs of what was never sent", (READ, 1), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::ACK, (0, 100_000), u16::MAX, &[]))
    }),
    connections('B', "segments outside the window, empty", (READ, 64), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::ACK, (10_000_000, 0), u16::MAX, &[]))
    }),
    connections('B', "segments outside the window, text", (READ, 64), deaf, |peer, _| {
        Move::Send(peer.segment(Flags::ACK, (-100_000, 0), u16::MAX, b"x"))
    }),
    with_options("old by the clock, empty", CLOCK, (READ, 64), |peer, _| Move::Send(peer.old(b""))),
    with_options("old by the clock, text", CLOCK, (READ, 64), |peer, _| Move::Send(peer.old(b"x"))),
    with_options("without the clock", CLOCK, (READ, 64), |peer, _| {
        peer.timestamps = None;
        Move::Send(peer.text(0, b"x"))
    }),
    connections('B', "TIME-WAIT: resets, old SYNs, old text", (CLOSE, 512), close, assassinate),
    packets('B', "forged resets, an honest connection", |dice| forged(dice, Flags::RST)),
    packets('B', "forged SYNs, an honest connection", |dice| forged(dice, Flags::SYN)),
    packets('B', "forged ACKs, an honest connection", |dice| forged(dice, Flags::ACK)),
    packets('B', "forged ICMP: unreachable", |dice| {
        let code = [v4::NET_UNREACHABLE, v4::HOST_UNREACHABLE, v4::PORT_UNREACHABLE];
        let code = code[dice.count as usize % code.len()];
        icmp_error(code, 0, back(NEAR_DOWN, DOWN), dice.roll())
    }),
    packets('B', "forged ICMP: MTU of 68", |dice| {
        icmp_error(v4::FRAGMENTATION_NEEDED, 68, back(NEAR_DOWN, DOWN), dice.roll())
    }),
    Attack {
        means: Means::Connections(Connections {
            window: 2000,
            ..on(SEND, 1, follow, |peer, _| {
                Move::Send(match peer.step % 20 {
                    0 => peer.segment(Flags::ACK, (0, 0), 2000, &[]),
                    _ => icmp_error(v4::FRAGMENTATION_NEEDED, 68, peer.way_back(), peer.ack),
                })
            })
        }),
        ..attack('B', "ICMP: MTU of 68, own connection", Means::Nothing)
    },
];

const fn attack(kind: char, name: &'static str, means: Means) -> Attack {
    let unbound = UnboundUdp::PortUnreachable;
    Attack {
        name,
        kind,
        means,
        rate: None,
        most_answers: None,
        most_kib: POOL_KIB - POOL_KIB / 16, // With less free, newcomers are turned away.
        unbound,
        floods_handshakes: false,
    }
}

const fn packets(kind: char, name: &'static str, make: fn(&mut Dice) -> Packet) -> Attack {
    attack(kind, name, Means::Packets(make))
}

type Hear = fn(&mut Peer, &Segment<'_>) -> Option<Packet>;
type Next = fn(&mut Peer, &mut Dice) -> Move;

const fn connections(
    kind: char,
    name: &'static str,
    (port, width): (u16, usize),
    hear: Hear,
    next: Next,
) -> Attack {
    attack(kind, name, Means::Connections(on(port, width, hear, next)))
}

const fn on(port: u16, width: usize, hear: Hear, next: Next) -> Connections {
    Connections { port, width, mss: 1460, options: Options::NONE, window: u16::MAX, hear, next }
}

const SACK: Options = Options { sack_permitted: true, ..Options::NONE };
const CLOCK: Options =
    Options { timestamps: Some(Timestamps { value: 1 << 20, echo: 0 }), ..Options::NONE };

/// As [`connections`], of a peer whose SYN says more.
const fn with_options(
    name: &'static str,
    options: Options,
    (port, width): (u16, usize),
    next: Next,
) -> Attack {
    let by = Connections { options, ..on(port, width, follow, next) };
    let kind = if options.sack_permitted { 'A' } else { 'B' };
    attack(kind, name, Means::Connections(by))
}

fn to(from: SocketAddrV4, port: u16) -> Way {
    (from, SocketAddrV4::new(SERVER, port))
}

/// From the server to an honest client.
fn back(near: u16, port: u16) -> Way {
    (SocketAddrV4::new(SERVER, port), SocketAddrV4::new(NEAR, near))
}

fn syn(from: SocketAddrV4, port: u16, dice: &mut Dice) -> Packet {
    segment(to(from, port), Flags::SYN, (dice.roll(), 0), u16::MAX, &[])
}

fn ping(dice: &mut Dice, body: &[u8]) -> Packet {
    message((*dice.stranger().ip(), SERVER), (v4::ECHO_REQUEST, 0), [0; 4], body)
}

/// As from the client of an honest connection, whose numbers are a guess.
fn forged(dice: &mut Dice, flags: Flags) -> Packet {
    let (near, port) = if dice.count.is_multiple_of(2) { (NEAR_DOWN, DOWN) } else { (NEAR_UP, UP) };
    let way = to(SocketAddrV4::new(NEAR, near), port);
    segment(way, flags, (dice.roll(), dice.roll()), u16::MAX, &[])
}

/// About a segment of the server: its IP header and eight octets.
fn icmp_error(code: u8, mtu: u16, way: Way, seq: u32) -> Packet {
    let quoted = segment(way, Flags::ACK, (seq, 0), u16::MAX, &[]);
    debug_assert_eq!(quoted[9], protocol::TCP);
    let [high, low] = mtu.to_be_bytes();
    let router = Ipv4Addr::new(198, 18, 0, 1);
    message((router, SERVER), (v4::UNREACHABLE, code), [0, 0, high, low], &quoted[..28])
}

fn deaf(_: &mut Peer, _: &Segment<'_>) -> Option<Packet> {
    None
}

/// Takes what comes in order, and says so only when it is its turn.
fn follow(peer: &mut Peer, heard: &Segment<'_>) -> Option<Packet> {
    if heard.seq.0 == peer.ack {
        peer.ack = heard.end().0;
    }
    None
}

/// Takes all for received up to what came last, whatever is missing.
fn leap(peer: &mut Peer, heard: &Segment<'_>) -> Option<Packet> {
    if heard.end().after(SeqNum(peer.ack)) {
        peer.ack = heard.end().0;
    }
    None
}

fn acknowledge(peer: &mut Peer, _: &mut Dice) -> Move {
    Move::Send(peer.segment(Flags::ACK, (0, 0), u16::MAX, &[]))
}

/// Takes the first octets; from then on every probe is answered: the window is shut.
fn shut(peer: &mut Peer, heard: &Segment<'_>) -> Option<Packet> {
    if heard.payload.is_empty() {
        return None;
    }
    if peer.step == 0 {
        follow(peer, heard);
        peer.step = 1;
    }
    Some(peer.segment(Flags::ACK, (0, 0), 0, &[]))
}

fn take_fin(peer: &mut Peer, heard: &Segment<'_>) -> Option<Packet> {
    follow(peer, heard);
    heard.flags.contains(Flags::FIN).then(|| peer.segment(Flags::ACK, (0, 0), u16::MAX, &[]))
}

fn close(peer: &mut Peer, heard: &Segment<'_>) -> Option<Packet> {
    follow(peer, heard);
    let fin = Flags::FIN | Flags::ACK;
    heard.flags.contains(Flags::FIN).then(|| peer.segment(fin, (0, 0), u16::MAX, &[]))
}

/// Of a connection in TIME-WAIT at the server: whatever could end it early, or keep it.
fn assassinate(peer: &mut Peer, dice: &mut Dice) -> Move {
    if !peer.finished {
        return Move::Wait;
    }
    Move::Send(match peer.step % 5 {
        0 => peer.segment(Flags::RST, (1, 0), 0, &[]),
        1 => peer.segment(Flags::RST, (dice.roll() as i32, 0), 0, &[]),
        2 => peer.segment(Flags::SYN, (-100_000, 0), u16::MAX, &[]),
        3 => peer.segment(Flags::ACK, (-100, 0), u16::MAX, &[0x5a; 50]),
        _ => peer.segment(Flags::FIN | Flags::ACK, (0, 0), u16::MAX, &[]),
    })
}
