//! How do bulk transfers share a path? Many connections between two hosts, each with a controller
//! and a start of its own.

use core::net::SocketAddr;
use core::time::Duration;

use minitcp_proto::{Congestion, Instant, Observer, SocketId, Stack};

use crate::ids::NodeId;
use crate::network::Network;
use crate::programs::transfer::{Receiver, Running, Sender, listen};

/// One bulk transfer of several that run at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Flow {
    /// Octets to send.
    pub bytes: u64,
    /// The port of the receiving host; each flow needs another.
    pub port: u16,
    /// When to connect, in virtual time from the start of all.
    pub after: Duration,
    /// The sender's controller, if it is not that of its host.
    pub congestion: Option<Congestion>,
}

impl Flow {
    /// Lets `to` listen on the port of each of `flows` and `from` connect and send. The caller runs
    /// the network; what becomes of each flow is in the order of `flows`.
    ///
    /// # Panics
    /// If one of the nodes is no host of the network, a port is taken, or a host has no room for
    /// so many connections.
    pub fn start_all<O: Observer>(
        flows: &[Self],
        network: &mut Network<O>,
        from: NodeId,
        to: NodeId,
    ) -> Vec<Running> {
        let mut all = Vec::new();
        let (mut senders, mut receivers) = (Vec::new(), Vec::new());
        for (flow, number) in flows.iter().zip(0_u64..) {
            let (listener, remote) = listen(network, to, flow.port);
            let at = network.now() + flow.after;
            let running = Running::new(at);
            let sender = Sender::new(flow.bytes, network.seed().wrapping_add(number));
            let congestion = flow.congestion;
            senders.push(Sending { at, remote, congestion, sender, running: running.clone() });
            receivers.push((Receiver::new(listener), running.clone()));
            all.push(running);
        }
        network.on_event(from, move |stack, now| {
            for sending in senders.iter_mut().filter(|sending| sending.is_due(now)) {
                sending.act(stack, now);
            }
            while let Some(event) = stack.poll_event() {
                let own = |sending: &&mut Sending| sending.concerns(event.socket);
                if let Some(sending) = senders.iter_mut().find(own) {
                    sending.act(stack, now);
                }
            }
            senders.iter().filter(|sending| sending.at > now).map(|sending| sending.at).min()
        });
        network.on_event(to, move |stack, now| {
            while let Some(event) = stack.poll_event() {
                let own = receivers.iter_mut().find(|(own, _)| own.concerns(event.socket));
                if let Some((receiver, running)) = own {
                    running.change(now, |progress| receiver.act(stack, progress));
                }
            }
            None
        });
        all
    }
}

struct Sending {
    at: Instant,
    remote: SocketAddr,
    congestion: Option<Congestion>,
    sender: Sender,
    running: Running,
}

impl Sending {
    /// It is time to connect.
    fn is_due(&self, now: Instant) -> bool {
        self.sender.id().is_none() && self.at <= now
    }

    fn concerns(&self, socket: SocketId) -> bool {
        self.sender.id().is_some_and(|id| socket == SocketId::Connection(id))
    }

    fn act<O: Observer>(&mut self, stack: &mut Stack<'static, O>, now: Instant) {
        let Self { remote, sender, running, .. } = self;
        let is_new = sender.id().is_none();
        running.change(now, |progress| sender.act(stack, now, *remote, progress));
        if let (true, Some(congestion), Some(id)) = (is_new, self.congestion, sender.id())
            && let Some(mut connection) = stack.connection(id)
        {
            connection.set_congestion(congestion);
        }
    }
}

/// How evenly something is shared: 1 if all have the same, 1/n if one of n has everything; 1 if
/// there is nothing (R. Jain, D. Chiu and W. Hawe, 1984).
#[expect(clippy::cast_precision_loss, reason = "a ratio, for people to read")]
pub fn jain(shares: &[u64]) -> f64 {
    let largest = shares.iter().copied().max().unwrap_or(0).max(1) as f64;
    let parts = || shares.iter().map(|share| *share as f64 / largest);
    let (sum, squares) = (parts().sum::<f64>(), parts().map(|part| part * part).sum::<f64>());
    if squares > 0.0 { sum * sum / (shares.len() as f64 * squares) } else { 1.0 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Link;

    fn assert_near(actual: f64, expected: f64) {
        assert!((actual - expected).abs() < 1e-9, "{actual} and not {expected}");
    }

    #[test]
    fn the_index_is_one_for_equals_and_one_in_n_for_a_monopoly() {
        for (shares, expected) in [
            (&[] as &[u64], 1.0),
            (&[0, 0], 1.0),
            (&[7], 1.0),
            (&[5, 5, 5, 5], 1.0),
            (&[0, 0, 9, 0], 0.25),
            (&[1, 3], 0.8),
            (&[u64::MAX, u64::MAX], 1.0),
        ] {
            assert_near(jain(shares), expected);
        }
    }

    fn flows(count: u16, bytes: u64) -> Vec<Flow> {
        let flow = |number: u16| Flow {
            bytes,
            port: 100 + number,
            after: Duration::from_millis(10) * u32::from(number),
            congestion: (number % 2 == 1).then_some(Congestion::NewReno),
        };
        (0..count).map(flow).collect()
    }

    /// Flows begin one after another, with the controllers that were named, end, and each gets its
    /// own octets.
    #[test]
    fn flows_share_a_link_and_finish() {
        let link = Link::new().rate(20_000_000).delay(Duration::from_millis(5)).loss(0.01);
        let (mut network, client, server) = Network::pair(3, link);
        let flows = flows(4, 200_000);
        let running = Flow::start_all(&flows, &mut network, client, server);
        network.run_until(Instant::ZERO + Duration::from_millis(15));
        let begun: Vec<bool> = running.iter().map(|flow| flow.connection().is_some()).collect();
        assert_eq!(begun, [true, true, false, false]);
        for (flow, expected) in running.iter().zip([Congestion::Cubic, Congestion::NewReno]) {
            let id = flow.connection().unwrap();
            let connection = network.inside_stack(client).unwrap().connection(id).unwrap();
            assert_eq!(connection.options().congestion, expected);
        }
        let limit = Instant::ZERO + Duration::from_secs(600);
        assert!(network.run_while(limit, |_| !running.iter().all(Running::is_over)));
        let hashes: Vec<u64> = running.iter().map(|flow| flow.outcome().received_hash).collect();
        for (number, flow) in running.iter().enumerate() {
            let outcome = flow.outcome();
            assert!(outcome.is_success() && outcome.received == 200_000, "{number}: {outcome}");
            assert!(!hashes[..number].contains(&outcome.received_hash), "octets of another");
        }
    }

    #[test]
    fn a_flow_by_itself_is_a_transfer() {
        let link = || Link::dsl().loss(0.05);
        let (mut network, client, server) = Network::pair(7, link());
        let flow = Flow { congestion: None, ..flows(1, 50_000)[0] };
        let running = Flow::start_all(&[flow], &mut network, client, server).remove(0);
        network.run_while(Instant::MAX, |_| !running.is_over());
        let (mut other, client, server) = Network::pair(7, link());
        let transfer = crate::Transfer { port: flow.port, ..crate::Transfer::new(50_000) };
        assert_eq!(transfer.run(&mut other, client, server), running.outcome());
        assert_eq!(other.packet_hash(), network.packet_hash());
    }

    /// What is asked of a network while it runs changes nothing.
    #[test]
    fn looking_changes_nothing() {
        let run = |looks: bool| {
            let link = Link::new().rate(8_000_000).delay(Duration::from_millis(20)).queue(30_000);
            let mut network = Network::new(1);
            let [client, server] =
                [1, 2].map(|last| network.host(minitcp_proto::Config::new([10, 0, 0, last], 24)));
            let id = network.link(client, server, link);
            let running = Flow::start_all(&flows(2, 300_000), &mut network, client, server);
            let (mut most, mut windows) = ([0; 2], Vec::new());
            network.run_while(Instant::MAX, |network| {
                if looks {
                    let queued = network.queued(id);
                    most = [0, 1].map(|way| queued[way].max(most[way]));
                    let connection = running[0].connection();
                    windows.extend(connection.and_then(|id| network.info(client, id)));
                }
                !running.iter().all(Running::is_over)
            });
            if looks {
                assert!((25_000..=30_000).contains(&most[0]) && most[1] < 1_000, "{most:?}");
                assert!(windows.iter().any(|info| info.cwnd > 10_000));
            }
            (network.packet_hash(), network.steps())
        };
        assert_eq!(run(true), run(false));
    }
}
