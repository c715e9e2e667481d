//! The congestion controller is chosen for a stack, for a socket, and for a connection that lives.

use minitcp_proto::{Congestion, Limits, TcpOptions};

use crate::common::{Peer, config_with, limits, seg};

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

/// A connection of BBR on a stack that can lend so many models.
fn modelled(models: usize) -> Peer {
    let config = config_with(|config| {
        (config.congestion, config.pacing) = (Congestion::Bbr, true);
    });
    let mut p = Peer::new(config, &Limits { models, ..limits() });
    p.rtt_ms = 100;
    p.listen(4);
    p.shake(seg().win(64_000).mss(1460).sack_ok());
    p
}

/// One that has sent nothing yet needs none; and who leaves it gives it back.
#[test]
fn a_model_is_lent_from_the_first_octet_to_the_last() {
    for by_handover in [false, true] {
        let mut p = modelled(1);
        assert_eq!(p.stack.usage().models, 0);
        p.write_text(1, 1460);
        p.expect(seg().ack(1).text(1460));
        assert_eq!((p.stack.usage().models, p.info().congestion), (1, Congestion::Bbr));
        if by_handover {
            let cwnd = p.info().cwnd;
            p.conn().set_congestion(Congestion::NewReno);
            assert_eq!((p.info().cwnd, p.info().congestion), (cwnd, Congestion::NewReno));
        } else {
            p.conn().abort();
        }
        assert_eq!((p.stack.usage().models, p.stack.stats().unmodelled), (0, 0));
    }
}

#[test]
fn who_finds_no_model_goes_on_with_cubic() {
    let mut p = modelled(0);
    p.write_text(1, 10 * 1460);
    assert_eq!(p.take_all().len(), 10);
    assert_eq!((p.info().congestion, p.info().cwnd), (Congestion::Cubic, 14_600));
    assert_eq!((p.stack.usage().models, p.stack.stats().unmodelled), (0, 1));
    assert_eq!(p.conn().options().congestion, Congestion::Bbr, "what was asked for");
}

/// The rate of the path is told as soon as it is known, and what leaves follows it: ten segments in
/// a round trip of 100 ms at first, and 2.77 times that much is tried.
#[test]
fn the_rate_of_the_path_is_measured() {
    let mut p = modelled(1);
    assert_eq!(p.info().delivery_rate, None);
    p.write_text(1, 30 * 1460);
    p.run(100);
    let sent: usize = p.take_all().iter().map(|got| got.payload.len()).sum();
    assert_eq!(sent, 10 * 1460, "the initial window");
    p.send(seg().ack(1 + sent as i64).win(64_000));
    p.take_all();
    let info = p.info();
    let rate = info.delivery_rate.unwrap();
    assert!((100_000..=146_000).contains(&rate), "{rate}");
    let gain = info.pacing_rate * 100 / rate;
    assert!((270..=280).contains(&gain), "{gain} %");
}

/// Losses that the path makes at random do not take the window, as they take that of CUBIC.
#[test]
fn a_loss_says_nothing_of_the_path() {
    let mut p = modelled(1);
    p.write_text(1, 20 * 1460);
    p.run(100);
    p.take_all();
    let cwnd = p.info().cwnd;
    let blocks = [(1 + 1460, 1 + 10 * 1460)];
    p.send(seg().ack(1).win(64_000).sack(&blocks));
    p.take_all();
    assert!(p.info().is_recovering && p.info().cwnd > cwnd, "{:?}", p.info());
}
