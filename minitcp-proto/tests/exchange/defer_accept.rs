//! `TCP_DEFER_ACCEPT`: a connection counts as accepted with its first octets, or when it has kept
//! the listener waiting for long enough; as Linux has it.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Drop, ListenOptions, State};

use crate::common::{Peer, config, config_with, seg};

const SYN_ACK: Flags = Flags::SYN.union(Flags::ACK);

/// A listener that waits so long; the peer has its SYN,ACK.
fn greeted(secs: u64, config: minitcp_proto::Config) -> Peer {
    let mut p = Peer::listening(config);
    let defer_accept = Some(Duration::from_secs(secs));
    let options = ListenOptions { defer_accept, ..p.stack.config().listen_options() };
    p.stack.set_listener_options(p.listener.unwrap(), &options);
    p.send(seg().syn().mss(1460));
    p.expect_syn(SYN_ACK);
    p
}

fn accept(p: &mut Peer) -> bool {
    p.id = p.stack.accept(p.listener.unwrap());
    p.id.is_some()
}

#[test]
fn the_first_octets_open_the_connection() {
    let mut p = greeted(10, config());
    p.send(seg().ack(1));
    assert!(!accept(&mut p));
    assert_eq!(p.stack.poll_event(), None, "nor is anybody told");
    assert_eq!(p.dropped(Drop::AcceptDeferred), 1);
    p.at(5000); // No SYN,ACK meanwhile.
    p.send(seg().ack(1).data(b"GET /"));
    assert!(accept(&mut p));
    p.expect_data("GET /");
    assert_eq!(p.info().srtt_micros, None, "what took five seconds was not the path");
    assert_eq!(p.info().cwnd, 14_600, "and nothing was lost");
    p.run(100);
    p.take_all();
}

#[test]
fn octets_on_the_last_segment_of_the_handshake() {
    let mut p = greeted(10, config());
    p.send(seg().ack(1).data(b"GET /"));
    assert!(accept(&mut p));
    p.expect_data("GET /");
    p.run(100);
    p.take_all();
}

#[test]
fn a_fin_is_something_to_say() {
    let mut p = greeted(10, config());
    p.send(seg().fin().ack(1));
    assert!(accept(&mut p));
    assert_eq!(p.state(), State::CloseWait);
    p.take_all();
}

#[test]
fn after_the_period_an_ack_is_enough() {
    let mut p = greeted(10, config());
    p.at(500);
    p.send(seg().ack(1));
    p.at(9999);
    p.send(seg().ack(1));
    assert!(!accept(&mut p));
    p.at(10_000);
    p.expect(seg().syn().ack(1).mss(1460)); // Once more, to hear whether the peer is there.
    p.send(seg().ack(1));
    assert!(accept(&mut p));
    assert_eq!(p.state(), State::Established);
    assert_eq!(p.info().cwnd, 14_600, "it was repeated, but not lost");
}

#[test]
fn the_syn_ack_is_repeated_until_the_first_ack() {
    let mut p = greeted(10, config());
    p.at(1000);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1));
    p.at(9999);
    p.at(10_000);
    p.expect(seg().syn().ack(1));
    p.send(seg().ack(1).data(b"x"));
    assert!(accept(&mut p));
    p.run(100);
    p.take_all();
}

/// However long the period, a peer that has gone does not hold its slot for ever.
#[test]
fn a_silent_peer_is_forgotten() {
    let mut p = greeted(300, config_with(|c| c.syn_timeout = Duration::from_secs(20)));
    p.send(seg().ack(1));
    p.at(299_999);
    p.at(300_000);
    p.expect(seg().syn().ack(1));
    p.run(19_999);
    assert_eq!(p.stack.usage().half_open, 1);
    p.run(1);
    p.take_all();
    p.expect_empty();
}
