//! Whole transfers through queues that mark instead of dropping (RFC 3168).

use core::time::Duration;

use minitcp_driver_sim::{Link, Network, Outcome, Transfer};
use minitcp_proto::{Config, Congestion, Ecn, Limits, Memory, Offload, Stack, Stats};

const MEGABYTE: u64 = 1 << 20;
/// In bits a second: a window of 50,000 octets at a round-trip time of 20 ms.
const RATE: u64 = 20_000_000;

/// The queue holds as much as a round trip, and marks from half of that on.
fn marking() -> Link {
    Link::new().rate(RATE).delay(Duration::from_millis(10)).queue(1 << 20).mark_above(25_000)
}

/// The same queue where nobody is marked: it drops as early as the other one holds.
fn dropping() -> Link {
    marking().queue(50_000)
}

/// The outcome, and the counters of the sender and of the link.
fn transfer(bytes: u64, link: Link, ipv6: bool, change: impl Fn(&mut Config)) -> Run {
    let mut network = Network::new(7);
    let [client, server] = [1_u8, 2].map(|last| {
        let mut config = match ipv6 {
            true => Config::new([0xfd00, 0, 0, 0, 0, 0, 0, u16::from(last)], 64),
            false => Config::new([10, 0, 0, last], 24),
        };
        config.ecn = Ecn::Active;
        change(&mut config);
        let memory = Memory::allocate(&Limits::default());
        network.host_with(Stack::new(config, memory, network.next_stack_seed()))
    });
    network.link(client, server, link);
    let outcome = Transfer::new(bytes).run(&mut network, client, server);
    assert!(outcome.is_success(), "{outcome}; {}", network.stats());
    let sender = network.stack(client).stats().clone();
    let receiver = network.stack(server).stats().clone();
    let (marked, lost) = (network.stats().marked, network.stats().lost_in_all());
    Run { outcome, sender, receiver, marked, lost }
}

struct Run {
    outcome: Outcome,
    sender: Stats,
    receiver: Stats,
    marked: u64,
    lost: u64,
}

impl Run {
    /// Of what the link could carry, in percent.
    fn percent(&self) -> u64 {
        self.outcome.goodput().unwrap() * 8 * 100 / RATE
    }
}

/// R3168-8, SHLD-8: nothing is lost, nothing goes again, the link is as full as with losses, and
/// windows do come down. Whatever cuts and merges, and whoever decides.
#[test]
fn a_queue_that_marks_loses_nothing_and_is_as_full() {
    for congestion in [Congestion::Cubic, Congestion::NewReno] {
        for (ipv6, offload) in [(false, Offload::empty()), (true, Offload::SEGMENTATION)] {
            let change = |config: &mut Config| {
                (config.congestion, config.offload) = (congestion, offload);
            };
            let run = transfer(32 * MEGABYTE, marking(), ipv6, change);
            assert_eq!((run.lost, run.sender.retransmitted_segments), (0, 0), "{congestion:?}");
            assert_eq!(run.sender.timeouts, 0);
            assert!(run.percent() >= 93, "{congestion:?}: {} %", run.percent());
            assert!(run.sender.ecn_reductions >= 5, "{}", run.sender.ecn_reductions);
            // Echoes go on for a round trip, in which only one counts.
            assert!(run.sender.ecn_echoes_in > 2 * run.sender.ecn_reductions);
            assert_eq!(run.receiver.ecn_marks_in, run.marked);
            // In vain without agreement: the same queue, of the same length, has to drop.
            let off = |config: &mut Config| {
                change(config);
                config.ecn = Ecn::Off;
            };
            let without = transfer(32 * MEGABYTE, dropping(), ipv6, off);
            assert!(without.lost > 0 && without.marked == 0);
            assert_eq!(without.sender.ecn_reductions + without.receiver.ecn_marks_in, 0);
            assert!(run.percent() + 2 >= without.percent(), "{} %", without.percent());
        }
    }
}

/// R3168-2: two that only answer do not find each other; what may not be marked is not.
#[test]
fn nobody_is_marked_who_did_not_agree() {
    for setting in [Ecn::Off, Ecn::Passive] {
        let run = transfer(MEGABYTE, marking(), false, |config| config.ecn = setting);
        assert_eq!((run.marked, run.sender.ecn_echoes_in), (0, 0));
    }
}

/// A queue that marks whatever does not find it empty leaves no room for two segments at a time:
/// the sender gets by with few, and sends nothing twice.
#[test]
fn where_all_that_waits_is_marked_it_goes_on_slowly() {
    let run = transfer(4 * MEGABYTE, marking().mark_above(0), false, |_| ());
    assert_eq!((run.lost, run.sender.retransmitted_segments, run.sender.timeouts), (0, 0, 0));
    assert!(run.sender.ecn_reductions > 50, "{}", run.sender.ecn_reductions);
    assert!((3..60).contains(&run.percent()), "{} %", run.percent());
}
