//! Blocking programs in virtual time.

use core::net::SocketAddr;
use core::time::Duration;
use std::panic::{AssertUnwindSafe, catch_unwind};

use minitcp_driver_sim::{Link, Network, Programs, SimDriver, SimError};
use minitcp_proto::{
    Config, ConnectionId, Driver, Instant, Limits, Memory, RecvError, Seed, Stack,
};

/// One connection, blocking, in a dozen lines over any driver.
struct Socket {
    stack: Stack<'static>,
    driver: SimDriver,
    id: ConnectionId,
}

impl Socket {
    fn connect(mut stack: Stack<'static>, driver: SimDriver) -> Result<Self, SimError> {
        let id = stack.connect(driver.now(), SERVER, None).unwrap();
        Ok(Self { stack, driver, id })
    }

    fn accept(mut stack: Stack<'static>, mut driver: SimDriver) -> Result<Self, SimError> {
        let listener = stack.listen(SERVER, 4).unwrap();
        loop {
            if let Some(id) = stack.accept(listener) {
                return Ok(Self { stack, driver, id });
            }
            driver.turn(&mut stack, None)?;
        }
    }

    fn send(&mut self, mut data: &[u8]) -> Result<(), SimError> {
        while !data.is_empty() {
            let sent = self.stack.connection(self.id).unwrap().send(data).unwrap();
            data = &data[sent..];
            if !data.is_empty() {
                self.driver.turn(&mut self.stack, None)?;
            }
        }
        Ok(())
    }

    fn recv(&mut self, out: &mut [u8]) -> Result<usize, SimError> {
        loop {
            match self.stack.connection(self.id).unwrap().recv(out) {
                Ok(count) => return Ok(count),
                Err(RecvError::WouldBlock) => self.driver.turn(&mut self.stack, None)?,
                Err(error) => panic!("{error}"),
            }
        }
    }

    fn sleep(&mut self, span: Duration) -> Result<(), SimError> {
        let until = self.driver.now() + span;
        while self.driver.now() < until {
            self.driver.turn(&mut self.stack, Some(until))?;
        }
        Ok(())
    }

    /// Until the peer has everything, TIME-WAIT included.
    fn close(mut self) -> Result<(), SimError> {
        self.stack.connection(self.id).unwrap().shutdown();
        while self.recv(&mut [0; 64])? > 0 {}
        self.stack.connection(self.id).unwrap().close();
        while self.stack.usage().connections + self.stack.usage().time_wait > 0 {
            self.driver.turn(&mut self.stack, None)?;
        }
        Ok(())
    }
}

const SERVER: SocketAddr =
    SocketAddr::new(core::net::IpAddr::V4(core::net::Ipv4Addr::new(10, 0, 0, 1)), 80);

fn config(last: u8) -> Config {
    Config::new(core::net::Ipv4Addr::new(10, 0, 0, last), 24)
}

/// A question and its answer, a thousand times; returns the packet hash and the time.
fn conversation(seed: u64, link: Link) -> (u64, Instant) {
    let mut programs = Programs::new(Network::new(seed));
    let server = programs.program(config(1), |stack, driver| {
        let mut socket = Socket::accept(stack, driver).unwrap();
        let mut question = [0; 4];
        while socket.recv(&mut question).unwrap() == 4 {
            socket.sleep(Duration::from_micros(100)).unwrap();
            socket.send(&question.map(|octet| octet ^ 0xff)).unwrap();
        }
        socket.close().unwrap();
    });
    let client = programs.program(config(2), |stack, driver| {
        let mut socket = Socket::connect(stack, driver).unwrap();
        for number in 0..1000u32 {
            socket.send(&number.to_be_bytes()).unwrap();
            let mut answer = [0; 4];
            assert_eq!(socket.recv(&mut answer).unwrap(), 4);
            assert_eq!(u32::from_be_bytes(answer), !number);
        }
        socket.close().unwrap();
    });
    programs.network().link(client, server, link);
    let network = programs.run();
    (network.packet_hash(), network.now())
}

#[test]
fn a_conversation_is_the_same_each_time() {
    let link = || Link::lossy(0.05).jitter(Duration::from_micros(300));
    let first = conversation(1, link());
    for _ in 0..3 {
        assert_eq!(conversation(1, link()), first);
    }
    assert_ne!(conversation(2, link()).0, first.0);
}

#[test]
fn many_programs_take_turns() {
    let log = std::sync::Mutex::new(Vec::new());
    let mut programs = Programs::new(Network::new(1));
    let nodes: Vec<_> = (0..5u8)
        .map(|me| {
            let log = &log;
            programs.program(config(me + 1), move |mut stack, mut driver| {
                for round in 1..4u64 {
                    let until = Instant::from_millis(round * 10 - u64::from(me));
                    driver.turn(&mut stack, Some(until)).unwrap();
                    assert_eq!(driver.now(), until);
                    log.lock().unwrap().push((round, me));
                }
            })
        })
        .collect();
    programs.network().link(nodes[0], nodes[1], Link::lan());
    programs.run();
    let expected: Vec<_> =
        (1..4).flat_map(|round| (0..5).rev().map(move |me| (round, me))).collect();
    assert_eq!(log.into_inner().unwrap(), expected);
}

#[test]
fn a_deadlock_is_an_error_for_everybody() {
    let mut programs = Programs::new(Network::new(1));
    for last in 1..3 {
        programs.program(config(last), |mut stack, mut driver| {
            assert_eq!(driver.turn(&mut stack, None), Err(SimError::Deadlock));
            assert_eq!(driver.turn(&mut stack, None), Err(SimError::Deadlock));
        });
    }
    programs.run();
}

#[test]
fn a_time_limit_ends_what_would_go_on() {
    let mut programs = Programs::new(Network::new(1));
    programs.set_limit(Instant::from_secs(1));
    programs.program(config(1), |mut stack, mut driver| {
        let until = Instant::from_secs(2);
        assert_eq!(driver.turn(&mut stack, Some(until)), Err(SimError::TimeLimit));
    });
    programs.run();
}

#[test]
fn a_panic_in_a_program_goes_on_in_the_test() {
    let run = || {
        let mut programs = Programs::new(Network::new(1));
        programs.program(config(1), |mut stack, mut driver| {
            assert_eq!(driver.turn(&mut stack, None), Err(SimError::Panicked));
        });
        programs.program(config(2), |_, _| panic!("as expected"));
        programs.run();
    };
    let panic = catch_unwind(AssertUnwindSafe(run)).unwrap_err();
    assert_eq!(panic.downcast_ref::<&str>(), Some(&"as expected"));
}

#[test]
fn polling_does_not_stop_the_clock() {
    let config = config(1);
    let mut network = Network::new(1);
    let peer = network.host(self::config(2));
    let mut driver = SimDriver::alone(network, &config, |network, me| {
        network.link(me, peer, Link::lan());
    });
    let memory = Memory::allocate(&Limits::default());
    let mut stack = Stack::new(config, memory, Seed::from_u64(1));
    let id = stack.connect(driver.now(), "10.0.0.2:9".parse().unwrap(), None).unwrap();
    let mut turns = 0;
    while stack.connection(id).unwrap().close_reason().is_none() {
        driver.turn(&mut stack, Some(driver.now())).unwrap();
        turns += 1;
    }
    assert!((100..110).contains(&turns), "a round trip of 100 µs in {turns} turns");
}
