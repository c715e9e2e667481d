//! The congestion controller is chosen for a stack, for a socket, and for a connection that lives.

use minitcp_proto::{Congestion, TcpOptions};

use crate::common::{Peer, config_with, seg};

/// What a stack whose controller is `congestion` has.
fn stack_with(congestion: Congestion) -> Peer {
    Peer::far_with(config_with(|config| config.congestion = congestion))
}

/// The threshold in segments after one of ten was lost.
fn threshold_after_a_loss(p: &mut Peer) -> u32 {
    p.write_text(1, 10 * 1460);
    assert_eq!(p.take_all().len(), 10);
    for _ in 0..3 {
        p.send(seg().ack(1));
    }
    p.expect(seg().seq(1).ack(1).text(1460));
    p.info().ssthresh / 1460
}

/// MAY-18, R9438-7: CUBIC leaves seven of ten, and is the default; R5681-11: Reno leaves five.
#[test]
fn a_stack_has_the_controller_that_its_configuration_says() {
    assert_eq!(threshold_after_a_loss(&mut Peer::far()), 7);
    assert_eq!(threshold_after_a_loss(&mut stack_with(Congestion::Cubic)), 7);
    assert_eq!(threshold_after_a_loss(&mut stack_with(Congestion::NewReno)), 5);
}

#[test]
fn a_listener_has_a_controller_for_what_it_accepts() {
    let mut p = Peer::listening(config_with(|_| ()));
    let listener = p.listener.unwrap();
    let mut options = p.stack.listener_options(listener).unwrap();
    assert_eq!(options.tcp.congestion, Congestion::Cubic);
    options.tcp.congestion = Congestion::NewReno;
    assert!(p.stack.set_listener_options(listener, &options));
    p.rtt_ms = 100;
    p.shake(seg().win(64_000).mss(1460));
    assert_eq!(p.conn().options().congestion, Congestion::NewReno);
    assert_eq!(threshold_after_a_loss(&mut p), 5);
}

/// The windows are those that there are.
#[test]
fn a_connection_that_lives_gets_another_controller() {
    for by_options in [false, true] {
        let mut p = Peer::far();
        let options = p.conn().options();
        let cwnd = p.info().cwnd;
        if by_options {
            let options = TcpOptions { congestion: Congestion::NewReno, ..options };
            p.conn().set_options(&options).unwrap();
        } else {
            p.conn().set_congestion(Congestion::NewReno);
        }
        assert_eq!(p.conn().options().congestion, Congestion::NewReno);
        assert_eq!((p.info().cwnd, p.info().ssthresh), (cwnd, u32::MAX));
        assert_eq!(threshold_after_a_loss(&mut p), 5);
        p.conn().set_congestion(Congestion::Cubic);
        assert_eq!(p.info().ssthresh / 1460, 5);
    }
}
