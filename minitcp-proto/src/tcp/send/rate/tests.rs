//! Rate samples of small scripts, and against a record for each packet.

use super::*;
use proptest::prelude::*;
use std::vec::Vec;

const SMSS: u32 = 1000;

fn ms(millis: u64) -> Instant {
    Instant::from_secs(10) + core::time::Duration::from_millis(millis)
}

fn at(segment: u32) -> SeqNum {
    SeqNum(0xffff_f000).plus(segment * SMSS)
}

/// The segments `from..to` leave, one transmission each.
fn transmit(rate: &mut Rate, from: u32, to: u32, flight: u32, now: Instant) {
    for segment in from..to {
        let flight = flight + (segment - from) * SMSS;
        rate.on_transmit(at(segment), at(segment + 1), flight, now);
    }
}

fn arrival(segments: u32, last: u32) -> Arrival {
    Arrival {
        delivered: segments * SMSS,
        once: Some(at(last)),
        lost: 0,
        snd_una: at(last),
        min_rtt_micros: 0,
    }
}

#[test]
fn the_rate_is_what_arrives_in_a_round_trip() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 0, 10, 0, ms(0));
    let sample = rate.on_ack(&arrival(1, 1), ms(100));
    assert_eq!((sample.delivered, sample.interval_nanos), (1000, 100_000_000));
    assert_eq!((sample.delivery_rate, sample.rtt_micros), (10_000, Some(100_000)));
    assert_eq!((sample.prior_delivered, sample.total_delivered), (0, 1000));
    assert_eq!((sample.tx_in_flight, sample.newly_acked), (1000, 1000));
    // What is sent at the second one comes back with all between.
    transmit(&mut rate, 10, 11, 9000, ms(100));
    for segment in 2..=10 {
        rate.on_ack(&arrival(1, segment), ms(110 + u64::from(segment) * 9));
    }
    let sample = rate.on_ack(&arrival(1, 11), ms(210));
    assert_eq!((sample.delivered, sample.prior_delivered), (10_000, 1000));
    assert_eq!((sample.interval_nanos, sample.delivery_rate), (110_000_000, 90_909));
    assert_eq!(sample.rtt_micros, Some(110_000));
}

/// Who is measured from the midst of a transfer on.
#[test]
fn what_was_in_flight_before_gives_no_sample() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 10, 12, 10_000, ms(5));
    assert!(!rate.on_ack(&arrival(10, 10), ms(50)).has_data);
    let sample = rate.on_ack(&arrival(1, 11), ms(55));
    assert_eq!((sample.delivered, sample.interval_nanos), (11_000, 55_000_000));
}

/// Acknowledgments that come together are not believed beyond how fast the packets were sent.
#[test]
fn a_compressed_ack_is_bounded_by_the_send_rate() {
    let mut rate = Rate::new(ms(0));
    for segment in 0..10 {
        transmit(&mut rate, segment, segment + 1, segment * SMSS, ms(u64::from(segment) * 10));
    }
    rate.on_ack(&arrival(1, 1), ms(100));
    for segment in 10..20 {
        transmit(&mut rate, segment, segment + 1, 9000, ms(20 + u64::from(segment) * 10));
    }
    // Nine in a millisecond, after a silence; and then those sent in 90 ms, at once.
    rate.on_ack(&arrival(9, 10), ms(215));
    let sample = rate.on_ack(&arrival(10, 20), ms(220));
    assert_eq!(sample.interval_nanos, 210_000_000, "in which they were sent");
    assert_eq!(sample.delivery_rate, 19_000 * 100 / 21);
}

#[test]
fn an_interval_below_the_least_rtt_gives_no_rate() {
    for (min_rtt_micros, delivery_rate) in [(10_000, 100_000), (10_001, 0), (0, 100_000)] {
        let mut rate = Rate::new(ms(0));
        transmit(&mut rate, 0, 1, 0, ms(0));
        let sample = rate.on_ack(&Arrival { min_rtt_micros, ..arrival(1, 1) }, ms(10));
        assert_eq!((sample.has_data, sample.delivery_rate), (true, delivery_rate));
    }
}

#[test]
fn what_was_sent_again_counts_but_gives_no_sample() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 0, 4, 0, ms(0));
    let sample = rate.on_ack(&Arrival { once: None, ..arrival(1, 1) }, ms(50));
    assert_eq!((sample.has_data, sample.rtt_micros, sample.delivery_rate), (false, None, 0));
    assert_eq!((sample.newly_acked, sample.total_delivered), (1000, 1000));
    let sample = rate.on_ack(&Arrival { delivered: 0, ..arrival(0, 1) }, ms(50));
    assert_eq!((sample.has_data, sample.newly_acked), (false, 0));
}

#[test]
fn time_without_anything_in_flight_does_not_count() {
    for is_again in [false, true] {
        let mut rate = Rate::new(ms(0));
        transmit(&mut rate, 0, 1, 0, ms(0));
        rate.on_ack(&arrival(1, 1), ms(10));
        if is_again {
            rate.on_retransmit(0, ms(5000));
            transmit(&mut rate, 1, 2, SMSS, ms(5000));
        } else {
            transmit(&mut rate, 1, 2, 0, ms(5000));
        }
        let sample = rate.on_ack(&arrival(1, 2), ms(5010));
        assert_eq!((sample.interval_nanos, sample.delivery_rate), (10_000_000, 100_000));
    }
}

/// From when data is short until all that was in flight then has arrived.
#[test]
fn a_bubble_marks_a_round_trip() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 0, 4, 0, ms(0));
    rate.on_app_limited(4000);
    transmit(&mut rate, 4, 6, 4000, ms(5));
    for (segment, is_app_limited) in [(1, false), (2, false), (4, false), (5, true), (6, true)] {
        let segments = if segment == 4 { 2 } else { 1 };
        let sample = rate.on_ack(&arrival(segments, segment), ms(50 + u64::from(segment)));
        assert_eq!(sample.is_app_limited, is_app_limited, "{segment}");
        assert_eq!(rate.is_app_limited(), segment <= 4, "{segment}");
    }
    transmit(&mut rate, 6, 7, 0, ms(100));
    assert!(!rate.on_ack(&arrival(1, 7), ms(150)).is_app_limited);
    rate.on_app_limited(0);
    assert!(rate.is_app_limited(), "also with nothing in flight");
}

#[test]
fn losses_are_told_with_what_was_in_flight() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 0, 10, 0, ms(0));
    rate.on_lost(3000);
    let loss = rate.loss(1000, 1, Some(at(5)));
    let sent = loss.sent.unwrap();
    assert_eq!((loss.octets, loss.ranges), (1000, 1));
    assert_eq!((sent.tx_in_flight, sent.lost, sent.is_app_limited), (5000, 3000, false));
    assert_eq!(rate.loss(1000, 1, None).sent, None);
    transmit(&mut rate, 10, 11, 7000, ms(50));
    let sample = rate.on_ack(&Arrival { lost: 2000, ..arrival(1, 11) }, ms(100));
    assert_eq!((sample.lost, sample.newly_lost, sample.tx_in_flight), (2000, 2000, 8000));
}

/// The next are asked of the record before them, and the time between is shared evenly.
#[test]
fn packets_between_records_are_sent_between() {
    let mut rate = Rate::new(ms(0));
    let flight = PART * 4 * SMSS;
    for segment in 0..9 {
        transmit(&mut rate, segment, segment + 1, flight, ms(u64::from(segment)));
    }
    assert_eq!(rate.len, 3, "every fourth");
    for (segment, sent) in [(0, 0), (1, 1), (3, 3), (4, 4), (6, 6), (8, 8)] {
        let place = rate.place_of(at(segment + 1)).unwrap();
        let sent_at = rate.send_time(place, at(segment + 1)).as_nanos();
        // By the octets before the end, of a packet that was no record's.
        assert!(sent_at >= ms(sent).as_nanos(), "{segment}");
        assert!(sent_at <= ms(sent + 1).as_nanos(), "{segment}");
    }
    let sample = rate.on_ack(&arrival(4, 4), ms(40));
    assert_eq!(sample.rtt_micros, Some(40_000), "rather too long than too short");
}

/// However much is in flight: records over all of it, none further apart than an eighth of it.
#[test]
fn records_cover_the_flight_evenly_while_it_grows_and_drains() {
    let mut rate = Rate::new(ms(0));
    let (mut una, mut nxt, mut now) = (0_u32, 0_u32, 0);
    for (target, rounds) in [(10, 3), (100, 3), (5000, 4), (50, 3), (1, 5), (20_000, 3), (7, 3)] {
        let mut left = target * rounds;
        while left > 0 {
            now += 1;
            while nxt - una < target {
                transmit(&mut rate, nxt, nxt + 1, (nxt - una) * SMSS, ms(now));
                nxt += 1;
            }
            let step = (nxt - una).div_ceil(7).min(nxt - una);
            una += step;
            left = left.saturating_sub(step);
            rate.on_ack(&arrival(step, una), ms(now));
        }
        transmit(&mut rate, nxt, nxt + 1, (nxt - una) * SMSS, ms(now));
        nxt += 1;
        let starts: Vec<_> = (0..rate.len).map(|place| rate.at(place).unwrap().start).collect();
        assert!(starts[0].at_or_before(at(una)), "the first octet has a record");
        assert!(starts.len() <= RECORDS);
        let flight = (nxt - una) * SMSS;
        let most = (flight / 8).max(SMSS);
        let ends = starts.iter().skip(1).copied().chain([at(nxt)]);
        for (start, next) in starts.iter().zip(ends).skip(1) {
            assert!(next.since(*start) <= most, "{target}: {} {most}", next.since(*start));
        }
    }
}

/// The octets that a packet's sample spans, for each packet: what one record for each would say,
/// and no more than an eighth of the flight longer.
#[test]
fn samples_are_those_of_a_record_for_each_packet_but_for_a_little_more_time() {
    let mut rate = Rate::new(ms(0));
    let packets = 2000_u32;
    let flight = 1000_u32;
    // A packet each millisecond, a second of delay: 1 MB/s.
    let mut worst = 0;
    for now in 0..packets + flight {
        if let Some(segment) = now.checked_sub(flight) {
            let sample = rate.on_ack(&arrival(1, segment + 1), ms(now.into()));
            assert!(sample.has_data && sample.rtt_micros >= Some(1_000_000));
            worst = worst.max(sample.rtt_micros.unwrap() - 1_000_000);
            // Of records from before the first acknowledgment, half is silence.
            if segment >= flight + flight / 8 {
                let error = sample.delivery_rate.abs_diff(1_000_000);
                assert!(error <= 2_000, "{segment}: {}", sample.delivery_rate);
                assert!(sample.delivered >= 1_000_000 && sample.delivered <= 1_125_000);
            }
        }
        if now < packets {
            transmit(&mut rate, now, now + 1, now.min(flight - 1) * SMSS, ms(now.into()));
        }
    }
    assert!(worst > 0 && worst <= 125_000, "{worst}");
}

/// Although the record before it is not far back.
#[test]
fn a_bubble_begins_a_record_and_ends_one() {
    let mut rate = Rate::new(ms(0));
    transmit(&mut rate, 0, 1, 100 * SMSS, ms(0));
    for is_app_limited in [true, false] {
        if is_app_limited {
            rate.on_app_limited(0);
        } else {
            rate.app_limited = 0;
        }
        let first = if is_app_limited { 1 } else { 3 };
        transmit(&mut rate, first, first + 2, 100 * SMSS, ms(1));
    }
    assert_eq!(rate.len, 3);
    for (segment, is_app_limited) in [(0, false), (1, true), (2, true), (3, false), (4, false)] {
        let sample = rate.on_ack(&arrival(1, segment + 1), ms(50));
        assert_eq!(sample.is_app_limited, is_app_limited, "{segment}");
    }
}

/// Who is thinned out leaves its mark.
#[test]
fn thinning_out_forgets_no_bubble() {
    let mut rate = Rate::new(ms(0));
    let last = u32::try_from(RECORDS).unwrap();
    for segment in 0..=last {
        if segment == 13 {
            rate.on_app_limited(0);
        }
        if segment == 14 {
            rate.app_limited = 0;
        }
        transmit(&mut rate, segment, segment + 1, 0, ms(segment.into()));
    }
    assert_eq!(rate.len, RECORDS / 2 + 1);
    let marked: Vec<_> =
        (0..rate.len).filter(|place| rate.at(*place).unwrap().is_app_limited).collect();
    assert_eq!(marked, [6], "the twelfth, for the thirteenth");
}

/// §4.1.2 to the letter: a record for each packet, called for each packet that arrives.
#[derive(Default)]
struct Draft {
    delivered: u64,
    lost: u64,
    delivered_time: u64,
    first_send_time: u64,
    app_limited: u64,
    packets: Vec<DraftPacket>,
}

#[derive(Clone, Copy)]
struct DraftPacket {
    send_time: u64,
    first_send_time: u64,
    delivered_time: u64,
    delivered: u64,
    lost: u64,
    is_app_limited: bool,
    tx_in_flight: u32,
    is_out: bool,
}

impl Draft {
    fn flight(&self) -> u32 {
        u32::try_from(self.packets.iter().filter(|it| it.is_out).count()).unwrap() * SMSS
    }

    fn on_packet_sent(&mut self, now: u64) {
        if self.flight() == 0 {
            (self.first_send_time, self.delivered_time) = (now, now);
        }
        self.packets.push(DraftPacket {
            send_time: now,
            first_send_time: self.first_send_time,
            delivered_time: self.delivered_time,
            delivered: self.delivered,
            lost: self.lost,
            is_app_limited: self.app_limited != 0,
            tx_in_flight: self.flight() + SMSS,
            is_out: true,
        });
    }

    fn on_ack(&mut self, arrived: &[usize], min_rtt_micros: u32, now: u64) -> RateSample {
        let mut newest: Option<(DraftPacket, usize)> = None;
        for &id in arrived {
            let packet = self.packets[id];
            self.packets[id].is_out = false;
            self.delivered += u64::from(SMSS);
            self.delivered_time = now;
            let is_newest = newest.is_none_or(|(_, last)| {
                packet.send_time > self.first_send_time
                    || packet.send_time == self.first_send_time && id > last
            });
            if is_newest {
                newest = Some((packet, id));
                self.first_send_time = packet.send_time;
            }
        }
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let mut sample = RateSample {
            newly_acked: u32::try_from(arrived.len()).unwrap() * SMSS,
            total_delivered: self.delivered,
            ..RateSample::default()
        };
        if let Some((packet, _)) = newest {
            let send_elapsed = packet.send_time - packet.first_send_time;
            let interval = send_elapsed.max(now - packet.delivered_time);
            let delivered = self.delivered - packet.delivered;
            sample.has_data = true;
            sample.prior_delivered = packet.delivered;
            sample.delivered = u32::try_from(delivered).unwrap();
            sample.interval_nanos = interval * 1_000_000;
            sample.rtt_micros = Some(u32::try_from((now - packet.send_time) * 1000).unwrap());
            sample.is_app_limited = packet.is_app_limited;
            sample.tx_in_flight = packet.tx_in_flight;
            sample.lost = u32::try_from(self.lost - packet.lost).unwrap();
            if interval > 0 && interval * 1000 >= u64::from(min_rtt_micros) {
                sample.delivery_rate = delivered * 1000 / interval;
            }
        }
        sample
    }
}

proptest! {
    /// With no more in flight than there are records, every sample is the draft's, whatever arrives
    /// in whatever order.
    #[test]
    fn agrees_with_a_record_for_each_packet(
        steps in prop::collection::vec((0u8..4, 0usize..6, any::<u32>(), 1u64..40), 1..80),
        min_rtt_micros in 0u32..60_000,
    ) {
        let (mut rate, mut draft) = (Rate::new(ms(0)), Draft::default());
        let mut now = 0;
        for (what, count, chosen, later) in steps {
            let out: Vec<usize> =
                (0..draft.packets.len()).filter(|id| draft.packets[*id].is_out).collect();
            let una = out.first().copied().unwrap_or(draft.packets.len());
            let room = (RECORDS - 8).saturating_sub(draft.packets.len() - una);
            match what {
                0 => {
                    for _ in 0..count.min(room) {
                        let nxt = u32::try_from(draft.packets.len()).unwrap();
                        rate.on_transmit(at(nxt), at(nxt + 1), draft.flight(), ms(now));
                        draft.on_packet_sent(now);
                    }
                }
                1 => {
                    rate.on_app_limited(draft.flight());
                    draft.app_limited = (draft.delivered + u64::from(draft.flight())).max(1);
                }
                2 if count == 0 => {
                    rate.on_lost(SMSS);
                    draft.lost += u64::from(SMSS);
                }
                _ => {
                    now += later;
                    // In order as often as not.
                    let is_in_order = chosen & 1 == 0;
                    let is_along = |(place, _): &(usize, &usize)| {
                        if is_in_order { *place <= count } else { chosen >> (place + 1) & 1 == 1 }
                    };
                    let arrived: Vec<usize> =
                        out.iter().enumerate().filter(is_along).map(|(_, id)| *id).collect();
                    let expected = draft.on_ack(&arrived, min_rtt_micros, now);
                    let una = draft.packets.iter().position(|it| it.is_out);
                    let una = una.unwrap_or(draft.packets.len());
                    let end = |id: usize| at(u32::try_from(id).unwrap());
                    let arrival = Arrival {
                        delivered: expected.newly_acked,
                        once: arrived.last().map(|id| end(id + 1)),
                        lost: 0,
                        snd_una: end(una),
                        min_rtt_micros,
                    };
                    prop_assert_eq!(rate.on_ack(&arrival, ms(now)), expected);
                }
            }
            prop_assert_eq!(rate.is_app_limited(), draft.app_limited != 0);
        }
    }
}
