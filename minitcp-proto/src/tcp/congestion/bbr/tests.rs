//! A sender, a bottleneck and a receiver, in virtual time, that drive rate estimator and model end
//! to end; and the tests that use them, by what they ask.

mod appendix {
    //! The test cases of the draft's appendix A, by their names.
    mod tests;
}
mod flows {
    //! How whole transfers fare.
    mod tests;
}
mod letter {
    //! Lines of the draft of which no flow would tell.
    mod tests;
}
mod mistakes {
    //! What implementers of BBR got wrong.
    mod tests;
}

use super::*;
use crate::seq::SeqNum;
use crate::tcp::congestion::rate_sample::{Loss, LostFlight};
use crate::tcp::send::rate::{Arrival, Rate};
use core::time::Duration;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::vec::Vec;

pub(super) const SMSS: u32 = 1448;

/// 100 Mbit/s, in octets a second.
pub(super) const FAST: u64 = 12_500_000;

/// The path: one queue, a delay, and what may go wrong.
#[derive(Clone, Debug)]
pub(super) struct Path {
    /// Octets a second.
    pub(super) rate: u64,
    /// Of both ways together.
    pub(super) delay: Duration,
    /// Octets that the queue holds.
    pub(super) buffer: u64,
    /// Of a thousand packets, so many are lost, before the queue.
    pub(super) loss_permille: u32,
    /// Acknowledgments leave the path together, in steps of this.
    pub(super) ack_step: Duration,
    /// The receiver acknowledges every so many packets, or after 40 ms.
    pub(super) ack_every: u32,
    /// A policer: octets a second, and octets that its bucket holds.
    pub(super) policer: Option<(u64, u64)>,
    /// The packets with these numbers, in the order of transmission, come so much later.
    pub(super) delayed: BTreeMap<u64, Duration>,
}

impl Path {
    pub(super) fn new(rate: u64, delay_ms: u64) -> Self {
        Self {
            rate,
            delay: Duration::from_millis(delay_ms),
            buffer: 10 * rate * delay_ms / 1000 + 20 * u64::from(SMSS),
            loss_permille: 0,
            ack_step: Duration::ZERO,
            ack_every: 1,
            policer: None,
            delayed: BTreeMap::new(),
        }
    }

    /// Rate times delay, in octets.
    pub(super) fn bdp(&self) -> u64 {
        self.rate * u64::try_from(self.delay.as_micros()).unwrap() / 1_000_000
    }
}

/// A packet that was sent.
#[derive(Clone, Copy, Debug)]
struct Packet {
    /// The order of transmission, and of its octets.
    id: u64,
    number: u64,
    is_again: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// An acknowledgment of this transmission is back.
    Ack(u64),
    Pacer,
    Application,
}

/// What happened at an acknowledgment, for tests to look back at.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) at: Instant,
    pub(super) state: State,
    pub(super) sample: RateSample,
    pub(super) flight: u32,
    pub(super) round_start: bool,
    pub(super) cwnd: u32,
    pub(super) inflight_longterm: u32,
    pub(super) bw_shortterm: u64,
    /// How long a packet would now wait in the queue.
    pub(super) queue: Duration,
}

pub(super) struct Flow {
    pub(super) path: Path,
    pub(super) model: Model,
    pub(super) rate: Rate,
    pub(super) now: Instant,
    /// Octets a second that the application writes; `None` for as many as can be sent.
    pub(super) application: Option<u64>,
    pub(super) history: Vec<Step>,
    /// That is, if they want to.
    pub(super) is_recorded: bool,
    /// Octets that the receiver has got, each counted once, and packets that were lost.
    pub(super) received: u64,
    pub(super) sent_packets: u64,
    pub(super) lost_packets: u64,
    /// Losses that were none are told of to the model when the packet comes after all.
    pub(super) spurious: u64,
    /// A packet is lost once so many that were sent later have arrived.
    pub(super) reordering: u64,
    /// Octets in flight that the model hears of beside those that there are.
    pub(super) ballast: u32,
    /// Packets may be as late as this until the retransmission timer fires; none if zero.
    pub(super) rto: Duration,
    pub(super) timeouts: u64,

    events: BTreeSet<(Instant, u64, Event)>,
    serial: u64,
    busy_until: Instant,
    tokens: u64,
    tokens_at: Instant,
    random: u64,
    ack_held: u32,

    outstanding: VecDeque<Packet>,
    /// Of those, what is in flight; and what was given up.
    in_flight: BTreeSet<u64>,
    given_up: BTreeMap<u64, u64>,
    to_resend: BTreeSet<u64>,
    arrived: BTreeSet<u64>,
    una: u64,
    nxt: u64,
    available: u64,
    next_send: Instant,
    recover: Option<u64>,
    last_progress: Instant,
    min_rtt_micros: u32,
    is_limited: [bool; 2],
}

impl Flow {
    pub(super) fn new(path: Path) -> Self {
        Self::seeded(path, 1)
    }

    pub(super) fn seeded(path: Path, seed: u64) -> Self {
        let start = Start {
            initial_cwnd: 10 * SMSS,
            smss: SMSS,
            srtt_micros: 0,
            has_selective_acks: true,
            seed,
        };
        let now = Instant::from_secs(100);
        let tokens = path.policer.map_or(0, |(_, burst)| burst);
        Self {
            path,
            model: Model::new(&start, now),
            rate: Rate::new(now),
            now,
            application: None,
            history: Vec::new(),
            is_recorded: true,
            received: 0,
            sent_packets: 0,
            lost_packets: 0,
            spurious: 0,
            reordering: 3,
            ballast: 0,
            rto: Duration::from_secs(1),
            timeouts: 0,
            events: BTreeSet::new(),
            serial: 0,
            busy_until: now,
            tokens,
            tokens_at: now,
            random: seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1,
            ack_held: 0,
            outstanding: VecDeque::new(),
            in_flight: BTreeSet::new(),
            given_up: BTreeMap::new(),
            to_resend: BTreeSet::new(),
            arrived: BTreeSet::new(),
            una: 0,
            nxt: 0,
            available: 0,
            next_send: now,
            recover: None,
            last_progress: now,
            min_rtt_micros: 0,
            is_limited: [false; 2],
        }
    }

    pub(super) fn flight(&self) -> u32 {
        u32::try_from(self.in_flight.len()).unwrap() * SMSS
    }

    /// So many milliseconds more.
    pub(super) fn run_ms(&mut self, millis: u64) {
        self.run_until(self.now + Duration::from_millis(millis), |_| false);
    }

    /// At most `secs` seconds, until `is_done`, which is asked after each event; whether it was.
    pub(super) fn run_to(&mut self, secs: u64, is_done: impl Fn(&Self) -> bool) -> bool {
        self.run_until(self.now + Duration::from_secs(secs), is_done)
    }

    fn run_until(&mut self, end: Instant, is_done: impl Fn(&Self) -> bool) -> bool {
        self.schedule(self.now, Event::Application);
        while let Some(&first) = self.events.first() {
            let (at, _, event) = first;
            let timer = self.last_progress + self.rto;
            if self.rto > Duration::ZERO && !self.outstanding.is_empty() && timer < at.min(end) {
                self.now = self.now.max(timer);
                self.on_timer();
            } else if at > end {
                break;
            } else {
                self.events.remove(&first);
                self.now = self.now.max(at);
                match event {
                    Event::Ack(id) => self.on_acks(id),
                    Event::Pacer => {}
                    Event::Application => self.on_application(),
                }
            }
            self.send();
            if is_done(self) {
                return true;
            }
        }
        self.now = self.now.max(end);
        false
    }

    fn schedule(&mut self, at: Instant, event: Event) {
        self.serial += 1;
        self.events.insert((at, self.serial, event));
    }

    fn chance(&mut self, permille: u32) -> bool {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        self.random % 1000 < u64::from(permille)
    }

    /// The application writes a segment at a time.
    fn on_application(&mut self) {
        let Some(rate) = self.application else { return };
        if rate == 0 || self.events.iter().any(|(_, _, event)| *event == Event::Application) {
            return;
        }
        self.check_app_limited();
        self.available += 1;
        let gap = u64::from(SMSS) * 1_000_000_000 / rate;
        self.schedule(self.now + Duration::from_nanos(gap), Event::Application);
    }

    fn has_new(&self) -> bool {
        self.application.is_none() || self.available > 0
    }

    /// `CheckIfApplicationLimited` of §4.1.2.4.
    fn check_app_limited(&mut self) {
        if !self.has_new() && self.to_resend.is_empty() && self.flight() < self.model.cwnd() {
            self.rate.on_app_limited(self.flight());
        }
    }

    fn send(&mut self) {
        if self.now < self.next_send {
            return;
        }
        let mut octets = 0;
        while octets + SMSS <= self.model.send_quantum()
            && (self.has_new() || !self.to_resend.is_empty())
        {
            if self.flight() + SMSS > self.model.cwnd() {
                self.is_limited[0] = true;
                break;
            }
            self.transmit();
            octets += SMSS;
        }
        if octets > 0 {
            let gap = u64::from(octets) * 1_000_000_000 / self.model.pacing_rate();
            self.next_send = self.now + Duration::from_nanos(gap);
            self.schedule(self.next_send, Event::Pacer);
        }
    }

    fn transmit(&mut self) {
        let flight = self.flight();
        self.model.on_transmit(flight, self.rate.is_app_limited(), self.now);
        let again = self.to_resend.pop_first();
        let number = again.unwrap_or(self.nxt);
        if again.is_some() {
            self.rate.on_retransmit(flight, self.now);
        } else {
            self.rate.on_transmit(seq(number), seq(number + 1), flight, self.now);
            self.nxt += 1;
            self.available = self.available.saturating_sub(1);
        }
        if self.outstanding.is_empty() {
            self.last_progress = self.now;
        }
        let id = self.sent_packets;
        self.sent_packets += 1;
        self.outstanding.push_back(Packet { id, number, is_again: again.is_some() });
        self.in_flight.insert(id);
        if let Some(arrival) = self.cross(id) {
            self.acknowledge(id, arrival);
        }
    }

    /// When the packet is through the bottleneck; `None` if it is lost.
    fn cross(&mut self, id: u64) -> Option<Instant> {
        if self.chance(self.path.loss_permille) {
            return None;
        }
        if let Some((rate, burst)) = self.path.policer {
            let gone = (self.now - self.tokens_at).as_micros();
            let more = u64::try_from(gone).unwrap() * rate / 1_000_000;
            if more > 0 {
                self.tokens = (self.tokens + more).min(burst);
                self.tokens_at = self.now;
            }
            self.tokens = self.tokens.checked_sub(SMSS.into())?;
        }
        let wait = self.busy_until - self.now;
        let queued = u64::try_from(wait.as_micros()).unwrap() * self.path.rate / 1_000_000;
        if queued + u64::from(SMSS) > self.path.buffer {
            return None;
        }
        let service = u64::from(SMSS) * 1_000_000_000 / self.path.rate;
        self.busy_until = self.busy_until.max(self.now) + Duration::from_nanos(service);
        let late = self.path.delayed.get(&id).copied().unwrap_or_default();
        Some(self.busy_until + self.path.delay + late)
    }

    fn acknowledge(&mut self, id: u64, arrival: Instant) {
        self.ack_held += 1;
        let mut at = arrival;
        if self.ack_held < self.path.ack_every {
            // With the next one: what is held is told when that comes, or later by itself.
            at = arrival + Duration::from_millis(40);
        } else {
            self.ack_held = 0;
        }
        let step = u64::try_from(self.path.ack_step.as_nanos()).unwrap();
        if step > 0 {
            at = Instant::from_nanos(at.as_nanos().div_ceil(step) * step);
        }
        self.schedule(at, Event::Ack(id));
    }

    /// All acknowledgments of this moment, as one. With delayed ones, those of earlier packets that
    /// are still held come along.
    fn on_acks(&mut self, id: u64) {
        let mut ids = std::vec![id];
        let is_along = |(at, _, event): &(Instant, u64, Event)| match *event {
            Event::Ack(other) if *at <= self.now => Some(other),
            Event::Ack(other) if self.path.ack_every > 1 && other < id => Some(other),
            _ => None,
        };
        let near =
            self.events.iter().take_while(|event| event.0 <= self.now || self.path.ack_every > 1);
        let held: Vec<_> = near.filter(|event| is_along(event).is_some()).copied().collect();
        ids.extend(held.iter().filter_map(is_along));
        for event in held {
            self.events.remove(&event);
        }
        self.check_app_limited();
        self.last_progress = self.now;
        let (mut delivered, mut once, mut is_spurious) = (0, None, false);
        for id in &ids {
            let place = self.outstanding.partition_point(|it| it.id < *id);
            let (number, is_again) = match self.outstanding.get(place) {
                Some(packet) if packet.id == *id && self.in_flight.remove(id) => {
                    (packet.number, packet.is_again)
                }
                _ => {
                    let Some(number) = self.given_up.remove(id) else { continue };
                    is_spurious = true;
                    (number, false)
                }
            };
            if number < self.una || !self.arrived.insert(number) {
                continue;
            }
            self.to_resend.remove(&number);
            delivered += SMSS;
            self.received += u64::from(SMSS);
            if !is_again {
                once = once.max(Some(number + 1));
            }
        }
        while self.arrived.remove(&self.una) {
            self.una += 1;
        }
        let newest = ids.iter().max().copied().unwrap_or(0);
        self.finish_ack(newest, delivered, once, is_spurious);
    }

    fn finish_ack(&mut self, newest: u64, delivered: u32, once: Option<u64>, is_spurious: bool) {
        let lost = self.find_lost(newest.saturating_sub(self.reordering));
        let arrival = Arrival {
            delivered,
            once: once.map(seq),
            lost: u32::try_from(lost.len()).unwrap() * SMSS,
            snd_una: seq(self.una),
            min_rtt_micros: self.min_rtt_micros,
        };
        let sample = self.rate.on_ack(&arrival, self.now);
        if let Some(rtt) = sample.rtt_micros {
            let min = if self.min_rtt_micros == 0 { rtt } else { self.min_rtt_micros };
            self.min_rtt_micros = min.min(rtt);
        }
        self.tell_of_losses(&lost);
        if is_spurious {
            self.spurious += 1;
            self.recover = None;
            self.model.on_spurious();
        } else if self.recover.is_some_and(|recover| self.una >= recover) {
            self.recover = None;
            self.model.on_exit_recovery();
        }
        let ack = Ack {
            sample: &sample,
            flight: self.flight() + self.ballast,
            smss: SMSS,
            is_cwnd_limited: self.is_limited != [false; 2],
        };
        let rounds = self.model.round_count;
        self.model.on_ack(&ack, self.now);
        if self.model.holds_back() {
            self.rate.on_app_limited(self.flight());
        }
        if self.model.round_count != rounds {
            self.is_limited = [false, self.is_limited[0]];
        }
        if !self.is_recorded {
            return;
        }
        self.history.push(Step {
            at: self.now,
            state: self.model.state(),
            sample,
            flight: self.flight() + self.ballast,
            round_start: self.model.round_start,
            cwnd: self.model.cwnd(),
            inflight_longterm: self.model.inflight_longterm,
            bw_shortterm: self.model.bw_shortterm,
            queue: self.busy_until - self.now,
        });
    }

    /// Transmissions before `limit` that have not arrived are lost.
    fn find_lost(&mut self, limit: u64) -> Vec<Packet> {
        let mut lost = Vec::new();
        for packet in self.outstanding.iter().take_while(|packet| packet.id < limit) {
            if self.in_flight.remove(&packet.id) {
                lost.push(*packet);
                self.given_up.insert(packet.id, packet.number);
                self.to_resend.insert(packet.number);
            }
        }
        while self.outstanding.front().is_some_and(|it| !self.in_flight.contains(&it.id)) {
            self.outstanding.pop_front();
        }
        self.lost_packets += u64::try_from(lost.len()).unwrap();
        lost
    }

    /// By ranges that do not touch.
    fn tell_of_losses(&mut self, lost: &[Packet]) {
        if !lost.is_empty() && self.recover.is_none() {
            self.recover = Some(self.nxt);
            self.model.on_enter_recovery();
        }
        for range in lost.chunk_by(|a, b| a.number + 1 == b.number && a.is_again == b.is_again) {
            let last = range.last().unwrap();
            let once = (!last.is_again).then(|| seq(last.number + 1));
            let octets = u32::try_from(range.len()).unwrap() * SMSS;
            self.model.on_loss(&self.rate.loss(octets, 1, once), self.now);
        }
    }

    fn on_timer(&mut self) {
        self.timeouts += 1;
        self.last_progress = self.now;
        let lost = self.find_lost(u64::MAX);
        self.rate.on_lost(u32::try_from(lost.len()).unwrap() * SMSS);
        if self.recover.is_none() {
            self.recover = Some(self.nxt);
        }
        self.model.on_timeout(0);
        self.tell_of_losses(&lost);
        self.next_send = self.now;
    }

    /// Octets a second that arrive in so many milliseconds.
    pub(super) fn goodput(&mut self, millis: u64) -> u64 {
        let before = self.received;
        self.run_ms(millis);
        (self.received - before) * 1000 / millis
    }

    /// To the next time that the model is in this state, within `secs` seconds.
    pub(super) fn run_to_state(&mut self, secs: u64, state: State) {
        assert!(self.run_to(secs, |it| it.model.state() == state), "no {state:?}");
    }

    /// The states that the model went through, each time that it changed.
    pub(super) fn states(&self) -> Vec<State> {
        let mut states: Vec<_> = self.history.iter().map(|step| step.state).collect();
        states.dedup();
        states
    }
}

/// The first octet of packet `number`, close to where numbers wrap.
pub(super) fn seq(number: u64) -> SeqNum {
    let octets = number.wrapping_mul(SMSS.into()) & 0xffff_ffff;
    SeqNum(0xffff_0000).plus(u32::try_from(octets).unwrap())
}

/// `part` of a thousand of `whole`.
pub(super) fn permille(whole: u64, part: u64) -> u64 {
    whole * part / 1000
}

/// [`FAST`] times 40 ms.
pub(super) const BDP: u32 = 500_000;

/// A model, and acknowledgments that say what a test wants.
pub(super) struct Hand {
    pub(super) model: Model,
    pub(super) now: Instant,
    delivered: u64,
}

impl Hand {
    pub(super) fn new() -> Self {
        Self::with_sack(true)
    }

    pub(super) fn with_sack(has_selective_acks: bool) -> Self {
        let start = Start {
            initial_cwnd: 10 * SMSS,
            smss: SMSS,
            srtt_micros: 40_000,
            has_selective_acks,
            seed: 1,
        };
        let now = Instant::from_secs(1);
        Self { model: Model::new(&start, now), now, delivered: 0 }
    }

    /// A round trip of 40 ms later, everything that was in flight is acknowledged at this rate.
    pub(super) fn round(&mut self, rate: u64) -> &mut Self {
        self.ack(|sample| sample.delivery_rate = rate)
    }

    /// The same, with a sample of the test's making.
    pub(super) fn ack(&mut self, change: impl Fn(&mut RateSample)) -> &mut Self {
        self.now += Duration::from_millis(40);
        let prior_delivered = self.delivered;
        self.delivered += u64::from(BDP);
        let mut sample = RateSample {
            newly_acked: BDP,
            total_delivered: self.delivered,
            has_data: true,
            prior_delivered,
            delivered: BDP,
            interval_nanos: 40_000_000,
            delivery_rate: FAST,
            rtt_micros: Some(40_000),
            tx_in_flight: BDP,
            ..RateSample::default()
        };
        change(&mut sample);
        let ack = Ack { sample: &sample, flight: BDP, smss: SMSS, is_cwnd_limited: false };
        self.model.on_ack(&ack, self.now);
        self
    }

    pub(super) fn lose(&mut self, octets: u32, ranges: u8) {
        let sent = LostFlight { tx_in_flight: BDP, lost: octets, is_app_limited: false };
        self.model.on_loss(&Loss { octets, ranges, sent: Some(sent) }, self.now);
    }

    /// In ProbeBW_CRUISE, at 100 Mbit/s.
    pub(super) fn cruising() -> Self {
        let mut hand = Self::new();
        for _ in 0..8 {
            hand.round(FAST);
        }
        assert_eq!(hand.model.state(), State::ProbeBwCruise);
        hand
    }
}

#[test]
fn a_model_is_small() {
    assert!(size_of::<Model>() <= 400, "{}", size_of::<Model>());
    assert!(size_of::<Rate>() <= 1700, "{}", size_of::<Rate>());
}
