//! The library for C, from C: does it build with gcc, and do the programs in `tests/c` find what
//! the header and `docs/capi.md` say? They also run under valgrind where it is installed.
//!
//! cargo has no target for "a C program", so the tests build the library themselves, in a folder
//! of their own: no other cargo has that locked.

use std::collections::BTreeSet;
use std::env;
use std::fs::{self, File};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::thread;

const FLAGS: &[&str] = &["-std=c99", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "-g", "-O1"];

/// What a program that links the archive links beside it.
const WITH_ARCHIVE: &[&str] = &["-lpthread", "-ldl", "-lm"];

fn package() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn include() -> PathBuf {
    package().join("include")
}

fn programs() -> PathBuf {
    package().join("tests/c")
}

fn scratch() -> &'static Path {
    Path::new(env!("CARGO_TARGET_TMPDIR"))
}

/// Runs a command that must succeed, and returns what it printed.
fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{command:?}: {}\n{stdout}{stderr}", output.status);
    // A panic inside the library is an error to C, and should not be there at all.
    assert!(!stderr.contains("panicked"), "{command:?}:\n{stderr}");
    stdout
}

/// The folder of the library, built once.
fn library() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let script = package().parent().unwrap().join("scripts/build-capi.sh");
        let mut build = Command::new(script);
        let built = run(build.arg("--debug").env("CARGO_TARGET_DIR", scratch().join("capi")));
        PathBuf::from(built.trim())
    })
}

/// Whether `tool` can be had. CI has to have it.
fn is_installed(tool: &str) -> bool {
    let found = Command::new(tool).arg("--version").output().is_ok();
    if !found {
        assert!(env::var_os("CI").is_none(), "{tool} is not installed");
        let test = thread::current().name().unwrap_or_default().to_owned();
        let text = format!("part of {test}: {tool} is not installed");
        eprintln!("SKIP: {text}");
        // Where scripts/test.sh counts.
        if let Some(path) = env::var_os("MINITCP_SKIPPED") {
            let mut file = File::options().create(true).append(true).open(path).unwrap();
            writeln!(file, "{text}").unwrap();
        }
    }
    found
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Shared,
    Archive,
}

fn compile(name: &str, link: Link) -> PathBuf {
    let program = scratch().join(format!("{name}-{link:?}"));
    let mut gcc = Command::new("gcc");
    gcc.args(FLAGS).arg("-I").arg(include());
    gcc.arg(programs().join(name).with_extension("c")).arg("-o").arg(&program);
    match link {
        Link::Shared => {
            gcc.arg("-L").arg(library()).arg("-lminitcp_sockets").arg("-pthread");
            gcc.arg(format!("-Wl,-rpath,{}", library().display()));
        }
        Link::Archive => {
            gcc.arg(library().join("libminitcp_sockets.a")).args(WITH_ARCHIVE);
        }
    }
    run(&mut gcc);
    program
}

/// Runs a program as it is, with both kinds of library, and under valgrind, where what takes
/// long is left out.
fn works(name: &str) {
    for link in [Link::Shared, Link::Archive] {
        run(&mut Command::new(compile(name, link)));
    }
    if is_installed("valgrind") {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--quiet", "--error-exitcode=99", "--fair-sched=yes"]);
        valgrind.args(["--leak-check=full", "--show-leak-kinds=definite,possible"]);
        valgrind.arg("--errors-for-leak-kinds=definite,possible");
        run(valgrind.arg(scratch().join(format!("{name}-{:?}", Link::Shared))).arg("--brief"));
    }
}

#[test]
fn two_stacks_talk_in_virtual_time() {
    works("packets");
}

#[test]
fn misuse_is_an_error_and_no_more() {
    works("misuse");
}

#[test]
fn many_buffers_are_one_call() {
    works("messages");
}

#[test]
fn each_setting_does_what_the_header_says() {
    works("settings");
}

#[test]
fn any_thread_may_call_anything() {
    works("threads");
}

#[test]
fn the_example_answers() {
    works("example");
    let program = scratch().join("example-Shared");
    assert_eq!(run(&mut Command::new(program)), "answer: me\n");
}

#[test]
fn the_manual_shows_the_example_and_every_function() {
    let manual = fs::read_to_string(package().parent().unwrap().join("docs/capi.md")).unwrap();
    let example = fs::read_to_string(programs().join("example.c")).unwrap();
    assert!(manual.contains(&format!("```c\n{example}```\n")), "the example differs");
    let table = manual.split("## Functions and their errors").nth(1).unwrap();
    for name in declared() {
        assert!(table.contains(&format!("`{name}`")), "{name} is not there");
    }
}

#[test]
fn the_header_stands_alone() {
    compile("header", Link::Shared);
    if is_installed("g++") {
        for standard in ["-std=c++98", "-std=c++20"] {
            let mut gxx = Command::new("g++");
            gxx.args([standard, "-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-x", "c++"]);
            run(gxx.arg("-I").arg(include()).arg(programs().join("header.c")));
        }
    }
}

/// Functions that the header declares: names that a parenthesis follows, outside of comments.
fn declared() -> BTreeSet<String> {
    let header = fs::read_to_string(include().join("minitcp.h")).unwrap();
    let code: String = header
        .split("/*")
        .enumerate()
        .map(|(index, part)| match index {
            0 => part,
            _ => part.split_once("*/").expect("comments end").1,
        })
        .collect();
    let name_before = |text: &str| {
        let start = text.rfind(|c: char| !(c.is_alphanumeric() || c == '_')).map_or(0, |at| at + 1);
        text[start..].to_owned()
    };
    let parts: Vec<_> = code.split('(').collect();
    let names = parts[..parts.len() - 1].iter().map(|part| name_before(part));
    names.filter(|name| name.starts_with("minitcp_")).collect()
}

fn exported(nm_flags: &[&str], library: &Path) -> BTreeSet<String> {
    let symbols = run(Command::new("nm").args(nm_flags).arg(library));
    let name = |line: &str| line.split_once(" T ").map(|(_, name)| name.to_owned());
    symbols.lines().filter_map(name).collect()
}

#[test]
fn the_header_has_what_the_library_has() {
    let declared = declared();
    assert!(declared.len() > 20 && declared.contains("minitcp_poll"), "{declared:?}");
    let shared = library().join("libminitcp_sockets.so");
    assert_eq!(exported(&["--dynamic", "--defined-only"], &shared), declared);
    let archive = exported(&["--defined-only"], &library().join("libminitcp_sockets.a"));
    let archive: BTreeSet<_> = archive.into_iter().filter(|n| n.starts_with("minitcp_")).collect();
    assert_eq!(archive, declared);
}
