//! The options of one connection, packed: most connections have none, all have to carry them.

use core::time::Duration;

use bitflags::bitflags;

use crate::config::Congestion;
use crate::options::{Keepalive, Service, TcpOptions};

bitflags! {
    /// Options that are on, packed.
    #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
    pub(crate) struct Switches: u16 {
        /// Nagle is off.
        const NO_DELAY = 1;
        /// Segments that are not full are held back.
        const CORK = 2;
        /// No acknowledgment is delayed.
        const QUICK_ACK = 4;
        /// A silent peer is probed.
        const KEEPALIVE = 8;
        /// `not_sent_low_water` is set.
        const LOW_WATER = 16;
        /// A keep-alive probe is to be sent.
        const PROBE_DUE = 32;
        /// Other sockets with `SO_REUSEPORT` may bind the local port.
        const REUSE_PORT = 64;
        /// Urgent data is on its way: `snd_up` counts.
        const URGENT = 128;
        /// The receive buffer grows by itself.
        const TUNE_RECEIVE = 256;
        /// The send buffer grows by itself.
        const TUNE_SEND = 512;
        /// Explicit congestion notification is agreed on, one way at least.
        const ECN = 1024;
        /// The window was reduced, of which the peer is to hear with the next new octets.
        const CWR_DUE = 2048;
        /// Which controller, by its place in `Congestion::ALL`.
        const CONGESTION = 0xf000;
    }
}

/// Where the bits of [`Switches::CONGESTION`] begin.
const CONGESTION_SHIFT: u32 = Switches::CONGESTION.bits().trailing_zeros();

/// All options but those of the buffers, which stand beside the buffers.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) switches: Switches,
    /// Keep-alive probes sent since the peer was last heard.
    pub(crate) probes: u8,
    pub(crate) service: Service,
    /// 0 for none.
    max_segment: u16,
    keep_idle_secs: u16,
    keep_interval_secs: u16,
    keep_count: u8,
    /// 0 for that of the stack.
    user_timeout_ms: u32,
    low_water: u32,
}

impl Switches {
    fn of(algorithm: Congestion) -> Self {
        let place = Congestion::ALL.iter().position(|other| *other == algorithm);
        let place = place.and_then(|place| u16::try_from(place).ok()).unwrap_or(0);
        Self::from_bits_truncate(place << CONGESTION_SHIFT) & Self::CONGESTION
    }
}

impl Settings {
    /// From options that are in their ranges.
    pub(crate) fn new(options: &TcpOptions) -> Self {
        let mut switches = Switches::empty();
        switches.set(Switches::NO_DELAY, options.no_delay);
        switches.set(Switches::CORK, options.cork);
        switches.set(Switches::QUICK_ACK, options.quick_ack);
        switches.set(Switches::KEEPALIVE, options.keepalive.is_some());
        switches.set(Switches::LOW_WATER, options.not_sent_low_water.is_some());
        switches.set(Switches::TUNE_RECEIVE, options.tune_receive_buffer);
        switches.set(Switches::TUNE_SEND, options.tune_send_buffer);
        switches |= Switches::of(options.congestion);
        let keepalive = options.keepalive.unwrap_or_default();
        let seconds = |span: Duration| u16::try_from(span.as_secs()).unwrap_or(u16::MAX);
        let millis = |span: Duration| u32::try_from(span.as_millis()).unwrap_or(u32::MAX);
        Self {
            switches,
            probes: 0,
            service: Service::new(options.hop_limit, options.traffic_class),
            max_segment: options.max_segment.unwrap_or(0),
            keep_idle_secs: seconds(keepalive.idle),
            keep_interval_secs: seconds(keepalive.interval),
            keep_count: keepalive.count,
            user_timeout_ms: options.user_timeout.map_or(0, millis),
            low_water: options.not_sent_low_water.unwrap_or(0),
        }
    }

    /// The other way round; what stands beside the buffers is the caller's to add.
    pub(crate) fn options(
        &self,
        receive_buffer: u32,
        send_buffer: u32,
        in_line: bool,
    ) -> TcpOptions {
        let is_on = |switch| self.switches.contains(switch);
        TcpOptions {
            receive_buffer,
            send_buffer,
            tune_receive_buffer: is_on(Switches::TUNE_RECEIVE),
            tune_send_buffer: is_on(Switches::TUNE_SEND),
            no_delay: is_on(Switches::NO_DELAY),
            cork: is_on(Switches::CORK),
            quick_ack: is_on(Switches::QUICK_ACK),
            max_segment: (self.max_segment > 0).then_some(self.max_segment),
            user_timeout: self.user_timeout(),
            keepalive: is_on(Switches::KEEPALIVE).then(|| Keepalive {
                idle: self.keep_idle(),
                interval: self.keep_interval(),
                count: self.keep_count,
            }),
            not_sent_low_water: is_on(Switches::LOW_WATER).then_some(self.low_water),
            hop_limit: (self.service.hop_limit > 0).then_some(self.service.hop_limit),
            traffic_class: self.service.traffic_class,
            urgent_in_line: in_line,
            congestion: self.congestion(),
        }
    }

    /// The congestion controller.
    pub(crate) fn congestion(&self) -> Congestion {
        let place = (self.switches & Switches::CONGESTION).bits() >> CONGESTION_SHIFT;
        Congestion::ALL.get(usize::from(place)).copied().unwrap_or(Congestion::Cubic)
    }

    pub(crate) fn set_congestion(&mut self, algorithm: Congestion) {
        self.switches = (self.switches - Switches::CONGESTION) | Switches::of(algorithm);
    }

    /// `mss` cut to what the application allows.
    pub(crate) fn clamp_mss(&self, mss: u16) -> u16 {
        if self.max_segment > 0 { mss.min(self.max_segment) } else { mss }
    }

    /// `TCP_USER_TIMEOUT`, if it is set.
    pub(crate) fn user_timeout(&self) -> Option<Duration> {
        let millis = u64::from(self.user_timeout_ms);
        (millis > 0).then(|| Duration::from_millis(millis))
    }

    /// How many octets the application may add while `unsent` wait.
    pub(crate) fn low_water_room(&self, unsent: u32) -> u32 {
        if self.switches.contains(Switches::LOW_WATER) {
            self.low_water.saturating_sub(unsent)
        } else {
            u32::MAX
        }
    }

    /// So few are unsent that the application is to be woken: under half, as Linux does, so that
    /// it is not woken for each segment.
    pub(crate) fn is_below_low_water(&self, unsent: u32) -> bool {
        !self.switches.contains(Switches::LOW_WATER) || unsent.saturating_mul(2) < self.low_water
    }

    pub(crate) const fn keep_idle(&self) -> Duration {
        Duration::from_secs(self.keep_idle_secs as u64)
    }

    pub(crate) const fn keep_interval(&self) -> Duration {
        Duration::from_secs(self.keep_interval_secs as u64)
    }

    /// The probes that went unanswered, or the silence with them, are enough. As Linux has it, a
    /// user timeout takes the place of the count.
    pub(crate) fn gives_up(&self, silence: Duration) -> bool {
        match self.user_timeout() {
            Some(timeout) => self.probes > 0 && silence >= timeout,
            None => self.probes >= self.keep_count,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn is_small() {
        assert!(size_of::<Settings>() <= 20, "{}", size_of::<Settings>());
    }

    #[test]
    fn what_goes_in_comes_out() {
        let plain = TcpOptions {
            receive_buffer: 1000,
            send_buffer: 2000,
            tune_receive_buffer: false,
            tune_send_buffer: false,
            no_delay: false,
            cork: false,
            quick_ack: false,
            max_segment: None,
            user_timeout: None,
            keepalive: None,
            not_sent_low_water: None,
            hop_limit: None,
            traffic_class: 0,
            urgent_in_line: true,
            congestion: Congestion::Cubic,
        };
        let keepalive = Keepalive {
            idle: Duration::from_secs(32_767),
            interval: Duration::from_secs(1),
            count: 127,
        };
        for options in [
            plain,
            TcpOptions { no_delay: true, max_segment: Some(88), ..plain },
            TcpOptions { cork: true, user_timeout: Some(Duration::from_millis(1)), ..plain },
            TcpOptions { quick_ack: true, keepalive: Some(keepalive), ..plain },
            TcpOptions { not_sent_low_water: Some(1), hop_limit: Some(255), ..plain },
            TcpOptions { traffic_class: 0xfc, congestion: Congestion::NewReno, ..plain },
            TcpOptions { tune_receive_buffer: true, ..plain },
            TcpOptions { tune_send_buffer: true, ..plain },
        ] {
            assert_eq!(Settings::new(&options).options(1000, 2000, true), options);
        }
    }
}
