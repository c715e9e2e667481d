//! What operators do with programs, each of them tried with each program.

use std::collections::BTreeSet;
use std::fs;
use std::process::{Command, Stdio};

use crate::table::{End, Needs, PROGRAMS, Program};
use crate::world::{Ended, Running, World, closed_pipe, full_device, try_each, wait_for};

/// Starts what `program` does, and gives it something to do.
fn start(program: &Program, world: &World, args: &str, stdout: Stdio) -> Running {
    let mut running = world.start(program.name, args, stdout);
    if program.needs == Needs::Echo {
        running.type_in("good morning\n");
    }
    running
}

/// It ends with `status`, and complains in one line that has `word`; nothing else is printed.
fn assert_refuses(program: &Program, world: &World, args: &str, status: i32, word: &str) {
    assert_one_complaint(&world.start(program.name, args, Stdio::piped()).end(), status, word);
}

fn assert_one_complaint(ended: &Ended, status: i32, word: &str) {
    assert_eq!(ended.status.code(), Some(status), "{word}: {ended:?}");
    assert!(ended.stdout.is_empty(), "{ended:?}");
    assert_eq!(ended.stderr.lines().count(), 1, "{ended:?}");
    assert!(ended.stderr.starts_with("error: ") && ended.stderr.contains(word), "{ended:?}");
}

/// Lines that are no news of a connection or a client.
fn complaints(ended: &Ended) -> Vec<&str> {
    ended.stderr.lines().filter(|line| !line.starts_with("chat_")).collect()
}

#[test]
fn a_closed_pipe_is_an_end() {
    try_each(|program, world| {
        let mut running = start(program, world, program.runs, closed_pipe());
        if let End::BySignal(address) = program.end {
            match address {
                "" => running.let_it_begin(""),
                _ => wait_for(address),
            }
            running.interrupt(); // It has served without readers.
        }
        let ended = running.end();
        assert_eq!(ended.status.code(), Some(0), "{ended:?}");
        assert!(complaints(&ended).is_empty(), "{ended:?}");
    });
}

#[test]
fn a_full_device_is_an_error() {
    try_each(|program, world| {
        let ended = start(program, world, program.runs, full_device()).end();
        assert_eq!(ended.status.code(), Some(1), "{ended:?}");
        let [complaint] = complaints(&ended)[..] else { panic!("{ended:?}") };
        assert!(complaint.starts_with("error: standard output: "), "{complaint}");
    });
}

#[test]
fn an_interrupt_ends_it_in_order() {
    try_each(|program, world| {
        let (args, status, text) = program.long;
        let has_script = args.ends_with("MANY");
        if has_script {
            world.link_script();
        }
        let mut running = start(program, world, args, Stdio::piped());
        running.let_it_begin(if status == 0 { text } else { "" });
        running.interrupt();
        let ended = running.end();
        if has_script {
            world.remove("s");
        }
        assert_eq!(ended.status.code(), Some(status), "{ended:?}");
        assert!(ended.stdout.contains(text), "{text}: {ended:?}");
        let says_so = status == 0 || ended.stdout.contains("interrupted");
        assert!(says_so && complaints(&ended).is_empty(), "{ended:?}");
        for word in args.split(' ').filter(|word| word.ends_with(".pcapng")) {
            world.remove(word); // It was asked for, and is whole: `close` wrote its end.
        }
    });
}

#[test]
fn what_was_meant_is_told() {
    try_each(|program, world| {
        let (args, meant) = program.mistyped;
        assert_refuses(program, world, args, 2, &format!("did you mean '{meant}'?"));
    });
}

#[test]
fn bad_values_are_refused() {
    try_each(|program, world| {
        for (args, word) in program.bad {
            assert_refuses(program, world, args, 2, word);
        }
    });
}

#[test]
fn files_that_cannot_be_had_are_named() {
    try_each(|program, world| {
        for (args, status) in program.files {
            let file = args.split(' ').rfind(|word| word.contains(['/', '.'])).unwrap();
            assert_refuses(program, world, args, *status, file);
        }
        let help = world.start(program.name, "--help", Stdio::piped()).end().stdout;
        let knows = help.contains("FILE") || help.contains("JOURNAL");
        assert_eq!(knows, !program.files.is_empty(), "{help}");
    });
}

/// What is captured until the end can fail at the end.
#[test]
fn a_capture_without_room_is_named() {
    try_each(|program, world| {
        if program.name != "chat_server" {
            return;
        }
        let args = format!("{} --pcap /dev/full", program.runs);
        let mut running = world.start(program.name, &args, Stdio::piped());
        running.let_it_begin("");
        running.interrupt();
        let ended = running.end();
        let [complaint] = complaints(&ended)[..] else { panic!("{ended:?}") };
        assert!(complaint.starts_with("error: cannot write /dev/full: "), "{complaint}");
        assert_eq!(ended.status.code(), Some(1));
    });
}

/// As root with no capability at all; whoever is not root has none anyway.
#[test]
fn without_privilege_it_works_or_says_so() {
    let is_root = fs::metadata("/proc/self").is_ok_and(|own| {
        use std::os::unix::fs::MetadataExt as _;
        own.uid() == 0
    });
    let front: &[&str] = match is_root {
        true => &["setpriv", "--bounding-set=-all", "--inh-caps=-all"],
        false => &[],
    };
    try_each(|program, world| {
        if let Some(args) = program.privileged {
            let ended = world.start_behind(front, program.name, args, Stdio::piped()).end();
            assert_one_complaint(&ended, 1, "permission");
            return;
        }
        let ended = world.start_behind(front, program.name, program.runs, Stdio::piped()).end();
        assert!(ended.status.success() && complaints(&ended).is_empty(), "{ended:?}");
    });
}

#[test]
fn ipv6_by_a_plain_address() {
    try_each(|program, world| {
        let help = world.start(program.name, "--help", Stdio::piped()).end().stdout;
        let Some(args) = program.ipv6 else {
            assert!(!help.contains("addr") && !help.contains("ADDR"), "{help}");
            return;
        };
        let mut running = start(program, world, args, Stdio::piped());
        if program.end != End::ByItself {
            running.let_it_begin("");
            running.interrupt();
        }
        let ended = running.end();
        assert!(ended.status.success() && complaints(&ended).is_empty(), "{ended:?}");
    });
}

#[test]
fn an_address_of_the_kernel_is_refused() {
    try_each(|program, world| {
        let Some(args) = program.privileged else { return };
        world.give_kernel("10.9.0.2");
        let ended = world.start(program.name, args, Stdio::piped()).end();
        assert_one_complaint(&ended, 1, "10.9.0.2 is the kernel's, on lo");
    });
}

/// A client that is still connecting does not look at the first.
#[test]
fn a_second_interrupt_ends_it_at_once() {
    try_each(|program, world| {
        if program.name != "minitcp bench client" {
            return;
        }
        let args = "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --to 10.9.0.77";
        let mut running = world.start(program.name, args, Stdio::piped());
        running.let_it_begin("");
        running.interrupt();
        std::thread::sleep(std::time::Duration::from_millis(300));
        running.interrupt();
        let ended = running.end();
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&ended.status), Some(2));
        assert!(ended.stdout.is_empty(), "no intervals before there is a connection: {ended:?}");
    });
}

/// Whoever adds a program or a subcommand adds it to the table.
#[test]
fn every_program_is_in_the_table() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/src/bin");
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).unwrap() {
        let name = entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned();
        match name.as_str() {
            "minitcp" => add_commands(&mut found, &name),
            _ => assert!(found.insert(name)),
        }
    }
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    assert!(!manifest.contains("[[bin]]"), "a program elsewhere than in src/bin");
    let tried: BTreeSet<_> = PROGRAMS.iter().map(|program| program.name.to_owned()).collect();
    assert_eq!(found, tried);
}

/// Those that have no commands themselves, as `--help` lists them.
fn add_commands(found: &mut BTreeSet<String>, name: &str) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_minitcp"));
    let output = command.args(name.split(' ').skip(1)).arg("--help").output().unwrap();
    let help = String::from_utf8(output.stdout).unwrap();
    let Some((_, commands)) = help.split_once("\nCommands:\n") else {
        assert!(output.status.success() && found.insert(name.to_owned()), "{name}: {help}");
        return;
    };
    for line in commands.lines().take_while(|line| !line.is_empty()) {
        match line.split_whitespace().next() {
            Some("help") | None => {}
            Some(_) if !line.starts_with("  ") || line.starts_with("   ") => {} // A long text.
            Some(command) => add_commands(found, &format!("{name} {command}")),
        }
    }
}
