//! TIME-WAIT: RFC 9293 §3.4.2, §3.6.1 and §3.10.7.4, RFC 1337.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, Instant, State};

use crate::close::active_close;
use crate::common::{Peer, config, config_with, limits, seg};

fn time_wait() -> Peer {
    let mut p = active_close();
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    p.close();
    p
}

/// As `ss` would: the listener, a handshake and what remains of a connection; and the connection.
#[test]
fn every_endpoint_is_listed() {
    let listed = |p: &Peer| {
        let mut all: Vec<_> = p.stack.endpoints().collect();
        all.sort_by_key(|endpoint| format!("{:?}", endpoint.state));
        all
    };
    let states = |p: &Peer| listed(p).iter().map(|one| one.state).collect::<Vec<_>>();
    let mut p = Peer::listening(config());
    p.send(seg().syn());
    p.expect_syn(Flags::SYN | Flags::ACK);
    assert_eq!(states(&p), [State::Listen, State::SynRcvd]);
    let all = listed(&p);
    assert_eq!((all[0].remote, all[0].local.port()), (None, all[1].local.port()));
    assert!(all[1].remote.is_some() && all[1].until.is_none());

    let mut p = active_close();
    assert_eq!(states(&p), [State::FinWait1, State::Listen]);
    let alive = listed(&p)[0];
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    p.close();
    assert_eq!(states(&p), [State::Listen, State::TimeWait]);
    let over = listed(&p)[1];
    assert_eq!((over.state, over.is_orphan), (State::TimeWait, false));
    assert_eq!((over.local, over.remote), (alive.local, alive.remote));
    assert!(over.until > Some(Instant::from_secs(59)));
}

#[test]
fn time_wait_acknowledges_a_repeated_fin_and_starts_anew() {
    let mut p = time_wait();
    p.at(50_000);
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    p.at(109_999);
    assert_eq!(p.stack.usage().time_wait, 1);
    p.at(110_000);
    p.expect_empty();
    p.send(seg().fin().ack(2));
    p.expect(seg().rst().seq(2));
}

/// Old segments do not end TIME-WAIT, and do not prolong it either.
#[test]
fn time_wait_survives_old_segments() {
    let mut p = time_wait();
    p.at(1_000);
    p.send(seg().rst().seq(1));
    p.send(seg().rst().seq(3));
    p.send(seg().seq(1).ack(2).data(b"z"));
    p.expect(seg().seq(2).ack(2));
    p.send(seg().syn().ack(1));
    p.expect(seg().seq(2).ack(2));
    p.after(500);
    p.send(seg().syn()); // Not beyond rcv_nxt.
    p.expect(seg().seq(2).ack(2));
    p.send(seg().syn());
    p.send(seg().seq(2).ack(2)); // The acknowledgment of our acknowledgment: silence.
    p.send(seg().seq(2).fin());
    p.send(seg().seq(2).data(b"no ACK"));
    assert_eq!(p.stack.usage().time_wait, 1);
    p.at(60_000);
    p.expect_empty();
}

/// RFC 9293 §3.10.7.4, second step, and RFC 1337 §4, first fix, for who wants it.
/// R9293-40, R1337-1.
#[test]
fn a_reset_at_rcv_nxt_ends_time_wait_unless_told_otherwise() {
    for rfc1337 in [false, true] {
        let mut p = Peer::accepted_with(config_with(|c| c.rfc1337 = rfc1337), seg().mss(1460));
        p.close();
        p.expect(seg().fin().ack(1));
        p.send(seg().fin().ack(2));
        p.expect(seg().seq(2).ack(2));
        p.send(seg().rst().seq(2));
        p.expect_nothing();
        assert_eq!(p.stack.usage().time_wait, u32::from(rfc1337));
    }
}

/// RFC 9293 MAY-2: the new sequence number must be beyond the old space.
#[test]
fn time_wait_is_reopened_by_a_new_syn() {
    let mut p = time_wait();
    p.at(1_000);
    let old = p.iss;
    p.irs = p.irs.wrapping_add(100);
    p.send(seg().syn().mss(1460));
    p.expect_syn(Flags::SYN | Flags::ACK);
    assert!(p.iss.wrapping_sub(old) >= 2 && p.iss.wrapping_sub(old) < 1 << 31);
    assert_eq!(p.stack.usage().time_wait, 0);
    p.send(seg().ack(1).data(b"again"));
    p.id = p.stack.accept(p.listener.unwrap());
    p.expect_data(b"again");
    p.at(1_040);
    p.expect(seg().ack(6));
}

/// Where nobody listens there is nothing to reopen: TIME-WAIT holds.
#[test]
fn time_wait_is_not_assassinated_by_a_syn_to_no_listener() {
    let mut p = Peer::connected();
    p.shutdown();
    p.expect(seg().fin().ack(1));
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
    p.send(seg().syn().seq(1_000));
    p.expect(seg().seq(2).ack(2));
    assert_eq!(p.stack.usage().time_wait, 1);
    p.send(seg().fin().ack(2));
    p.expect(seg().seq(2).ack(2));
}

#[test]
fn the_oldest_time_wait_gives_way() {
    let mut p = Peer::new(config(), &minitcp_proto::Limits { time_wait: 2, ..limits() });
    p.listen(4);
    for port in 5000..5003 {
        p.remote.set_port(port);
        p.shake(seg());
        p.close();
        p.expect(seg().fin().ack(1));
        p.send(seg().fin().ack(2));
        p.expect(seg().seq(2).ack(2));
    }
    assert_eq!((p.stack.usage().time_wait, p.dropped(Drop::TimeWaitEvicted)), (2, 1));
    p.at(60_000);
    p.expect_empty();
}

// --- close, abort, orphans ---
