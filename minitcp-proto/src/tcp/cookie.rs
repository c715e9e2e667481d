//! SYN cookies (RFC 4987 §3.6): an initial sequence number that is memory enough of a handshake.
//!
//! It is M + F as any other (RFC 6528), but of M only the upper eight bits are the clock's, so that
//! it advances every 67 s; the lower ones prove to us what we have agreed to (R4987-3, R4987-4):
//!
//! ```text
//!      31      24 23                                              0
//!     | slot       | MAC(both ends, IRS, slot, our shift)           |  +  F(both ends)
//!                  + told 23..17
//!
//!       told:  | MSS, one of four steps: 2 | SACK-permitted: 1 | shift, or none: 4 |
//! ```
//!
//! What is told lies in the upper bits, so that a later number of the same connection, which some
//! straggler of it may acknowledge when it is gone, is no cookie that tells something else: not
//! unless we had sent a multiple of 128 KiB, and the peer nothing.
//!
//! Explicit congestion notification is not told, as there is no bit left for it, and one more would
//! make a guess right twice as often: who is answered with a cookie has none.
//!
//! Of all 2³² numbers 2⁷ are right in each of two slots: a guess is right once in 2²⁴. That needs
//! no timestamps, so that a peer without them has scaled windows and SACK all the same. One that
//! has them tells so again with its ACK, and our clock begins where the flow has it begin, so that
//! it never goes back.

use core::net::IpAddr;
use core::time::Duration;

use crate::config::Config;
use crate::secret::{Flow, Secrets};
use crate::seq::SeqNum;
use crate::tcp::agreed::Agreed;
use crate::tcp::isn::{Initial, ticks};
use crate::time::Instant;
use crate::wire::options::Options;
use crate::wire::tcp::Segment;

/// A slot has so many bits of ticks: 67 s.
const SLOT_BITS: u32 = 24;
const LOW: u32 = (1 << SLOT_BITS) - 1;
/// A cookie is good in the slot in which it was made, and in the next.
const OLDEST: u32 = 1;
/// How long one is good at most: two slots of 4 µs a tick.
pub(crate) const LIFE: Duration = Duration::from_micros(2 * (1 << SLOT_BITS) * 4);

/// What an MSS is rounded down to: what is usual without and with tunnels. Nobody need announce
/// less than the first, which is also what no announcement stands for (RFC 9293 §3.7.1).
const STEPS_V4: [u16; 4] = [536, 1300, 1440, 1460];
const STEPS_V6: [u16; 4] = [1220, 1360, 1420, 1440];

const SHIFT: u32 = 0x0f;
const NO_SHIFT: u32 = 15;
const SACK: u32 = 0x10;
const STEP: u32 = 5;
const TOLD_BITS: u32 = 7;
/// Where what is told begins.
const TOLD_AT: u32 = SLOT_BITS - TOLD_BITS;

/// Why what an ACK acknowledges is no cookie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It could be one of late, but not of a SYN right before this segment.
    NotHere,
    /// No cookie of late has such a number.
    Foreign,
}

/// The cookie that answers a SYN with sequence number `irs`; we scale by `shift` if the peer does.
pub(crate) fn initial(
    secrets: &Secrets,
    flow: &Flow,
    irs: SeqNum,
    shift: u8,
    agreed: Agreed,
    now: Instant,
) -> Initial {
    let (isn_offset, ts_offset) = secrets.flow_offsets(flow);
    let slot = slot_at(now);
    let mac = secrets.cookie_mac(flow, irs.0, slot, shift);
    let low = mac.wrapping_add(tell(flow, agreed) << TOLD_AT) & LOW;
    let iss = SeqNum((slot << SLOT_BITS | low).wrapping_add(isn_offset));
    Initial { iss, ts_offset }
}

/// Nothing is lost if `agreed` is told by a cookie that could not be made up for: segments would be
/// larger than a peer takes that announced less than the least step.
pub(crate) fn is_exact(flow: &Flow, agreed: Agreed) -> bool {
    let least = steps(flow).first().copied().unwrap_or_default();
    agreed.mss().is_none_or(|mss| mss >= least)
}

/// What `segment`, an ACK of nobody we know, acknowledges, if that is a cookie.
pub(crate) fn read(
    secrets: &Secrets,
    flow: &Flow,
    segment: &Segment<'_>,
    shift: u8,
    config: &Config,
    now: Instant,
) -> Result<(Initial, Agreed), Doubt> {
    let (isn_offset, ts_offset) = secrets.flow_offsets(flow);
    let (iss, irs) = (segment.ack.minus(1), segment.seq.minus(1));
    let number = iss.0.wrapping_sub(isn_offset);
    let slot = slot_at(now);
    let age = slot.wrapping_sub(number >> SLOT_BITS) & 0xff;
    let Some(made_in) = slot.checked_sub(age).filter(|_| age <= OLDEST) else {
        return Err(Doubt::Foreign);
    };
    let told = number.wrapping_sub(secrets.cookie_mac(flow, irs.0, made_in, shift)) & LOW;
    if told.trailing_zeros() < TOLD_AT {
        return Err(Doubt::NotHere);
    }
    let told = told >> TOLD_AT;
    let options = Options { timestamps: segment.options.timestamps, ..understand(flow, told) };
    Ok((Initial { iss, ts_offset }, Agreed::new(&options, shift, config)))
}

fn tell(flow: &Flow, agreed: Agreed) -> u32 {
    let mss = agreed.mss().unwrap_or(0);
    let step = steps(flow).iter().skip(1).filter(|step| **step <= mss).fold(0, |sum, _| sum + 1);
    let shift = agreed.window_scale().map_or(NO_SHIFT, u32::from);
    let sack = if agreed.sack_permitted() { SACK } else { 0 };
    step << STEP | sack | shift
}

fn understand(flow: &Flow, told: u32) -> Options {
    let shift = u8::try_from(told & SHIFT).ok().filter(|_| told & SHIFT != NO_SHIFT);
    let step = usize::try_from(told >> STEP).unwrap_or(0);
    Options {
        mss: steps(flow).get(step).copied(),
        window_scale: shift,
        sack_permitted: told & SACK != 0,
        ..Options::NONE
    }
}

const fn steps(flow: &Flow) -> &'static [u16; 4] {
    match flow.local {
        IpAddr::V4(_) => &STEPS_V4,
        IpAddr::V6(_) => &STEPS_V6,
    }
}

/// Which 67 s these are, of 584 years.
fn slot_at(now: Instant) -> u32 {
    u32::try_from(ticks(now) >> SLOT_BITS).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Seed;
    use crate::wire::options::Timestamps;
    use crate::wire::tcp::Flags;

    #[allow(clippy::cast_possible_truncation)]
    const SLOT_MS: u64 = LIFE.as_millis() as u64 / 2;

    struct Host {
        secrets: Secrets,
        config: Config,
        flow: Flow,
    }

    fn host(local: &str, remote: &str) -> Host {
        let [local, remote]: [IpAddr; 2] = [local, remote].map(|text| text.parse().unwrap());
        Host {
            secrets: Secrets::new(&Seed::from_u64(1)),
            config: Config::new(local, 24),
            flow: Flow { local, remote, local_port: 80, remote_port: 5000 },
        }
    }

    fn hosts() -> [Host; 2] {
        [host("10.0.0.2", "10.0.0.1"), host("fd00::2", "fd00::1")]
    }

    impl Host {
        fn make(&self, irs: u32, options: &Options, now: Instant) -> Initial {
            let agreed = Agreed::new(options, 2, &self.config);
            initial(&self.secrets, &self.flow, SeqNum(irs), 2, agreed, now)
        }

        fn read(
            &self,
            seq: u32,
            ack: u32,
            options: Options,
            shift: u8,
            now: Instant,
        ) -> Result<(Initial, Agreed), Doubt> {
            let (src_port, dst_port, window, urgent) = (5000, 80, 100, 0);
            let (seq, ack, flags) = (SeqNum(seq), SeqNum(ack), Flags::ACK);
            let segment = Segment {
                src_port,
                dst_port,
                seq,
                ack,
                flags,
                window,
                urgent,
                options,
                payload: &[],
            };
            read(&self.secrets, &self.flow, &segment, shift, &self.config, now)
        }
    }

    fn syn(mss: Option<u16>, window_scale: Option<u8>, sack_permitted: bool) -> Options {
        Options { mss, window_scale, sack_permitted, ..Options::NONE }
    }

    /// R4987-3, R4987-4: whatever was offered, in both versions of IP.
    #[test]
    fn what_was_agreed_comes_back_and_the_mss_is_rounded_down() {
        let now = Instant::from_secs(1000);
        for host in hosts() {
            let steps = steps(&host.flow);
            let below = steps.map(|step| step - 1);
            let sizes = steps.iter().chain(&below).copied().map(Some).chain([None, Some(8960)]);
            for mss in sizes {
                let rounded = steps.iter().rev().find(|step| **step <= mss.unwrap_or(0));
                let rounded = *rounded.unwrap_or(&steps[0]);
                for shift in (0..=14).map(Some).chain([None]) {
                    for sack in [false, true] {
                        let made = host.make(7, &syn(mss, shift, sack), now);
                        let ack = made.iss.plus(1).0;
                        let Ok((initial, agreed)) = host.read(8, ack, Options::NONE, 2, now) else {
                            panic!("{mss:?} {shift:?} {sack}");
                        };
                        assert_eq!(initial.iss, made.iss);
                        assert_eq!(initial.ts_offset, made.ts_offset, "one clock");
                        assert_eq!(agreed.options(), syn(Some(rounded), shift, sack));
                        assert_eq!(agreed.rcv_wscale, if shift.is_some() { 2 } else { 0 });
                    }
                }
            }
        }
    }

    #[test]
    fn the_clock_of_the_peer_is_that_of_its_acknowledgment() {
        let [host, _] = hosts();
        let now = Instant::from_secs(1);
        let ack = host.make(7, &Options::NONE, now).iss.plus(1).0;
        let timestamps = Some(Timestamps { value: 99, echo: 5 });
        let told = Options { timestamps, ..Options::NONE };
        let Ok((_, agreed)) = host.read(8, ack, told, 2, now) else { panic!() };
        assert_eq!(agreed.timestamps().map(|timestamps| timestamps.value), Some(99));
    }

    /// R4987-3: the time, both ends, both numbers and our shift must all be those of the SYN.
    #[test]
    fn of_another_flow_number_time_or_shift_it_is_worth_nothing() {
        let at = Instant::from_millis;
        for (host, start) in hosts().into_iter().flat_map(|host| {
            let host = std::rc::Rc::new(host);
            // In the first slot, in the last of 256, across the wrap of the clock, and just before a
            // slot ends.
            [0, 255, 256, 1000].map(|slot| (host.clone(), slot * SLOT_MS + 10 * slot))
        }) {
            let ack = host.make(7, &Options::NONE, at(start)).iss.plus(1).0;
            let is_good =
                |seq, ack, shift, now| host.read(seq, ack, Options::NONE, shift, at(now)).is_ok();
            assert!(is_good(8, ack, 2, start) && is_good(8, ack, 2, start + SLOT_MS), "{start}");
            assert!(!is_good(8, ack, 2, start + 3 * SLOT_MS), "aged");
            assert!(!is_good(8, ack, 2, start + 256 * SLOT_MS), "aged by a whole round");
            assert!(!is_good(9, ack, 2, start) && !is_good(7, ack, 2, start));
            assert!(!is_good(8, ack ^ 1 << 16, 2, start) && !is_good(8, ack ^ 1 << 31, 2, start));
            assert!(!is_good(8, ack, 3, start));
            for flow in [
                Flow { remote_port: 5001, ..host.flow },
                Flow { local_port: 81, ..host.flow },
                Flow { local: host.flow.remote, remote: host.flow.local, ..host.flow },
            ] {
                let (secrets, config) = (host.secrets.clone(), host.config.clone());
                let other = Host { secrets, config, flow };
                let reading = other.read(8, ack, Options::NONE, 2, at(start));
                assert!(reading.is_err());
            }
        }
    }

    /// What a straggler acknowledges of a connection that is gone is no cookie that tells more.
    #[test]
    fn a_later_number_of_the_same_connection_is_no_cookie() {
        let [host, _] = hosts();
        let now = Instant::from_secs(1000);
        let ack = host.make(7, &syn(Some(1460), Some(3), true), now).iss.plus(1);
        let is_good = |sent: &u32| host.read(8, ack.plus(*sent).0, Options::NONE, 2, now).is_ok();
        assert!(is_good(&0) && !(1..100_000).any(|sent| is_good(&sent)));
    }

    /// Of 2²⁴ numbers that are tried, about one is good.
    #[test]
    fn a_guess_is_right_once_in_sixteen_million() {
        let [host, _] = hosts();
        let now = Instant::from_secs(1000);
        let (isn_offset, _) = host.secrets.flow_offsets(&host.flow);
        // All numbers of one slot: 2⁷ of 2²⁴ are good, of two slots of 256.
        let first = isn_offset.wrapping_add(slot_at(now) << SLOT_BITS);
        let is_good = |number: &u32| {
            let ack = first.wrapping_add(*number).wrapping_add(1);
            host.read(8, ack, Options::NONE, 2, now).is_ok()
        };
        let good: std::vec::Vec<u32> = (0..1 << TOLD_AT).filter(is_good).collect();
        let &[least] = good.as_slice() else { panic!("{good:?}") };
        let all = |told: &u32| is_good(&(least + (told << TOLD_AT)));
        assert_eq!((0..1 << TOLD_BITS).filter(all).count(), 1 << TOLD_BITS);
        let elsewhere = |number: &u32| is_good(&number.wrapping_mul(1 << SLOT_BITS));
        assert!((1..255).filter(elsewhere).count() == 0);
    }

    /// RFC 6528: numbers of one flow go on with the clock, and nobody knows those of another.
    #[test]
    fn a_later_cookie_has_a_later_number() {
        let [host, _] = hosts();
        let at = |secs| host.make(7, &Options::NONE, Instant::from_secs(secs)).iss;
        assert!(at(200).after(at(0)) && at(5000).after(at(200)));
        assert_eq!(at(1), at(0), "the same SYN has the same answer");
    }
}
