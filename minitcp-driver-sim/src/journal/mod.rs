//! A run written down: everything that it depends on, so that it can happen again without the
//! programs that made it, packet for packet.
//!
//! A journal holds the seed, the hosts with all their settings, the links with their faults, and
//! every call that a program made to a stack, with its octets and its virtual time: the calls are
//! heard by the stack's [`Observer`](minitcp_proto::Observer), so that it makes no difference
//! whether apps, loops, or blocking sockets made them, and none escapes.
//!
//! ```
//! use minitcp_driver_sim::{Journal, Link, Network, Transfer};
//! use minitcp_proto::{Config, Limits};
//!
//! let mut network = Network::recorded(7);
//! let [a, b] = [1, 2].map(|last| {
//!     network.recorded_host(Config::new([10, 0, 0, last], 24), &Limits::default())
//! });
//! network.link(a, b, Link::dsl().loss(0.1));
//! assert!(Transfer::new(100_000).run(&mut network, a, b).is_success());
//! let text = network.journal().unwrap();
//!
//! let replay = Journal::read(&text)?.replay(|_| {})?;
//! assert!(replay.is_same());
//! assert_eq!(replay.packet_hash, network.packet_hash());
//! # Ok::<(), minitcp_driver_sim::JournalError>(())
//! ```
//!
//! # What can be recorded
//!
//! - hosts made with [`Network::recorded_host`](crate::Network::recorded_host), whatever drives
//!   them: [apps](crate::Network::on_event), a [`Transfer`](crate::Transfer), a loop around
//!   [`step`](crate::Network::step) and [`stack_mut`](crate::Network::stack_mut);
//! - programs added with [`Programs::recorded_program`](crate::Programs::recorded_program), also
//!   when they use the sockets of `minitcp-sockets`;
//! - routers, links, and links that change;
//! - hosts that [sleep](crate::Network::pause), and [strangers](crate::Network::stranger), with
//!   every packet that they send.
//!
//! What cannot: hosts whose stacks somebody else made
//! ([`host_with`](crate::Network::host_with), [`SimDriver::alone`](crate::SimDriver::alone)),
//! programs added without recording, faults that are code ([`Link::when`](crate::Link::when)),
//! hosts with more than a million of anything or 4 GiB, and calls that send more than 256 MiB at
//! once. The journal of such a run says so, and is refused when it is read.
//!
//! # The format
//!
//! Lines of words with single spaces, for people and for `diff`. Lines that begin with `outside`,
//! `app` or `program` say who acts from there on, at which virtual time, and the hash of all
//! packets before; a replay compares both, so that it stops at the first line that is not as it
//! was. A line that begins with the number of a host is a call.
//!
//! ```text
//! minitcp-journal 1
//! seed 7
//! outside 0 none 0s 0000…          after so many steps, with nothing left until then
//! host 0 address=10.0.0.1/24 mtu=1500 …
//! host 1 address=10.0.0.2/24 mtu=1500 …
//! link 0 1 delay=15ms,loss=0.1 delay=15ms,loss=0.1
//! change 0 delay=9ms delay=15ms    a link changes: there, and back if that is not the same
//! merge 1 20us                     the device holds and merges what arrives
//! stranger 2 10.0.0.66             a node without a stack
//! pause 1 3600s 64 timers true     the host sleeps: room, what comes first, the clock stands
//! touch 1                          the host has its turn before the next step
//! 1 listen 10.0.0.2:80 1
//! app 2 0 0s 0000…                 the second turn of any host, at host 0
//! 0 connect 0s 10.0.0.2:80 none
//! 0 send 0.0 5 x68656c6c6f         as many octets were offered, and those could be taken
//! wake 100ms
//! app 9 2 20ms 41c0…               a stranger has its turn
//! packet x45000028…                and sends this
//! program 1 30ms 77ab…             the same for a blocking program, which then waits
//! turn none
//! done                             the run ended at the place said last
//! ```

mod replay;
pub(crate) mod text;

use std::sync::Arc;

use crate::network::Network;
use replay::Player;
use text::read::Script;

pub use replay::Replay;
pub use text::JournalError;
pub use text::log::{Draft, Recorder};

/// A journal that was read and found to be one.
#[derive(Clone, Debug)]
pub struct Journal(Arc<Script>);

impl Journal {
    /// Reads what [`Network::journal`] wrote.
    ///
    /// # Errors
    /// At the first line that is none of a journal's, or when the end is missing.
    pub fn read(text: &str) -> Result<Self, JournalError> {
        Script::read(text).map(|script| Self(Arc::new(script)))
    }

    /// Lets the run happen again, on a network that `prepare` may equip with
    /// [taps](Network::tap).
    ///
    /// # Errors
    /// At the first line that is not as it was.
    pub fn replay(&self, prepare: impl FnOnce(&mut Network)) -> Result<Replay, JournalError> {
        self.replay_while(prepare, || true)
    }

    /// As [`replay`](Self::replay), for as long as `keep_on` says so. It is asked between any two
    /// steps of the network, but not while programs run.
    ///
    /// # Errors
    /// As [`replay`](Self::replay), and at the next line when it was stopped.
    pub fn replay_while(
        &self,
        prepare: impl FnOnce(&mut Network),
        keep_on: impl Fn() -> bool,
    ) -> Result<Replay, JournalError> {
        Player::new(Arc::clone(&self.0), prepare, &keep_on).run()
    }
}
