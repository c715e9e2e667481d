//! The three classic trials: handshake, a greeting, simultaneous teardown, at 0, 10 and 30 % loss.

use core::net::Ipv4Addr;
use core::time::Duration;
use std::collections::BTreeSet;

use minitcp_driver_sim::{Link, Network, NodeId};
use minitcp_proto::{
    Config, ConnectionId, Instant, Limits, Memory, Observer, RecvError, Stack, State, Trace,
};

const GREETING: &[u8] = b"hello from minitcp client";

/// The states that a host's connection went through.
#[derive(Default)]
struct States(Vec<(State, State)>);

impl Observer for States {
    fn trace(&mut self, _now: Instant, trace: &Trace) {
        if let Trace::State { from, to, .. } = trace {
            self.0.push((*from, *to));
        }
    }
}

struct Trial {
    network: Network<States>,
    client: NodeId,
    server: NodeId,
}

impl Trial {
    fn new(seed: u64, loss: f64) -> Self {
        let mut network = Network::observed(seed);
        let [client, server] = [1, 2].map(|last| {
            let mut config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
            // At 30 % loss the default five minutes run out once in a few hundred trials.
            config.user_timeout = Duration::from_secs(86_400);
            let memory = Memory::allocate(&Limits { connections: 4, ..Limits::default() });
            let stack_seed = network.next_stack_seed();
            network.host_with(Stack::with_observer(config, memory, stack_seed, States::default()))
        });
        let link = Link::lossy(loss).delay(Duration::from_millis(10));
        network.link(client, server, link);
        Self { network, client, server }
    }

    /// Steps until `done` gives a value.
    fn until<T>(&mut self, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        loop {
            if let Some(value) = done(self) {
                return value;
            }
            assert!(self.network.step(), "nothing is left to do");
        }
    }

    fn state(&mut self, node: NodeId, id: ConnectionId) -> State {
        self.network.stack_mut(node).connection(id).map_or(State::Closed, |c| c.state())
    }

    fn run(mut self, seed: u64, loss: f64) {
        let (client, server) = (self.client, self.server);
        let remote = "10.0.0.2:7".parse().unwrap();
        let listener = self.network.stack_mut(server).listen(remote, 1).unwrap();
        let now = self.network.now();
        let ours = self.network.stack_mut(client).connect(now, remote, None).unwrap();
        let theirs = self.until(|trial| trial.network.stack_mut(server).accept(listener));
        self.until(|trial| (trial.state(client, ours) == State::Established).then_some(()));

        let sent = self.network.stack_mut(client).connection(ours).unwrap().send(GREETING).unwrap();
        assert_eq!(sent, GREETING.len());
        let mut received = Vec::new();
        while received.len() < GREETING.len() {
            self.until(|trial| {
                let mut connection = trial.network.stack_mut(server).connection(theirs).unwrap();
                let mut piece = [0; 64];
                match connection.recv(&mut piece) {
                    Ok(count) => received.extend_from_slice(&piece[..count]),
                    Err(RecvError::WouldBlock) => return None,
                    Err(error) => panic!("{error}"),
                }
                Some(())
            });
        }
        assert_eq!(received, GREETING);

        // Both ends close before either hears of it.
        self.until(|trial| {
            let stack = trial.network.stack_mut(client);
            (stack.connection(ours).unwrap().unacknowledged() == 0).then_some(())
        });
        self.network.stack_mut(client).connection(ours).unwrap().shutdown();
        self.network.stack_mut(server).connection(theirs).unwrap().shutdown();
        for (node, id) in [(client, ours), (server, theirs)] {
            self.until(|trial| {
                let mut connection = trial.network.stack_mut(node).connection(id)?;
                match connection.recv(&mut [0; 8]) {
                    Ok(0) => Some(()),
                    Ok(_) => panic!("octets from nowhere"),
                    Err(RecvError::WouldBlock) => None,
                    Err(error) => panic!("seed {seed}: {error}: {:?}", connection.close_reason()),
                }
            });
            self.network.stack_mut(node).connection(id).unwrap().close();
        }
        // TIME-WAIT on both sides runs out.
        assert!(self.network.run_until(self.network.now() + Duration::from_secs(86_400)));
        self.check(seed, loss);
    }

    fn check(self, seed: u64, loss: f64) {
        let mut retransmitted = 0;
        for node in [self.client, self.server] {
            let stack = self.network.stack(node);
            assert_eq!((stack.usage().connections, stack.usage().time_wait), (0, 0));
            retransmitted += stack.stats().retransmitted_segments;
            let visited: BTreeSet<String> =
                stack.observer().0.iter().map(|(_, to)| to.to_string()).collect();
            let mut expected = vec!["ESTABLISHED", "FIN_WAIT_1", "CLOSED"];
            if loss == 0.0 {
                // With loss the FINs need not cross, and a last ACK may be lost until the peer
                // has left TIME-WAIT.
                expected.extend(["CLOSING", "TIME_WAIT"]);
            }
            for state in expected {
                assert!(visited.contains(state), "seed {seed}: {visited:?}");
            }
        }
        let stats = self.network.stats();
        if loss == 0.0 {
            assert_eq!((stats.lost_in_all(), retransmitted), (0, 0));
        }
        println!(
            "loss {:>2.0} %, seed {seed}: {} of {} packets dropped, {retransmitted} segments \
             retransmitted, {} s",
            loss * 100.0,
            stats.lost_in_all(),
            stats.packets,
            self.network.now()
        );
    }
}

fn trials(loss: f64) {
    for seed in 0..100 {
        Trial::new(seed, loss).run(seed, loss);
    }
}

#[test]
fn without_loss() {
    trials(0.0);
}

#[test]
fn with_ten_percent_lost() {
    trials(0.1);
}

#[test]
fn with_thirty_percent_lost() {
    trials(0.3);
}
