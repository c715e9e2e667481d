//! How fast octets are delivered: the samples of draft-ietf-ccwg-bbr-06 §4.1.
//!
//! The draft keeps a record of each packet in flight. Here as many of them have one as fit, evenly
//! over what is in flight, and a packet between two records takes the earlier one. Its sample then
//! spans a little more than a round trip, no rate is the higher for it, and an RTT is no shorter.
//!
//! ```text
//!  snd_una                              snd_nxt
//!     |----|---------|---------|---------|--       records: never further apart than an eighth
//!          P         Q                             of what is in flight, or one transmission
//! ```

#[cfg(test)]
mod tests;

use crate::seq::SeqNum;
use crate::tcp::congestion::rate_sample::{Loss, LostFlight, RateSample};
use crate::time::Instant;

/// Records for each connection that is measured. When there is room for no more, every second goes.
const RECORDS: usize = 32;

/// A new record, if the last one is as far back as this part of what is in flight.
const PART: u32 = 24;

/// The state of a transmission of new octets (§4.1.2.1.2).
#[derive(Clone, Copy, Debug)]
struct Record {
    start: SeqNum,
    end: SeqNum,
    /// `P.send_time`, `P.delivered_time`, `P.first_send_time`.
    send_time: Instant,
    delivered_time: Instant,
    first_send_time: Instant,
    /// `P.delivered` and `P.lost`, modulo 2³²: less than that arrives while a packet is in flight.
    delivered: u32,
    lost: u32,
    /// `P.tx_in_flight`: octets in flight, these included.
    tx_in_flight: u32,
    is_app_limited: bool,
}

impl Record {
    const NONE: Self = Self {
        start: SeqNum(0),
        end: SeqNum(0),
        send_time: Instant::ZERO,
        delivered_time: Instant::ZERO,
        first_send_time: Instant::ZERO,
        delivered: 0,
        lost: 0,
        tx_in_flight: 0,
        is_app_limited: false,
    };
}

/// What one acknowledgment says of what is in flight.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Arrival {
    /// Octets that were not known to have arrived, by `SEG.ACK` and by SACK.
    pub(crate) delivered: u32,
    /// The end of the last of them that were sent once only.
    pub(crate) once: Option<SeqNum>,
    /// Octets that this acknowledgment has had marked lost.
    pub(crate) lost: u32,
    /// What is acknowledged up to, with it.
    pub(crate) snd_una: SeqNum,
    /// `C.min_rtt`, the least seen; 0 before the first.
    pub(crate) min_rtt_micros: u32,
}

/// The state of a connection (§4.1.2.1.1).
#[derive(Clone, Debug)]
pub(crate) struct Rate {
    /// `C.delivered` and `C.lost`: octets in the life of the connection.
    delivered: u64,
    lost: u64,
    /// `C.delivered_time`: when the former last grew.
    delivered_time: Instant,
    /// `C.first_send_time`: when what arrived last was sent, or what was sent after a pause.
    first_send_time: Instant,
    /// `C.app_limited`: until so many octets have arrived, samples are short of data; 0 if not.
    app_limited: u64,
    /// The last transmission of new octets.
    last_start: SeqNum,
    last_send_time: Instant,
    /// A ring, in the order of the sequence space; at most one record begins before `snd_una`.
    records: [Record; RECORDS],
    head: usize,
    len: usize,
}

impl Rate {
    /// From `now` on. What is in flight already has no record, and gives no sample.
    pub(crate) const fn new(now: Instant) -> Self {
        Self {
            delivered: 0,
            lost: 0,
            delivered_time: now,
            first_send_time: now,
            app_limited: 0,
            last_start: SeqNum(0),
            last_send_time: Instant::ZERO,
            records: [Record::NONE; RECORDS],
            head: 0,
            len: 0,
        }
    }

    /// `OnPacketSent` (§4.1.2.2): the new octets `start..end` leave, with `flight` octets in flight
    /// before them. Called for each transmission, be it one segment or a burst of them.
    pub(crate) fn on_transmit(&mut self, start: SeqNum, end: SeqNum, flight: u32, now: Instant) {
        self.on_retransmit(flight, now);
        (self.last_start, self.last_send_time) = (start, now);
        let is_app_limited = self.is_app_limited();
        let is_due = self.last().is_none_or(|last| {
            start.since(last.start) >= flight / PART || last.is_app_limited != is_app_limited
        });
        if !is_due {
            return;
        }
        if self.len == RECORDS {
            self.thin_out();
        }
        let record = Record {
            start,
            end,
            send_time: now,
            delivered_time: self.delivered_time,
            first_send_time: self.first_send_time,
            delivered: low(self.delivered),
            lost: low(self.lost),
            tx_in_flight: flight.saturating_add(end.since(start)),
            is_app_limited,
        };
        let place = (self.head + self.len) % RECORDS;
        if let Some(free) = self.records.get_mut(place) {
            *free = record;
            self.len += 1;
        }
    }

    /// Octets are sent again, with `flight` octets in flight before them. No sample will be taken
    /// of them, as their acknowledgment is ambiguous (§4.1.3.5), but time counts from here if
    /// nothing else is in flight.
    pub(crate) const fn on_retransmit(&mut self, flight: u32, now: Instant) {
        if flight == 0 {
            (self.first_send_time, self.delivered_time) = (now, now);
        }
    }

    /// `MarkConnectionAppLimited` (§4.1.2.4): window and pacer would let octets out, and there are
    /// none, with `flight` in flight. To be looked at before an acknowledgment is processed, when
    /// the application writes, and when a timer fires; and while the congestion controller holds
    /// back by intent.
    pub(crate) fn on_app_limited(&mut self, flight: u32) {
        self.app_limited = self.delivered.saturating_add(flight.into()).max(1);
    }

    /// `C.app_limited` is set.
    pub(crate) const fn is_app_limited(&self) -> bool {
        self.app_limited != 0
    }

    /// Octets were marked lost, and no acknowledgment told.
    pub(crate) fn on_lost(&mut self, octets: u32) {
        self.lost = self.lost.saturating_add(octets.into());
    }

    /// The loss of `octets` in `ranges`, as the model wants to know it: [`Self::on_lost`] or
    /// [`Self::on_ack`] has counted them. `once` is the end of the last ones that had been sent
    /// once only.
    pub(crate) fn loss(&self, octets: u32, ranges: u8, once: Option<SeqNum>) -> Loss {
        let sent = once.and_then(|end| self.at(self.place_of(end)?)).map(|record| LostFlight {
            tx_in_flight: record.tx_in_flight,
            lost: low(self.lost).wrapping_sub(record.lost),
            is_app_limited: record.is_app_limited,
        });
        Loss { octets, ranges, sent }
    }

    /// `UpdateRateSample` and `GenerateRateSample` (§4.1.2.3), for all of an acknowledgment.
    pub(crate) fn on_ack(&mut self, ack: &Arrival, now: Instant) -> RateSample {
        self.on_lost(ack.lost);
        if ack.delivered > 0 {
            self.delivered = self.delivered.saturating_add(ack.delivered.into());
            self.delivered_time = now;
        }
        if self.app_limited != 0 && self.delivered > self.app_limited {
            self.app_limited = 0;
        }
        let mut sample = RateSample {
            newly_acked: ack.delivered,
            newly_lost: ack.lost,
            total_delivered: self.delivered,
            ..RateSample::default()
        };
        if let Some(end) = ack.once.filter(|_| ack.delivered > 0)
            && let Some(place) = self.place_of(end)
        {
            self.measure(&mut sample, place, end, ack.min_rtt_micros, now);
        }
        self.forget(ack.snd_una);
        sample
    }

    /// Of the packet that ends at `end`, which has the record at `place`.
    fn measure(
        &mut self,
        sample: &mut RateSample,
        place: usize,
        end: SeqNum,
        min_rtt_micros: u32,
        now: Instant,
    ) {
        let Some(&record) = self.at(place) else { return };
        let send_time = self.send_time(place, end);
        let send_elapsed = nanos(record.first_send_time, send_time);
        let ack_elapsed = nanos(record.delivered_time, now);
        sample.has_data = true;
        sample.delivered = low(self.delivered).wrapping_sub(record.delivered);
        sample.prior_delivered = self.delivered.saturating_sub(sample.delivered.into());
        sample.is_app_limited = record.is_app_limited;
        sample.tx_in_flight = record.tx_in_flight;
        sample.lost = low(self.lost).wrapping_sub(record.lost);
        sample.rtt_micros = Some(now.micros_since(record.send_time).max(1));
        // Neither faster than it was sent nor than it arrived (§4.1.1.2.4).
        sample.interval_nanos = send_elapsed.max(ack_elapsed);
        self.first_send_time = send_time;
        if sample.interval_nanos > 0 && sample.interval_nanos / 1000 >= min_rtt_micros.into() {
            // Below 2³² · 10⁹.
            sample.delivery_rate =
                u64::from(sample.delivered) * 1_000_000_000 / sample.interval_nanos;
        }
    }

    /// When the octet before `end` was sent: between two records, as if evenly.
    fn send_time(&self, place: usize, end: SeqNum) -> Instant {
        let Some(record) = self.at(place) else { return self.last_send_time };
        if end.at_or_before(record.end) {
            return record.send_time;
        }
        let last = (self.last_start, self.last_send_time);
        let (start, time) = match self.at(place + 1) {
            Some(next) => (next.start, next.send_time),
            None => last,
        };
        let (part, whole) = (end.since(record.start), start.since(record.start));
        if part >= whole {
            return time;
        }
        let gap = u128::from(nanos(record.send_time, time)) * u128::from(part) / u128::from(whole);
        let gap = u64::try_from(gap).unwrap_or(u64::MAX);
        Instant::from_nanos(record.send_time.as_nanos().saturating_add(gap))
    }

    /// The place of the last record that begins before `end`.
    fn place_of(&self, end: SeqNum) -> Option<usize> {
        let (mut low, mut high) = (0, self.len);
        while low < high {
            let middle = usize::midpoint(low, high);
            if self.at(middle).is_some_and(|record| record.start.before(end)) {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        low.checked_sub(1)
    }

    /// What lies wholly below `snd_una` is not asked for any more.
    fn forget(&mut self, snd_una: SeqNum) {
        while self.at(1).is_some_and(|second| second.start.at_or_before(snd_una)) {
            self.head = (self.head + 1) % RECORDS;
            self.len -= 1;
        }
    }

    /// Every second record goes. Who takes its place is short of data if it was.
    fn thin_out(&mut self) {
        for place in 0..self.len.div_ceil(2) {
            let Some(&(mut kept)) = self.at(2 * place) else { continue };
            kept.is_app_limited |= self.at(2 * place + 1).is_some_and(|gone| gone.is_app_limited);
            if let Some(slot) = self.records.get_mut((self.head + place) % RECORDS) {
                *slot = kept;
            }
        }
        self.len = self.len.div_ceil(2);
    }

    fn at(&self, place: usize) -> Option<&Record> {
        if place < self.len { self.records.get((self.head + place) % RECORDS) } else { None }
    }

    fn last(&self) -> Option<&Record> {
        self.at(self.len.checked_sub(1)?)
    }
}

fn nanos(from: Instant, to: Instant) -> u64 {
    to.as_nanos().saturating_sub(from.as_nanos())
}

#[allow(clippy::cast_possible_truncation)] // Modulo 2³².
const fn low(octets: u64) -> u32 {
    octets as u32
}
