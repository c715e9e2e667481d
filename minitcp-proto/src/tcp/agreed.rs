//! What the SYNs of a passive handshake said, as far as the connection will heed it: in eight
//! octets, since many handshakes may be unfinished.

use core::num::NonZeroU16;

use crate::config::Config;
use crate::tcp::receive::window::MAX_SHIFT;
use crate::tcp::timestamps::is_before;
use crate::wire::options::{Options, Timestamps};

/// Of four bits, one value is left (R7323-3).
const NO_SHIFT: u8 = MAX_SHIFT + 1;

const SHIFT: u8 = 0x0f;
const SACK: u8 = 0x10;
const TIMESTAMPS: u8 = 0x20;
const ECN: u8 = 0x40;

/// The options of the peer's SYN that the connection will heed, and the answer to one of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// TSval, or 0.
    clock: u32,
    /// An MSS of zero counts as one octet, which counts as 64.
    mss: Option<NonZeroU16>,
    /// The peer's shift, and which other options it sent.
    options: u8,
    /// The shift that our SYN,ACK announces if the peer scales too; else 0.
    pub(crate) rcv_wscale: u8,
}

impl Agreed {
    /// What `config` allows of the peer's `options`; we scale our windows by `shift` if it scales.
    pub(crate) fn new(options: &Options, shift: u8, config: &Config) -> Self {
        let timestamps = options.timestamps.filter(|_| config.timestamps);
        let window_scale = options.window_scale.filter(|_| config.window_scaling);
        let mut packed = window_scale.map_or(NO_SHIFT, |theirs| theirs.min(MAX_SHIFT));
        if options.sack_permitted && config.sack {
            packed |= SACK;
        }
        if timestamps.is_some() {
            packed |= TIMESTAMPS;
        }
        Self {
            clock: timestamps.map_or(0, |timestamps| timestamps.value),
            mss: options.mss.map(|mss| NonZeroU16::new(mss).unwrap_or(NonZeroU16::MIN)),
            options: packed,
            rcv_wscale: window_scale.map_or(0, |_| shift),
        }
    }

    /// How the peer scales its windows, if it does.
    pub(crate) const fn window_scale(self) -> Option<u8> {
        let shift = self.options & SHIFT;
        if shift == NO_SHIFT { None } else { Some(shift) }
    }

    pub(crate) const fn sack_permitted(self) -> bool {
        self.options & SACK != 0
    }

    /// The peer's SYN asks for explicit congestion notification, and we agree.
    pub(crate) const fn agree_on_ecn(&mut self) {
        self.options |= ECN;
    }

    pub(crate) const fn ecn(self) -> bool {
        self.options & ECN != 0
    }

    /// The peer's SYN again: what its clock says now is echoed (RFC 7323 §4.3). One that does not
    /// ask for ECN any more must not be answered as if it did (RFC 3168 §6.1.1), `keeps_ecn`.
    pub(crate) fn on_repeated_syn(&mut self, syn: &Options, keeps_ecn: bool) {
        if !keeps_ecn {
            self.options &= !ECN;
        }
        if let Some(theirs) = syn.timestamps
            && !is_before(theirs.value, self.clock)
        {
            self.clock = theirs.value;
        }
    }

    pub(crate) fn mss(self) -> Option<u16> {
        self.mss.map(NonZeroU16::get)
    }

    pub(crate) fn timestamps(self) -> Option<Timestamps> {
        let has_timestamps = self.options & TIMESTAMPS != 0;
        has_timestamps.then_some(Timestamps { value: self.clock, echo: 0 })
    }

    /// The peer's options, as its SYN had them.
    pub(crate) fn options(self) -> Options {
        Options {
            mss: self.mss(),
            window_scale: self.window_scale(),
            sack_permitted: self.sack_permitted(),
            timestamps: self.timestamps(),
            ..Options::NONE
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::net::{IpAddr, Ipv4Addr};

    #[test]
    fn what_the_peer_said_comes_out_as_far_as_it_is_heeded() {
        let all = Options {
            mss: Some(1460),
            window_scale: Some(7),
            sack_permitted: true,
            timestamps: Some(Timestamps { value: 77, echo: 0 }),
            ..Options::NONE
        };
        let mut config = Config::new(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 2)), 24);
        for (said, heard) in [
            (all, all),
            (Options::NONE, Options::NONE),
            (Options { mss: Some(0), ..all }, Options { mss: Some(1), ..all }),
            (Options { window_scale: Some(255), ..all }, Options { window_scale: Some(14), ..all }),
            (Options { window_scale: Some(0), ..all }, Options { window_scale: Some(0), ..all }),
            (Options { window_scale: None, ..all }, Options { window_scale: None, ..all }),
        ] {
            let agreed = Agreed::new(&said, 3, &config);
            assert_eq!(agreed.options(), heard);
            assert_eq!(agreed.rcv_wscale, if heard.window_scale.is_some() { 3 } else { 0 });
        }
        (config.timestamps, config.sack) = (false, false);
        let heard = Options { sack_permitted: false, timestamps: None, ..all };
        assert_eq!(Agreed::new(&all, 3, &config).options(), heard);
        assert_eq!(size_of::<Agreed>(), 8);
    }
}
