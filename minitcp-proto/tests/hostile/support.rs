//! Several peers of one stack, and peers that answer whatever comes.

use std::net::SocketAddr;
use std::time::Duration;

use minitcp_proto::wire::ip;
use minitcp_proto::wire::tcp::{Flags, Segment};
use minitcp_proto::{ConnectionId, Drop, Limits, Stats, TcpOptions};

use crate::common::{Peer, Seg, limits, seg};

pub(crate) const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

pub(crate) fn secs(secs: u64) -> Duration {
    Duration::from_secs(secs)
}

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// How many packets that came in were dropped, or a part of each. Not counted is what has gone for
/// them besides: an answer of ours that found no slot, and what gave way to newcomers.
pub(crate) fn dropped_in(stats: &Stats) -> u64 {
    let others = [
        Drop::HalfOpenEvicted,
        Drop::TimeWaitEvicted,
        Drop::OrphanEvicted,
        Drop::EarlyGivenUp,
        Drop::ReplyQueueFull,
    ];
    let reasons = Drop::ALL.iter().filter(|reason| !others.contains(reason));
    reasons.map(|reason| stats.dropped(*reason)).sum()
}

/// Something that a test does to its peer, or through it.
pub(crate) type Act = fn(&mut Peer);

/// One of several conversations of a `Peer`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Talk {
    remote: SocketAddr,
    iss: u32,
    irs: u32,
    pub(crate) id: Option<ConnectionId>,
}

/// What the peer says and hears from now on belongs to `talk`.
pub(crate) fn turn_to(p: &mut Peer, talk: &Talk) {
    (p.remote, p.iss, p.irs, p.id) = (talk.remote, talk.iss, talk.irs, talk.id);
}

/// The conversation that the peer is in.
pub(crate) fn talk(p: &Peer) -> Talk {
    Talk { remote: p.remote, iss: p.iss, irs: p.irs, id: p.id }
}

/// A connection from this port of the peer.
#[track_caller]
pub(crate) fn open(p: &mut Peer, port: u16) -> Talk {
    p.remote.set_port(port);
    p.shake(seg().win(64_000).mss(1460));
    talk(p)
}

/// A handshake from this port that lacks its last ACK.
#[track_caller]
pub(crate) fn half_open(p: &mut Peer, port: u16) -> Talk {
    p.remote.set_port(port);
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    Talk { id: None, ..talk(p) }
}

/// A connection from this port that the stack closed first, in TIME-WAIT: the next numbers are 2
/// on both sides.
#[track_caller]
pub(crate) fn time_wait(p: &mut Peer, port: u16) -> Talk {
    open(p, port);
    p.close();
    p.expect(seg().fin().ack(1));
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    Talk { id: None, ..talk(p) }
}

/// A host with room for `count` of everything, which listens.
pub(crate) fn crowded(config: minitcp_proto::Config, count: usize) -> Peer {
    let limits = Limits {
        connections: count,
        half_open: count,
        time_wait: count,
        buffer_bytes: 64 << 20,
        ..limits()
    };
    let mut p = Peer::new(config, &limits);
    p.listen(count as u32);
    p
}

/// How many of the packets that nobody has taken are TCP for this port.
pub(crate) fn count_for(p: &mut Peer, port: u16) -> usize {
    let is_for = |packet: &Vec<u8>| {
        let packet = ip::parse(packet).unwrap();
        packet.protocol == ip::protocol::TCP
            && Segment::parse(packet.payload).unwrap().dst_port == port
    };
    p.take_packets().iter().filter(|packet| is_for(packet)).count()
}

/// Moves on by `span`; each segment that leaves is answered at once, if `answer` says how.
/// Returns all of them.
pub(crate) fn answering(
    p: &mut Peer,
    span: Duration,
    mut answer: impl FnMut(&Seg) -> Option<Seg>,
) -> Vec<Seg> {
    let until = p.now + span;
    let mut sent = Vec::new();
    for _ in 0..100_000 {
        loop {
            let packets = p.take_all();
            if packets.is_empty() {
                break;
            }
            let heard = packets.iter().filter(|got| !got.flags.contains(Flags::RST));
            heard.filter_map(&mut answer).for_each(|reply| p.feed(reply));
            sent.extend(packets);
            p.pump();
        }
        let Some(due) = p.stack.poll_timeout().filter(|due| *due <= until) else {
            p.now = until;
            p.stack.handle_timeout(until);
            p.pump();
            sent.extend(p.take_all());
            return sent;
        };
        p.now = p.now.max(due);
        p.stack.handle_timeout(p.now);
        p.pump();
    }
    panic!("timers never end at {}", p.now);
}

/// The window is open, and the peer acknowledges in order: all of `text` must arrive, from its
/// first octet on, whatever had been acknowledged before; then a FIN, if one was sent.
#[track_caller]
pub(crate) fn expect_all(p: &mut Peer, text: &[u8]) {
    let (mut got, mut next, mut fin) = (vec![], 1, false);
    p.send(seg().ack(1).win(64_000));
    answering(p, secs(20), |segment| {
        if segment.seq == next {
            got.extend_from_slice(&segment.payload);
            fin |= segment.flags.contains(Flags::FIN);
            next = 1 + got.len() as i64 + i64::from(fin);
        }
        Some(seg().ack(next).win(64_000))
    });
    assert_eq!(got.escape_ascii().to_string(), text.escape_ascii().to_string());
}

/// Changes the options of the connection.
#[track_caller]
pub(crate) fn set(p: &mut Peer, change: impl FnOnce(&mut TcpOptions)) {
    let mut options = p.conn().options();
    change(&mut options);
    p.conn().set_options(&options).unwrap();
    p.pump();
}

/// The application still has the connection, and has heard nothing of an end.
pub(crate) fn is_alive(p: &mut Peer) -> bool {
    p.id.and_then(|id| p.stack.connection(id)).is_some_and(|c| c.close_reason().is_none())
}

/// Everything that the peer sends in one conversation, whichever way it is cut: `text` begins at
/// 1, and a FIN follows it. The peer sends again what is not acknowledged; the application must
/// read exactly `text`, and then the end.
#[track_caller]
pub(crate) fn finish_stream(p: &mut Peer, mut acked: i64, text: &[u8]) {
    let end = 1 + text.len() as i64;
    let mut read = Vec::new();
    for _ in 0..20 {
        let rest = &text[(acked.clamp(1, end) - 1) as usize..];
        if acked <= end {
            let part = &rest[..rest.len().min(1000)];
            let last = part.len() == rest.len();
            let like = seg().seq(acked).ack(1).data(part);
            p.send(if last { like.fin() } else { like });
        }
        p.run(500);
        for answer in p.take_all() {
            acked = acked.max(answer.ack.unwrap_or(0));
        }
        while let Ok(octets) = p.read() {
            if octets.is_empty() {
                assert_eq!(read.escape_ascii().to_string(), text.escape_ascii().to_string());
                p.take_all();
                return;
            }
            read.extend(octets);
        }
    }
    panic!("no end after {} of {} octets, {acked} acknowledged", read.len(), text.len());
}
