//! Initial sequence numbers: ISN = M + F(four-tuple, secret) (RFC 9293 §3.4.1, RFC 6528).

use crate::secret::{Flow, Secrets};
use crate::seq::SeqNum;
use crate::time::Instant;

/// The ISN of a new incarnation of `flow` at `now`. M advances every 4 µs (MUST-8) and wraps after
/// about 4.77 hours; F is a keyed hash (MUST-9).
pub(crate) fn initial(secrets: &Secrets, flow: &Flow, now: Instant) -> SeqNum {
    let ticks = now.as_nanos() / 4_000 % (1 << 32);
    let clock = u32::try_from(ticks).unwrap_or(0);
    SeqNum(secrets.isn_hash(flow).wrapping_add(clock))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::secret::Seed;
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn advances_with_the_clock_and_differs_by_flow() {
        let secrets = Secrets::new(&Seed::from_u64(1));
        let [local, remote] = [1, 2].map(|last| IpAddr::V4(Ipv4Addr::new(10, 0, 0, last)));
        let flow = Flow { local, remote, local_port: 80, remote_port: 5000 };
        let at = |micros| initial(&secrets, &flow, Instant::from_micros(micros));
        assert_eq!(at(4).since(at(0)), 1);
        assert_eq!(at(4 << 32), at(0), "wraps");
        assert_eq!(at(3_000_000).since(at(2_000_000)), 250_000);
        let other = Flow { remote_port: 5001, ..flow };
        assert_ne!(initial(&secrets, &other, Instant::ZERO), at(0));
    }
}
