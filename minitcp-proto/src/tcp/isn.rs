//! Initial sequence numbers: ISN = M + F(four-tuple, secret) (RFC 9293 §3.4.1, RFC 6528).

use core::time::Duration;

use crate::secret::{FlowKey, Secrets};
use crate::seq::SeqNum;
use crate::time::Instant;

const PLACES: usize = 64;
/// Old segments are gone after so long: twice the MSL of RFC 9293 §3.4.2.
const QUIET: Duration = Duration::from_secs(240);
/// M has advanced by more than one number after so long.
const GRAIN: Duration = Duration::from_millis(1);

/// Where connections that have left no remnant behind ended, as far as it is remembered: M is no
/// faster than 250,000 octets a second, and many a connection is, so that the next incarnation of
/// the same four-tuple could begin among its old numbers. Each flow has one place of 64 by its
/// hash; who needs that later has it.
#[derive(Clone, Debug)]
pub(crate) struct Ended([End; PLACES]);

#[derive(Clone, Copy, Debug)]
struct End {
    hash: u32,
    snd_nxt: SeqNum,
    /// When it does not matter any more.
    until: Instant,
}

impl Ended {
    pub(crate) const NOTHING: Self =
        Self([End { hash: 0, snd_nxt: SeqNum(0), until: Instant::ZERO }; PLACES]);

    /// The flow with this hash ended `at` that time; `snd_nxt` was the next number.
    #[allow(clippy::indexing_slicing)] // The remainder is less than the length.
    pub(crate) fn remember(&mut self, hash: u32, snd_nxt: SeqNum, at: Instant) {
        self.0[hash as usize % PLACES] = End { hash, snd_nxt, until: at + QUIET };
    }

    /// A handshake was forgotten before it led to anything: `snd_nxt` lies one beyond its ISN, and
    /// so does M very soon. It takes no place that another flow still needs, so that a flood of
    /// SYNs wipes nothing out.
    #[allow(clippy::indexing_slicing)] // As above.
    pub(crate) fn remember_handshake(&mut self, hash: u32, snd_nxt: SeqNum, at: Instant) {
        let place = &mut self.0[hash as usize % PLACES];
        if place.hash == hash || at >= place.until {
            *place = End { hash, snd_nxt, until: place.until.max(at + GRAIN) };
        }
    }

    /// Numbers that begin at `iss` are beyond those of the last incarnation, as far as it is
    /// remembered.
    pub(crate) fn is_beyond(&self, hash: u32, iss: SeqNum, now: Instant) -> bool {
        self.end_of(hash, now).is_none_or(|old| iss.after(old))
    }

    #[allow(clippy::indexing_slicing)] // As above.
    fn end_of(&self, hash: u32, now: Instant) -> Option<SeqNum> {
        let end = &self.0[hash as usize % PLACES];
        (end.hash == hash && now < end.until).then_some(end.snd_nxt)
    }
}

/// The ISN of a new incarnation of `key` at `now` (R6528-1, SHLD-1). M advances every 4 µs (MUST-8)
/// and wraps after about 4.77 hours; F is a keyed hash (MUST-9, R6528-2). If the last incarnation
/// is remembered, the new one begins beyond its numbers. An old number counts as one to get beyond
/// if it is at most 2³¹ ahead; further ahead it is behind, as serial numbers go: octets that the
/// last incarnation sent 2³¹ and more before it ended are long gone.
///
/// The other half of the same hash is where the clock of timestamps begins.
pub(crate) fn initial(secrets: &Secrets, ended: &Ended, key: &FlowKey, now: Instant) -> Initial {
    let clock = u32::try_from(ticks(now) % (1 << 32)).unwrap_or(0);
    let (isn_offset, ts_offset) = secrets.flow_offsets(&key.flow);
    let iss = SeqNum(isn_offset.wrapping_add(clock));
    let iss = match ended.end_of(key.hash, now) {
        Some(old) if iss.at_or_before(old) => old.plus(BEYOND),
        _ => iss,
    };
    Initial { iss, ts_offset }
}

/// M, before it wraps.
pub(crate) const fn ticks(now: Instant) -> u64 {
    now.as_nanos() / 4_000
}

/// Where the numbers of a new incarnation begin.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Initial {
    pub(crate) iss: SeqNum,
    pub(crate) ts_offset: u32,
}

/// How far beyond the old numbers: old duplicates of the largest unscaled window are no concern.
const BEYOND: u32 = 1 << 16;

#[cfg(test)]
mod tests {
    use super::{initial as initial_numbers, *};
    use crate::secret::{Flow, Seed};
    use core::net::{IpAddr, Ipv4Addr};

    fn initial(secrets: &Secrets, ended: &Ended, key: &FlowKey, now: Instant) -> SeqNum {
        initial_numbers(secrets, ended, key, now).iss
    }

    fn flow(remote_port: u16) -> Flow {
        let [local, remote] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        Flow { local, remote, local_port: 80, remote_port }
    }

    /// MUST-8, SHLD-1, R6528-1.
    #[test]
    fn advances_with_the_clock_and_differs_by_flow() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let key = secrets.key_of(flow(5000));
        let at = |micros| initial(&secrets, &Ended::NOTHING, &key, Instant::from_micros(micros));
        assert_eq!(at(4).since(at(0)), 1);
        assert_eq!(at(4 << 32), at(0), "wraps");
        assert_eq!(at(3_000_000).since(at(2_000_000)), 250_000);
        let other = secrets.key_of(flow(5001));
        assert_ne!(initial(&secrets, &Ended::NOTHING, &other, Instant::ZERO), at(0));
    }

    #[test]
    fn forgotten_handshakes_are_beyond_the_grain_of_the_clock_and_wipe_nothing_out() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let (key, start) = (secrets.key_of(flow(5000)), Instant::from_secs(1));
        let mut ended = Ended::NOTHING;
        let first = initial(&secrets, &ended, &key, start);
        ended.remember_handshake(key.hash, first.plus(1), start);
        let second = initial(&secrets, &ended, &key, start);
        assert!(second.after(first.plus(1)));
        ended.remember(key.hash, second.plus(50_000_000), start);
        for hash in 0..1000 {
            ended.remember_handshake(hash, SeqNum(hash), Instant::from_secs(2));
        }
        let third = initial(&secrets, &ended, &key, Instant::from_secs(3));
        assert!(third.after(second.plus(50_000_000)));
        // What a handshake began beyond is not forgotten with the handshake.
        ended.remember_handshake(key.hash, third.plus(1), Instant::from_secs(3));
        assert!(initial(&secrets, &ended, &key, Instant::from_secs(4)).after(third));
    }

    #[test]
    fn begins_beyond_the_numbers_of_the_last_incarnation() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let (key, other) = (secrets.key_of(flow(5000)), secrets.key_of(flow(5001)));
        let plain = |key, now| initial(&secrets, &Ended::NOTHING, key, now);
        let (start, later) = (Instant::ZERO, Instant::from_secs(10));
        for (octets, now, beyond) in [
            (1, start, true),
            (1_000_000, Instant::from_secs(1), true),
            (1_000_000, later, false),
            (100_000_000, Instant::from_secs(239), true),
            (100_000_000, Instant::from_secs(401), false),
        ] {
            let mut ended = Ended::NOTHING;
            let end = plain(&key, start).plus(octets);
            ended.remember(key.hash, end, start);
            let iss = initial(&secrets, &ended, &key, now);
            assert!(iss.after(end));
            assert_eq!(iss != plain(&key, now), beyond, "{octets}");
            assert_eq!(initial(&secrets, &ended, &other, now), plain(&other, now));
        }
    }
}
