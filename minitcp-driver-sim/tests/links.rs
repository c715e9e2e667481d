//! Each fault of a link, exactly where it can be exact, else within its odds.

use core::time::Duration;

use minitcp_driver_sim::{Burst, Effects, Fate, Fault, Link, Loss, Pipe};
use minitcp_proto::Instant;

/// What becomes of `count` packets of 1000 octets sent every `gap` nanoseconds.
fn fates(link: Link, count: u64, gap: u64) -> Vec<Fate> {
    let mut pipe = Pipe::new(link, 1);
    (0..count).map(|n| pipe.send(Instant::from_nanos(n * gap), &mut [0x45; 1000])).collect()
}

fn share(fates: &[Fate], is_hit: impl Fn(&Fate) -> bool) -> f64 {
    let hits = fates.iter().filter(|fate| is_hit(fate)).count();
    f64::from(u32::try_from(hits).unwrap()) / f64::from(u32::try_from(fates.len()).unwrap())
}

fn has(fate: &Fate, effect: Effects) -> bool {
    matches!(fate, Fate::Delivered { effects, .. } if effects.contains(effect))
}

fn arrivals(fates: &[Fate]) -> Vec<Option<u64>> {
    let at = |fate: &Fate| match fate {
        Fate::Delivered { at, .. } => Some(at.as_nanos()),
        Fate::Lost(_) => None,
    };
    fates.iter().map(at).collect()
}

#[test]
fn a_perfect_link_delivers_at_once() {
    let at = |n: u64| Fate::Delivered {
        at: Instant::from_nanos(n * 7),
        len: 1000,
        effects: Effects::empty(),
    };
    assert_eq!(fates(Link::new(), 100, 7), (0..100).map(at).collect::<Vec<_>>());
}

#[test]
fn faults_come_as_often_as_asked() {
    let is_lost = |fate: &Fate| *fate == Fate::Lost(Loss::Random);
    for (asked, link, effect) in [
        (0.3, Link::new().duplicate(0.3), Effects::DUPLICATED),
        (0.01, Link::new().corrupt(0.01), Effects::CORRUPTED),
        (0.2, Link::new().truncate(0.2), Effects::TRUNCATED),
        (0.1, Link::new().reorder(0.1, Duration::from_millis(1)), Effects::HELD_BACK),
    ] {
        let measured = share(&fates(link, 50_000, 1), |fate| has(fate, effect));
        assert!((measured - asked).abs() < 0.01, "{effect}: {measured}");
    }
    for asked in [0.0, 0.1, 0.3, 1.0] {
        let measured = share(&fates(Link::new().loss(asked), 50_000, 1), is_lost);
        assert!((measured - asked).abs() < 0.01, "{measured}");
    }
}

#[test]
fn bursts_have_their_share_and_their_length() {
    let fates = fates(Link::new().burst_loss(Burst::new(0.1, 5.0)), 200_000, 1);
    let is_lost = |fate: &Fate| *fate == Fate::Lost(Loss::Burst);
    let measured = share(&fates, is_lost);
    assert!((measured - 0.1).abs() < 0.01, "{measured}");
    let begins = fates.windows(2).filter(|pair| !is_lost(&pair[0]) && is_lost(&pair[1])).count();
    let length = measured * 200_000.0 / f64::from(u32::try_from(begins).unwrap());
    assert!((length - 5.0).abs() < 0.3, "{length}");
}

#[test]
fn chosen_packets_are_hit_and_no_others() {
    let link = Link::new()
        .nth(2, Fault::Drop)
        .nth(3, Fault::Duplicate)
        .nth(4, Fault::Corrupt)
        .nth(5, Fault::Truncate)
        .nth(6, Fault::HoldBack(Duration::from_nanos(500)))
        .when(Fault::Drop, |number, packet| number > 8 && packet.len() == 1000);
    let fates = fates(link, 10, 100);
    for (index, fate) in fates.iter().enumerate() {
        let effects = match fate {
            Fate::Lost(loss) => {
                assert_eq!(*loss, Loss::Chosen);
                assert!(matches!(index + 1, 2 | 9 | 10), "{index}");
                continue;
            }
            Fate::Delivered { effects, .. } => *effects,
        };
        let expected = match index + 1 {
            3 => Effects::DUPLICATED,
            4 => Effects::CORRUPTED,
            5 => Effects::TRUNCATED,
            6 => Effects::HELD_BACK,
            _ => Effects::empty(),
        };
        assert_eq!(effects, expected, "packet {}", index + 1);
    }
    assert_eq!(arrivals(&fates)[5..8], [Some(1000), Some(600), Some(700)]);
}

#[test]
fn corruption_inverts_one_bit_and_truncation_shortens() {
    let mut pipe = Pipe::new(Link::new().corrupt(1.0), 1);
    let mut where_ = std::collections::BTreeSet::new();
    for _ in 0..1000 {
        let mut packet = [0; 100];
        pipe.send(Instant::ZERO, &mut packet);
        assert_eq!(packet.iter().map(|octet| octet.count_ones()).sum::<u32>(), 1);
        where_.insert(packet.iter().position(|octet| *octet != 0));
    }
    assert!(where_.len() > 95, "everywhere: {}", where_.len());
    let mut pipe = Pipe::new(Link::new().truncate(1.0), 1);
    for _ in 0..1000 {
        let Fate::Delivered { len, .. } = pipe.send(Instant::ZERO, &mut [0; 100]) else { panic!() };
        assert!(len < 100);
    }
}

#[test]
fn jitter_spreads_and_keeps_the_order() {
    let link = Link::new().delay(Duration::from_micros(10)).jitter(Duration::from_micros(5));
    let sent_at = |n: usize| u64::try_from(n).unwrap() * 100_000;
    let arrivals = arrivals(&fates(link.clone(), 1000, 100_000));
    let delays: Vec<u64> =
        arrivals.iter().enumerate().map(|(n, at)| at.unwrap() - sent_at(n)).collect();
    let (least, most) = (delays.iter().min().unwrap(), delays.iter().max().unwrap());
    assert!((10_000..10_100).contains(least) && (14_900..=15_000).contains(most));
    let dense = self::arrivals(&fates(link, 1000, 10));
    assert!(dense.is_sorted());
}

#[test]
fn a_rate_spaces_packets_and_a_full_queue_drops() {
    // 1000 octets at 8 Mbit/s take a millisecond.
    let link = Link::new().rate(8_000_000).queue(3000).delay(Duration::from_millis(5));
    let ms = |n: u64| Some(n * 1_000_000);
    assert_eq!(arrivals(&fates(link.clone(), 5, 0)), [ms(6), ms(7), ms(8), None, None]);
    let fates_full = fates(link.clone(), 4, 0);
    assert_eq!(fates_full[3], Fate::Lost(Loss::QueueFull));
    // Room comes back as it is sent.
    assert_eq!(arrivals(&fates(link, 5, 1_000_000)), (6..11).map(ms).collect::<Vec<_>>());
    // A packet larger than the whole queue still goes through when nothing waits.
    let small = Link::new().rate(8_000_000).queue(10);
    assert_eq!(arrivals(&fates(small, 2, 0)), [ms(1), None]);
}

#[test]
fn rates_are_exact_over_many_packets() {
    for rate in [1_000_000u64, 7_777_777, 10_000_000_000] {
        let link = Link::new().rate(rate).queue(1 << 40);
        let last = arrivals(&fates(link, 1000, 0))[999].unwrap();
        let exact = 1000 * 8000 * 1_000_000_000u64 / rate;
        assert!((exact..exact + 1000).contains(&last), "{rate}: {last} not {exact}");
    }
}

#[test]
fn a_slow_queue_marks_what_can_be_marked() {
    let link = || Link::new().rate(8_000_000).queue(1 << 20).mark_above(1500);
    for (class, marked) in [(0, false), (1, true), (2, true), (3, true)] {
        let mut pipe = Pipe::new(link(), 1);
        for number in 0..5 {
            let mut packet = [0; 1000];
            (packet[0], packet[1]) = (0x45, class);
            let fate = pipe.send(Instant::ZERO, &mut packet);
            let expected = marked && number >= 2;
            assert_eq!(has(&fate, Effects::MARKED), expected, "{class} {number}");
            assert_eq!(packet[1], if expected { 3 } else { class });
            let sum = minitcp_proto::wire::checksum::Sum::of(&packet[..20]);
            assert!(!expected || sum.is_valid());
        }
    }
    let mut pipe = Pipe::new(link().mark_above(0), 1);
    let mut packets = [[0; 1000]; 2];
    for packet in &mut packets {
        (packet[0], packet[1]) = (0x60, 0x20);
        pipe.send(Instant::ZERO, packet);
    }
    assert_eq!(packets.map(|packet| packet[1]), [0x20, 0x30]);
}

#[test]
fn sizes_and_outages() {
    assert_eq!(fates(Link::new().mtu(999), 1, 0), [Fate::Lost(Loss::TooBig)]);
    assert_eq!(arrivals(&fates(Link::new().mtu(1000), 1, 0)), [Some(0)]);
    let hole = Link::new().black_hole_above(999);
    assert_eq!(fates(hole, 1, 0), [Fate::Lost(Loss::BlackHole)]);
    let at = Instant::from_nanos;
    let out = Link::new().outage(at(10), at(20)).outage(at(30), at(31));
    let expected = [Some(0), None, Some(20), None, Some(40)];
    assert_eq!(arrivals(&fates(out, 5, 10)), expected);
}

#[test]
fn one_fault_does_not_move_another() {
    let alone = fates(Link::new().loss(0.1), 1000, 1);
    let with_others = fates(Link::new().loss(0.1).duplicate(0.5).corrupt(0.5), 1000, 1);
    let lost = |fates: &[Fate]| arrivals(fates).iter().map(Option::is_none).collect::<Vec<_>>();
    assert_eq!(lost(&alone), lost(&with_others));
}
