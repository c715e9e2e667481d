//! Hosts that wait for their peers, in every state in which one can: what each owes after it has
//! slept, and what its peer says then.

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{CloseReason, Keepalive, State};

use crate::common::{Peer, Seg, config, pattern, seg};
use crate::support::{SYN_ACK, half_open, secs, set};

/// A host that waits for its peer.
pub(crate) struct Sleeper {
    pub(crate) name: &'static str,
    /// Brings it there, with all that it sent taken.
    pub(crate) make: fn() -> Peer,
    /// What it has to send once more.
    pub(crate) is_due: fn(&Seg) -> bool,
    /// What the peer says when it hears that.
    pub(crate) answer: fn() -> Seg,
    /// The connection has got on with that answer.
    pub(crate) went_on: fn(&mut Peer) -> bool,
}

/// All of them.
pub(crate) fn sleepers() -> Vec<Sleeper> {
    [handshakes(), transfers(), closings(), watches()].into_iter().flatten().collect()
}

fn is_text(got: &Seg) -> bool {
    !got.payload.is_empty()
}

fn is_fin(got: &Seg) -> bool {
    got.flags.contains(Flags::FIN)
}

fn is_bare(got: &Seg) -> bool {
    got.flags == Flags::ACK && got.payload.is_empty() && got.seq == 0
}

fn is_gone(p: &mut Peer) -> bool {
    p.stack.usage().connections == 0
}

fn nothing_in_flight(p: &mut Peer) -> bool {
    p.state() == State::Established && p.info().in_flight == 0
}

fn with_text() -> Peer {
    let mut p = Peer::accepted();
    p.write(pattern(1, 1000));
    p
}

fn with_user_timeout() -> Peer {
    let mut p = Peer::accepted();
    set(&mut p, |options| options.user_timeout = Some(secs(20)));
    p.write(pattern(1, 1000));
    p
}

fn shut() -> Peer {
    let mut p = Peer::accepted();
    p.send(seg().ack(1).win(0));
    p
}

fn closed_by_peer() -> Peer {
    let mut p = Peer::accepted();
    p.send(seg().fin().ack(1));
    p
}

/// `p` after `act`, with all that was sent taken.
pub(crate) fn after(mut p: Peer, act: impl FnOnce(&mut Peer)) -> Peer {
    act(&mut p);
    p.take_all();
    p
}

fn watched(count: u8, probes: u64) -> Peer {
    after(Peer::accepted(), |p| {
        let keepalive = Keepalive { idle: secs(10), interval: secs(5), count };
        set(p, |options| options.keepalive = Some(keepalive));
        p.run(9_900 + 5_000 * probes);
    })
}

fn handshakes() -> Vec<Sleeper> {
    vec![
        Sleeper {
            name: "SYN-SENT",
            make: || {
                let mut p = Peer::connecting(config());
                p.expect_syn(Flags::SYN);
                p
            },
            is_due: |got| got.flags == Flags::SYN,
            answer: || seg().syn().ack(1).mss(1460),
            went_on: |p| p.state() == State::Established,
        },
        Sleeper {
            name: "SYN-RECEIVED after a simultaneous open",
            make: || {
                let mut p = Peer::connecting(config());
                p.expect_syn(Flags::SYN);
                after(p, |p| p.send(seg().syn().mss(1460)))
            },
            is_due: |got| got.flags == SYN_ACK,
            answer: || seg().ack(1),
            went_on: |p| p.state() == State::Established,
        },
        Sleeper {
            name: "a half-open handshake",
            make: || {
                let mut p = Peer::listening(config());
                half_open(&mut p, 5000);
                p
            },
            is_due: |got| got.flags == SYN_ACK,
            answer: || seg().ack(1),
            went_on: |p| p.stack.usage().connections == 1,
        },
    ]
}

fn transfers() -> Vec<Sleeper> {
    let text = |name, make| Sleeper {
        name,
        make,
        is_due: is_text,
        answer: || seg().ack(1001),
        went_on: nothing_in_flight,
    };
    vec![
        text("octets in flight", || after(with_text(), |_| {})),
        text("octets in flight that were repeated", || after(with_text(), |p| p.run(3_000))),
        text("octets in flight, with a user timeout", || after(with_user_timeout(), |_| {})),
        Sleeper {
            name: "octets behind a shut window, nothing sent yet",
            make: || after(shut(), |p| p.write(pattern(1, 1000))),
            is_due: is_text,
            answer: || seg().ack(2).win(64_000),
            went_on: |p| p.state() == State::Established && p.info().snd_wnd > 0,
        },
        Sleeper {
            name: "a probe of a shut window in flight",
            make: || {
                after(shut(), |p| {
                    p.write(pattern(1, 1000));
                    p.run(2_000);
                })
            },
            is_due: is_text,
            answer: || seg().ack(2).win(64_000),
            went_on: |p| p.state() == State::Established && p.info().snd_wnd > 0,
        },
        Sleeper {
            name: "octets that silly-window avoidance holds back",
            make: || {
                after(Peer::accepted(), |p| {
                    p.send(seg().ack(1).win(500));
                    p.write(pattern(1, 1000));
                })
            },
            is_due: is_text,
            answer: || seg().ack(501).win(64_000),
            went_on: |p| p.state() == State::Established,
        },
        Sleeper {
            name: "corked octets",
            make: || {
                after(Peer::accepted(), |p| {
                    set(p, |options| options.cork = true);
                    p.write(pattern(1, 1000));
                })
            },
            is_due: is_text,
            answer: || seg().ack(1001),
            went_on: nothing_in_flight,
        },
    ]
}

fn closings() -> Vec<Sleeper> {
    let fin = |name, make, answer, went_on| Sleeper { name, make, is_due: is_fin, answer, went_on };
    vec![
        fin(
            "FIN-WAIT-1",
            || after(Peer::accepted(), Peer::shutdown),
            || seg().ack(2),
            |p| p.state() == State::FinWait2,
        ),
        fin(
            "FIN-WAIT-1 with octets",
            || {
                after(with_text(), |p| {
                    p.take_all();
                    p.shutdown();
                })
            },
            || seg().ack(1002),
            |p| p.state() == State::FinWait2,
        ),
        fin(
            "FIN-WAIT-1 of an orphan",
            || after(Peer::accepted(), Peer::close),
            || seg().fin().ack(2),
            is_gone,
        ),
        fin(
            "a FIN behind a shut window, not due yet",
            || after(shut(), Peer::shutdown),
            || seg().ack(2).win(0),
            |p| p.state() == State::FinWait2,
        ),
        fin(
            "a FIN that probes a shut window",
            || {
                after(shut(), |p| {
                    p.shutdown();
                    p.run(2_000);
                })
            },
            || seg().ack(2).win(0),
            |p| p.state() == State::FinWait2,
        ),
        fin(
            "CLOSING",
            || {
                after(Peer::accepted(), |p| {
                    p.shutdown();
                    p.send(seg().fin().ack(1));
                })
            },
            || seg().seq(2).ack(2),
            |p| p.state() == State::TimeWait,
        ),
        fin(
            "LAST-ACK",
            || after(closed_by_peer(), Peer::shutdown),
            || seg().seq(2).ack(2),
            |p| p.conn().close_reason() == Some(CloseReason::Finished),
        ),
        fin(
            "LAST-ACK of an orphan",
            || after(closed_by_peer(), Peer::close),
            || seg().seq(2).ack(2),
            is_gone,
        ),
    ]
}

fn watches() -> Vec<Sleeper> {
    let probe = |name, make| Sleeper {
        name,
        make,
        is_due: is_bare,
        answer: || seg().ack(1),
        went_on: |p| p.state() == State::Established && p.info().keepalive_probes == 0,
    };
    vec![
        probe("a keep-alive that was not due yet", || watched(3, 0)),
        probe("a keep-alive that was sent once", || watched(3, 1)),
        probe("the last keep-alive", || watched(2, 2)),
        probe("a keep-alive with a user timeout", || {
            after(watched(9, 1), |p| set(p, |options| options.user_timeout = Some(secs(20))))
        }),
    ]
}
