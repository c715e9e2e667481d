//! The host under test in virtual time: a stack, its clock, and what it has sent.

use std::collections::VecDeque;
use std::num::NonZeroU16;
use std::time::Duration;

use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed, Stack};

use super::report::RawPacket;
use super::settings::Settings;
use super::setup::Setup;
use super::wire::{self, Parsed};
use crate::script::packet::Direction;
use crate::script::stack_setting::StackSetting;

/// Small, because a script has few connections; and the same for every script.
const LIMITS: Limits = Limits {
    connections: 64,
    half_open: 64,
    time_wait: 64,
    listeners: 8,
    udp_sockets: 8,
    datagrams: 64,
    assemblies: 64,
    models: 64,
    buffer_bytes: 4 << 20,
};

/// A packet that the stack has sent and the script has not yet accounted for.
#[derive(Clone, Debug)]
pub(super) struct Sent {
    /// Nanoseconds since the start of the script.
    pub(super) at: u64,
    pub(super) packet: Parsed,
}

/// A stack and its clock.
#[derive(Debug)]
pub(super) struct Host {
    /// Made when it is first needed.
    stack: Option<Stack<'static>>,
    config: Config,
    /// What the command line says of the configuration.
    given: Vec<StackSetting>,
    seed: u64,
    now: Instant,
    pub(super) sent: VecDeque<Sent>,
    /// What is wrong with a packet of the stack, if one could not be read.
    pub(super) broken: Option<String>,
    /// Room for one packet.
    buffer: Vec<u8>,
    /// All packets so far, if they are kept.
    pub(super) packets: Option<Vec<RawPacket>>,
    /// How many more packets and timeouts there may be.
    steps: u64,
}

impl Host {
    pub(super) fn new(setup: &Setup, settings: &Settings) -> Self {
        let prefix_len = if setup.v6 { 64 } else { 16 };
        let mut config = Config::new(setup.local, prefix_len);
        config.pacing = false; // A script says what leaves at once.
        config.mtu = setup.mtu;
        // Windows that a script can foretell.
        config.fix_buffers(config.receive_buffer, config.send_buffer);
        setup.stack.iter().for_each(|setting| setting.apply(&mut config));
        Self {
            stack: None,
            config,
            given: setup.given.clone(),
            seed: settings.seed,
            now: Instant::ZERO,
            sent: VecDeque::new(),
            broken: None,
            buffer: vec![0; usize::from(u16::MAX)],
            packets: settings.keep_packets.then(Vec::new),
            steps: settings.max_steps,
        }
    }

    pub(super) fn config(&self) -> &Config {
        &self.config
    }

    /// The configuration shall be so, as far as the command line says nothing else; `false` when
    /// it is not so and can no longer be.
    pub(super) fn configure(&mut self, setting: StackSetting) -> bool {
        let is_given = self.given.iter().any(|given| given.is_for_same_field(setting));
        if self.stack.is_none() && !is_given {
            setting.apply(&mut self.config);
        }
        is_given || setting.holds(&self.config)
    }

    pub(super) fn stack(&mut self) -> &mut Stack<'static> {
        self.stack.get_or_insert_with(|| {
            let memory = Memory::allocate(&LIMITS);
            Stack::new(self.config.clone(), memory, Seed::from_u64(self.seed))
        })
    }

    /// Nanoseconds since the start of the script.
    pub(super) fn now(&self) -> u64 {
        self.now.as_nanos()
    }

    pub(super) fn instant(&self) -> Instant {
        self.now
    }

    /// The budget of packets and timeouts is used up.
    pub(super) fn is_exhausted(&self) -> bool {
        self.steps == 0
    }

    pub(super) fn receive(&mut self, packet: &[u8], segment_size: Option<u16>) {
        let now = self.now;
        self.keep(Direction::Inbound, packet);
        let segment_size = segment_size.and_then(NonZeroU16::new);
        let meta = RxMeta { segment_size, ..RxMeta::default() };
        self.stack().handle_packet(now, packet, meta);
    }

    /// Lets everything out that the stack would send now.
    pub(super) fn pump(&mut self) {
        let now = self.now;
        while self.steps > 0 {
            let Some(stack) = self.stack.as_mut() else { return };
            let Some(transmit) = stack.poll_transmit(now) else { break };
            self.steps -= 1;
            let Some(length) = transmit.copy_to(&mut self.buffer) else { break };
            let Some(octets) = self.buffer.get(..length) else { break };
            match wire::parse(octets) {
                Ok(packet) => self.sent.push_back(Sent { at: now.as_nanos(), packet }),
                Err(message) => self.broken = Some(message),
            }
            if self.packets.is_some() {
                let octets = octets.to_vec();
                self.keep(Direction::Outbound, &octets);
            }
        }
        if let Some(stack) = self.stack.as_mut() {
            // Readiness is looked at when a call asks for it.
            while stack.poll_event().is_some() {}
        }
    }

    fn keep(&mut self, direction: Direction, octets: &[u8]) {
        if let Some(packets) = &mut self.packets {
            let nanos = self.now.as_nanos();
            packets.push(RawPacket { nanos, direction, octets: octets.to_vec() });
        }
    }

    /// Moves to the next timeout of the stack if it is not after `limit`, and serves it; else
    /// moves to `limit`, and tells so with `false`.
    pub(super) fn step(&mut self, limit: u64) -> bool {
        let limit = Instant::from_nanos(limit).max(self.now);
        let due = self.stack.as_ref().and_then(Stack::poll_timeout);
        let Some(due) = due.filter(|due| *due <= limit && self.steps > 0) else {
            self.now = limit;
            return false;
        };
        self.steps -= 1;
        self.now = self.now.max(due);
        let now = self.now;
        self.stack().handle_timeout(now);
        self.pump();
        true
    }

    /// Whether any timer runs.
    pub(super) fn has_timer(&self) -> bool {
        self.stack.as_ref().is_some_and(|stack| stack.poll_timeout().is_some())
    }

    /// The longest that a script may wait for a packet without a time.
    pub(super) const PATIENCE: Duration = Duration::from_secs(24 * 3600);
}
