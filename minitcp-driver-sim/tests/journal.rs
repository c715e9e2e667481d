//! A journal replayed without the programs that wrote it: the same packets, or one clear error.

use core::time::Duration;
use std::net::Ipv4Addr;

use minitcp_driver_sim::swarm::{self, Reduction};
use minitcp_driver_sim::{
    Journal, JournalError, Link, Network, Programs, Recorder, Replay, Transfer,
};
use minitcp_proto::{Config, Driver, Instant, Limits, RecvError, Stack};

fn config(last: u8) -> Config {
    Config::new(Ipv4Addr::new(10, 0, 0, last), 24)
}

fn replay(text: &str) -> Result<Replay, JournalError> {
    Journal::read(text)?.replay(|_| {})
}

/// A transfer over a bad link; its journal and its hash.
fn transfer(seed: u64, bytes: u64) -> (String, u64) {
    let mut network = Network::recorded(seed);
    let limits = Limits { connections: 4, buffer_bytes: 1 << 20, ..Limits::default() };
    let [a, b] = [1, 2].map(|last| network.recorded_host(config(last), &limits));
    let link = Link::dsl().loss(0.05).corrupt(0.01).reorder(0.02, Duration::from_millis(5));
    network.link(a, b, link);
    let outcome = Transfer::new(bytes).run(&mut network, a, b);
    assert!(outcome.is_success(), "{outcome}");
    (network.journal().unwrap(), network.packet_hash())
}

#[test]
fn a_transfer_happens_again_without_its_programs() {
    for seed in 0..8 {
        let (text, hash) = transfer(seed, 300_000);
        let replay = replay(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!((replay.packet_hash, replay.recorded_hash), (hash, hash), "seed {seed}");
        assert!(replay.network.stats().lost_in_all() > 0, "the faults happened again, too");
        // Octets that repeat are written once: the pattern of a transfer is 65,521 octets.
        assert!(text.len() < 400_000, "{} octets of journal", text.len());
    }
}

#[test]
fn recording_changes_nothing() {
    let (mut network, a, b) = Network::pair(3, Link::dsl().loss(0.1));
    assert!(Transfer::new(50_000).run(&mut network, a, b).is_success());
    let mut recorded = Network::recorded(3);
    for node in [a, b] {
        let limits = Limits { connections: 16, buffer_bytes: 2 << 20, ..Limits::default() };
        recorded.recorded_host(network.stack(node).config().clone(), &limits);
    }
    recorded.link(a, b, Link::dsl().loss(0.1));
    assert!(Transfer::new(50_000).run(&mut recorded, a, b).is_success());
    assert_eq!(recorded.packet_hash(), network.packet_hash());
}

#[test]
fn what_the_swarm_does_happens_again() {
    for seed in 0..200 {
        let report = swarm::run(seed).unwrap_or_else(|failure| panic!("{failure}"));
        let text = swarm::record(seed, Reduction::NOTHING);
        let replay = replay(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(replay.packet_hash, report.packet_hash, "seed {seed}");
        assert_eq!(replay.network.stats().packets, report.packets, "seed {seed}");
    }
}

type Host = Stack<'static, Recorder>;

/// A blocking echo of one connection; returns when the client has closed.
fn serve<D: Driver>(stack: &mut Host, driver: &mut D)
where
    D::Error: core::fmt::Debug,
{
    let listener = stack.listen("10.0.0.1:7".parse().unwrap(), 4).unwrap();
    let id = loop {
        if let Some(id) = stack.accept(listener) {
            break id;
        }
        driver.turn(stack, None).unwrap();
    };
    let mut buffer = [0; 1_000];
    loop {
        let mut connection = stack.connection(id).unwrap();
        match connection.recv(&mut buffer) {
            Ok(0) => break connection.close(),
            Ok(count) => assert_eq!(connection.send(&buffer[..count]), Ok(count)),
            Err(RecvError::WouldBlock) => driver.turn(stack, None).unwrap(),
            Err(error) => panic!("{error}"),
        }
    }
    while stack.usage().connections > 0 {
        driver.turn(stack, None).unwrap();
    }
}

/// Programs on two hosts; their journal and hash.
fn programs(seed: u64) -> (String, u64) {
    let mut programs = Programs::new(Network::recorded(seed));
    programs.set_limit(Instant::from_secs(3_600));
    let server = programs.recorded_program(config(1), |mut stack, mut driver| {
        serve(&mut stack, &mut driver);
    });
    let client = programs.recorded_program(config(2), |mut stack, mut driver| {
        let id = stack.connect(driver.now(), "10.0.0.1:7".parse().unwrap(), None).unwrap();
        for number in 0..20_u64 {
            let pause = driver.now() + Duration::from_millis(number);
            while driver.now() < pause {
                driver.turn(&mut stack, Some(pause)).unwrap();
            }
            stack.connection(id).unwrap().send(&number.to_be_bytes()).unwrap();
            let mut answer = Vec::new();
            while answer.len() < 8 {
                let mut buffer = [0; 8];
                match stack.connection(id).unwrap().recv(&mut buffer) {
                    Ok(count) => answer.extend_from_slice(&buffer[..count]),
                    Err(_) => driver.turn(&mut stack, None).unwrap(),
                }
            }
            assert_eq!(answer, number.to_be_bytes());
        }
        stack.connection(id).unwrap().close();
        while stack.usage().time_wait == 0 {
            driver.turn(&mut stack, None).unwrap();
        }
    });
    programs.network().link(server, client, Link::lossy(0.1).jitter(Duration::from_millis(1)));
    let network = programs.run();
    (network.journal().unwrap(), network.packet_hash())
}

#[test]
fn blocking_programs_happen_again() {
    for seed in 0..20 {
        let (text, hash) = programs(seed);
        let replay = replay(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}\n{text}"));
        assert_eq!((replay.packet_hash, replay.is_same()), (hash, true), "seed {seed}");
    }
}
