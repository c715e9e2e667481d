//! A journal replayed without the programs that wrote it: the same packets, or one clear error.

use core::time::Duration;
use std::net::Ipv4Addr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use minitcp_driver_sim::swarm::{self, Reduction};
use minitcp_driver_sim::{
    Journal, JournalError, Link, Network, Programs, Recorder, Replay, Seen, Tap, Transfer,
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
fn a_replay_can_be_stopped() {
    let (text, _) = transfer(1, 300_000);
    let journal = Journal::read(&text).unwrap();
    let stopped_after = |steps: u64| {
        let asked = AtomicU64::new(0);
        let keep_on = || asked.fetch_add(1, Ordering::Relaxed) < steps;
        journal.replay_while(|_| {}, keep_on).map(|_| ()).unwrap_err()
    };
    let (early, late) = (stopped_after(0), stopped_after(200));
    assert!(early.to_string().contains("stopped"), "{early}");
    assert!(early.line <= late.line && late.line < text.lines().count(), "{early}, {late}");
    assert!(journal.replay_while(|_| {}, || true).unwrap().is_same());
}

#[test]
fn a_link_that_changes_happens_again() {
    let mut network = Network::recorded(1);
    let limits = Limits { connections: 4, buffer_bytes: 1 << 20, ..Limits::default() };
    let [a, b] = [1, 2].map(|last| network.recorded_host(config(last), &limits));
    let delay = |millis| Link::new().rate(8_000_000).delay(Duration::from_millis(millis));
    let link = network.link(a, b, delay(5));
    let running = Transfer::new(1 << 20).start(&mut network, a, b);
    network.run_until(Instant::from_millis(100));
    network.change_link_asymmetric(link, delay(200), delay(10));
    network.run_until(Instant::from_millis(1_000));
    network.change_link(link, delay(1));
    network.run_until(Instant::from_secs(100));
    assert!(running.outcome().is_success(), "{}", running.outcome());
    let text = network.journal().unwrap();
    assert!(text.contains("\nchange 0 delay=200ms,rate=8M delay=10ms,rate=8M\n"), "{text}");
    assert!(text.contains("\nchange 0 delay=1ms,rate=8M\n"), "{text}");
    let replay = replay(&text).unwrap();
    assert_eq!((replay.packet_hash, replay.is_same()), (network.packet_hash(), true));
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
    for seed in 0..300 {
        let text = swarm::record(seed, Reduction::NOTHING);
        let replay = replay(&text).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(replay.is_same(), "seed {seed}");
        // Of a run that is found wrong, the journal ends there.
        if let Ok(report) = swarm::run(seed) {
            assert_eq!(replay.packet_hash, report.packet_hash, "seed {seed}");
            assert_eq!(replay.network.stats().packets, report.packets, "seed {seed}");
        }
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

/// A short journal in which everything occurs that a transfer does.
fn short() -> String {
    transfer(1, 4_000).0
}

/// The replay of what was never written: one error at a line that there is, or another run.
fn assert_is_survived(text: &str, lines: usize) {
    if let Err(error) = replay(text) {
        assert!((1..=lines + 1).contains(&error.line), "{error}");
        let told = error.to_string();
        assert!(told.starts_with(&format!("line {} of the journal: ", error.line)), "{told}");
    }
}

#[test]
fn a_journal_that_was_cut_off_is_refused() {
    let text = short();
    let lines = text.lines().count();
    for at in 0..text.len() {
        let error = replay(&text[..at]).err().unwrap_or_else(|| panic!("cut at {at}"));
        assert!(error.line <= lines, "cut at {at}: {error}");
    }
    let error = Journal::read(&text[..text.len() - "done\n".len()]).unwrap_err();
    let expected = format!("line {} of the journal: ends before \"done\"", lines - 1);
    assert_eq!(error.to_string(), expected);
}

/// The lines of `text` without those at `left_out`.
fn without(text: &str, left_out: impl Fn(usize) -> bool) -> String {
    let kept = text.lines().enumerate().filter(|(index, _)| !left_out(*index));
    kept.map(|(_, line)| format!("{line}\n")).collect()
}

#[test]
fn a_program_without_an_end_is_found_out() {
    let mut programs = Programs::new(Network::recorded(1));
    for last in 1..=4 {
        programs.recorded_program(config(last), |mut stack, _| {
            stack.listen("0.0.0.0:7".parse().unwrap(), 4).unwrap();
        });
    }
    let text = programs.run().journal().unwrap();
    let lines = text.lines().count();
    assert!(replay(&text).unwrap().is_same());
    for from in 0..lines {
        for to in from + 1..=lines {
            assert_is_survived(&without(&text, |at| (from..to).contains(&at)), lines);
        }
    }
}

#[test]
fn a_line_that_is_missing_is_found_out() {
    let text = short();
    let lines: Vec<&str> = text.lines().collect();
    let mut missed = 0;
    for left_out in 0..lines.len() {
        let rest = without(&text, |at| at == left_out);
        // Some lines change nothing, such as a read that had nothing to read.
        missed += usize::from(replay(&rest).is_ok_and(|replay| replay.is_same()));
        assert_is_survived(&rest, lines.len());
    }
    assert!(missed * 3 < lines.len(), "{missed} of {} lines make no difference", lines.len());
}

#[test]
fn no_change_of_a_journal_breaks_the_replay() {
    let text = short();
    let lines = text.lines().count();
    // A generator of its own, so that a failure names what it was.
    let mut state = 1_u64;
    let mut draw = |below: usize| {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(state >> 33).unwrap() % below
    };
    let mut differ = 0;
    for _ in 0..1_500 {
        let mut changed = text.clone().into_bytes();
        for _ in 0..=draw(2) {
            let at = draw(changed.len());
            let octet = b"0123456789abcdefx@+-=./: \n"[draw(26)];
            match draw(3) {
                0 => changed[at] = octet,
                1 => changed.insert(at, octet),
                _ => drop(changed.remove(at)),
            }
        }
        let changed = String::from_utf8(changed).unwrap();
        differ += usize::from(!replay(&changed).is_ok_and(|replay| replay.is_same()));
        assert_is_survived(&changed, lines + 4);
    }
    assert!(differ > 1_200, "only {differ} changes made a difference");
}

#[test]
fn what_is_wrong_is_named_with_its_line() {
    let text = short();
    let change = |from: &str, to: &str| {
        assert!(text.contains(from), "{from}: {text}");
        let line = text[..text.find(from).unwrap()].lines().count();
        (text.replacen(from, to, 1), line.max(1))
    };
    for (from, to, expected) in [
        ("minitcp-journal 1", "minitcp-journal 2", "does not begin with"),
        ("seed 1", "seed one", "not seed NUMBER"),
        ("\n1 listen", "\n7 listen", "there is no such host"),
        ("\n1 listen", "\n1 whistle", "no such call"),
        ("\n1 listen 10.0.0.2:80", "\n1 listen 10.0.0.2", "a word that cannot stand here"),
        ("\n0 send 0.0", "\n0 send 9.0", "there is no such connection"),
        ("\nlink 0 1", "\nlink 0 2", "there is no such node"),
        (",loss=", ",colour=", "no link that can be written"),
        ("seed 1", "seed 2", "now"),
        ("\n0 connect 0s 10.0.0.2:80", "\n0 connect 0s 10.0.0.2:81", "now"),
    ] {
        let (changed, line) = change(from, to);
        let error = replay(&changed).err().unwrap_or_else(|| panic!("{to}"));
        assert!(error.to_string().contains(expected), "{to}: {error}");
        assert!(error.line >= line, "{to}: {error} before line {line}");
    }
}

#[test]
fn what_cannot_be_recorded_says_so() {
    let mut network = Network::recorded(1);
    let [a, b] = [1, 2].map(|last| network.recorded_host(config(last), &Limits::default()));
    network.link(a, b, Link::new().when(minitcp_driver_sim::Fault::Drop, |n, _| n == 3));
    assert!(Transfer::new(10).run(&mut network, a, b).is_success());
    let error = Journal::read(&network.journal().unwrap()).unwrap_err();
    assert_eq!(error.line, 6, "{error}");

    let mut programs = Programs::new(Network::recorded(1));
    programs.program(config(1), |_, _| {});
    let text = programs.run().journal().unwrap();
    let error = Journal::read(&text).unwrap_err().to_string();
    assert!(error.contains("could not be recorded: a program"), "{error}");

    assert_eq!(Network::<Recorder>::observed(1).journal(), None);
}

/// Stands for a defect: panics at the so-and-so-many-th packet that a node sees, unless mended.
struct Fragile {
    at: Option<u64>,
    seen: Arc<AtomicU64>,
}

impl Tap for Fragile {
    fn packet(&mut self, _: &Seen<'_>) {
        let seen = self.seen.fetch_add(1, Ordering::Relaxed) + 1;
        assert!(self.at != Some(seen), "one packet too many");
    }
}

fn fragile(at: Option<u64>) -> (Fragile, Arc<AtomicU64>) {
    let seen = Arc::new(AtomicU64::new(0));
    (Fragile { at, seen: Arc::clone(&seen) }, seen)
}

#[test]
fn a_run_that_panics_leaves_a_journal_that_leads_there_again() {
    for at in [1, 2, 50, 400] {
        let mut network = Network::recorded(3);
        let [a, b] = [1, 2].map(|last| network.recorded_host(config(last), &Limits::default()));
        network.link(a, b, Link::dsl().loss(0.05));
        network.tap(fragile(Some(at)).0);
        let draft = network.draft().unwrap();
        let run = move || Transfer::new(300_000).run(&mut network, a, b);
        assert!(catch_unwind(AssertUnwindSafe(run)).is_err());
        let text = draft.text().unwrap();
        let journal = Journal::read(&text).unwrap();
        let again = || journal.replay(|network| network.tap(fragile(Some(at)).0));
        assert!(catch_unwind(AssertUnwindSafe(again)).is_err(), "packet {at} did not come");
        // Without the defect it goes at least as far, and may then part from what was written.
        let (mended, seen) = fragile(None);
        let _ = journal.replay(|network| network.tap(mended));
        assert!(seen.load(Ordering::Relaxed) >= at, "packet {at}");
    }
}
