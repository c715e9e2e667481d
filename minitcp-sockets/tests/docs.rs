//! Does docs/sockets.md have a row for every call, option and flag, and does each test that it
//! names exist?

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A row of a table: the names in its first cell, and its last cell.
struct Row {
    names: Vec<String>,
    shown_by: String,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_path_buf()
}

fn page() -> String {
    fs::read_to_string(root().join("../docs/sockets.md")).unwrap()
}

/// All files with Rust code below `folder`, one after the other.
fn code(folder: &str) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    let mut folders = vec![root().join(folder)];
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let text = fs::read_to_string(&path).unwrap();
                found.push((path, text));
            }
        }
    }
    found
}

/// What stands between pairs of `mark`.
fn between(text: &str, mark: char) -> impl Iterator<Item = &str> {
    text.split(mark).skip(1).step_by(2)
}

/// `T::a`, `b` in a first cell are `T::a` and `T::b`.
fn rows() -> Vec<Row> {
    let mut rows = Vec::new();
    for line in page().lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<_> = line.trim_matches('|').split(" | ").collect();
        assert_eq!(cells.len(), 4, "call, Linux, MiniTCP, shown by: {line}");
        let mut prefix = String::new();
        let names = between(cells[0], '`').map(|name| match name.rsplit_once("::") {
            Some((before, _)) => {
                before.clone_into(&mut prefix);
                name.to_owned()
            }
            None => format!("{prefix}::{name}"),
        });
        rows.push(Row { names: names.collect(), shown_by: cells[3].to_owned() });
    }
    rows
}

/// The type that a line such as `impl<R: Runtime> TcpStream<R> {` is about; `None` for traits.
fn implemented(line: &str) -> Option<&str> {
    let mut rest = line.strip_prefix("impl")?;
    if rest.contains(" for ") {
        return None;
    }
    if rest.starts_with('<') {
        let mut depth = 0;
        let end = rest.find(|c| {
            depth += i32::from(c == '<') - i32::from(c == '>');
            depth == 0
        })?;
        rest = &rest[end + 1..];
    }
    let rest = rest.trim_start();
    rest.split(|c: char| !c.is_alphanumeric()).next()
}

/// `Type::call` for every public method of this crate's sockets and runtimes.
fn calls() -> BTreeSet<String> {
    let mut calls = BTreeSet::new();
    for (path, text) in code("src") {
        let path = path.strip_prefix(root().join("src")).unwrap().to_str().unwrap().to_owned();
        if path.starts_with("capi") || path.starts_with("host") {
            continue;
        }
        let prefix = if path.starts_with("aio") { "aio::" } else { "" };
        let mut current = None;
        for line in text.lines() {
            if line.starts_with("impl") {
                current = implemented(line);
            } else if line.starts_with('}') {
                current = None;
            }
            let words = ["    pub fn ", "    pub const fn ", "    pub async fn "];
            let method = words.iter().find_map(|words| line.strip_prefix(words));
            if let (Some(owner), Some(method)) = (current, method) {
                let name = method.split(['(', '<']).next().unwrap();
                calls.insert(format!("{prefix}{owner}::{name}"));
            }
        }
    }
    calls
}

/// `SocketOption::X` for every option; `MsgFlags::X` and `PollFlags::X` for every flag.
fn options_and_flags() -> BTreeSet<String> {
    let read = |file: &str| fs::read_to_string(root().join("src").join(file)).unwrap();
    let option = read("option.rs");
    let body = option.split("pub enum SocketOption {").nth(1).unwrap().split("\n}").next().unwrap();
    let variants = body.lines().map(str::trim).filter(|line| !line.starts_with("///"));
    let variants = variants.filter_map(|line| line.strip_suffix(','));
    let mut names: BTreeSet<_> = variants.map(|name| format!("SocketOption::{name}")).collect();
    assert!(names.len() >= 30, "{names:?}");
    let flags = minitcp_sockets::MsgFlags::all();
    names.extend(flags.iter_names().map(|(name, _)| format!("MsgFlags::{name}")));
    let flags = minitcp_sockets::PollFlags::all();
    names.extend(flags.iter_names().map(|(name, _)| format!("PollFlags::{name}")));
    names
}

#[test]
fn every_call_option_and_flag_has_a_row() {
    let documented: Vec<_> = rows().into_iter().flat_map(|row| row.names).collect();
    let known: BTreeSet<_> = documented.iter().cloned().collect();
    assert_eq!(documented.len(), known.len(), "a name has two rows");
    let mut there = calls();
    assert!(there.contains("Socket::bind") && there.contains("aio::TcpStream::connect"));
    there.extend(options_and_flags());
    there.insert("Runtime::poll".to_owned());
    let missing: Vec<_> = there.difference(&known).collect();
    let invented: Vec<_> = known.difference(&there).collect();
    assert!(
        missing.is_empty() && invented.is_empty(),
        "no row: {missing:?}\nno such: {invented:?}"
    );
}

#[test]
fn every_row_names_a_test_that_exists() {
    let tests: String = code("tests").into_iter().map(|(_, text)| text).collect();
    let programs: String =
        code("tests/differential/programs").into_iter().map(|(_, text)| text).collect();
    for Row { names, shown_by } in rows() {
        let functions: Vec<_> = between(&shown_by, '`').collect();
        let compared: Vec<_> = between(&shown_by, '*').collect();
        assert!(functions.len() + compared.len() > 0, "{names:?}: shown by nothing");
        for function in functions {
            let is_there = tests.contains(&format!("fn {function}()"));
            assert!(is_there, "{names:?}: there is no test {function}");
        }
        for program in compared {
            let is_there = programs.contains(&format!("(\"{program}\", "));
            assert!(is_there, "{names:?}: there is no program {program:?}");
        }
    }
}
