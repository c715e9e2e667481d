//! A small made-up tree: does the check see what is wrong with it?

use crate::citations::{self, Place};
use crate::report::Report;
use crate::{File, duvet, page};

const REQUIREMENTS: &str = "id\trfc\tsection\tlevel\tarea\trequirement\thow_to_test\tsource
MUST-1\tRFC 9293\t3.1\tMUST\twindow\tWindows are unsigned.\tSend 65535.\ttext
MAY-1\tRFC 9293\t3.6\tMAY\tclose\tReading may be forbidden.\tRead.\ttext
R768-1\tRFC 768\tFields\tMUST\tudp\tThe length is at least 8.\tSend 7.\ttext
";
const CODE: &str = "//! Windows.

/// MUST-1.
#[must_use]
pub const fn window(field: u16) -> u32 {
    field as u32
}

fn close() {
    // MAY-1: no more reading.
    forbid();
}
";
const TEST: &str = "/// MUST-1: not negative.
#[test]
fn large_windows() {
    assert_eq!(window(65535), 65535);
}
";
const SCRIPT: &str = "// MAY-1: who reads after a close gets an error\n+0 read(4, ..., 1) = -1\n";

/// A tree that is in order, with some files replaced or added.
fn tree(other: &[(&str, &str)]) -> Vec<File> {
    let mut files = vec![
        ("docs/conformance/conflicts.md", "| matter | decision |\n"),
        ("docs/conformance/requirements.tsv", REQUIREMENTS),
        ("docs/conformance/scope.txt", "# what was gone through\nRFC 9293\n"),
        ("docs/conformance/statements.tsv", "id\tkind\treason\n"),
        ("minitcp-driver-sim/tests/scripts/rfc9293/close.pkt", SCRIPT),
        ("minitcp-proto/src/window.rs", CODE),
        ("minitcp-proto/tests/window.rs", TEST),
    ];
    for (path, text) in other {
        files.retain(|(there, _)| there != path);
        files.push((path, text));
    }
    let owned = |(path, text): (&str, &str)| File { path: path.to_owned(), text: text.to_owned() };
    files.into_iter().map(owned).collect()
}

fn complaints(other: &[(&str, &str)]) -> String {
    Report::new(&tree(other)).unwrap().complaints().join("\n")
}

fn stated(line: &str) -> String {
    format!("id\tkind\treason\n{line}\n")
}

#[test]
fn a_tree_in_order_has_no_complaints() {
    assert_eq!(complaints(&[]), "");
}

#[test]
fn a_row_without_a_test_is_complained_of() {
    let found = complaints(&[("minitcp-proto/tests/window.rs", "")]);
    assert_eq!(found, "MUST-1: no test cites it, nothing is stated: Windows are unsigned.");
}

#[test]
fn a_row_without_a_line_is_complained_of() {
    let found = complaints(&[("minitcp-proto/src/window.rs", "// MAY-1\nfn close() {}\n")]);
    assert_eq!(found, "MUST-1: no line of code cites it: Windows are unsigned.");
}

#[test]
fn what_is_not_run_shows_nothing() {
    for text in [
        TEST.replace("#[test]", ""),
        TEST.replace("#[test]", "#[test]\n#[ignore = \"takes long\"]"),
        format!("//! MUST-1\n{}", TEST.replace("MUST-1", "")),
        TEST.replace("/// MUST-1", "const TEXT: &str = \"MUST-1\";"),
        TEST.replace("/// MUST-1: not negative.\n", "")
            .replace("assert_eq!(", "let _ = \"// MUST-1\";("),
    ] {
        let found = complaints(&[("minitcp-proto/tests/window.rs", &text)]);
        assert!(found.starts_with("MUST-1: no test cites it"), "{found:?} of {text}");
    }
}

#[test]
fn an_unknown_id_is_complained_of_wherever_it_stands() {
    for (path, text) in [
        ("minitcp-proto/src/other.rs", "// MUST-70\nfn other() {}\n"),
        ("minitcp-driver-sim/tests/scripts/other.pkt", "// R768-1, MUST-70: other\n"),
        ("docs/other.md", "As MUST-70 says.\n"),
    ] {
        let found = complaints(&[(path, text)]);
        assert_eq!(found, format!("{path}:1: no requirement is called MUST-70"));
    }
    let statements = stated("MUST-70\topen\tnot there");
    let found = complaints(&[("docs/conformance/statements.tsv", &statements)]);
    assert_eq!(found, "statements.tsv: no requirement is called MUST-70");
    let found = complaints(&[("docs/conformance/scope.txt", "RFC 9293\nRFC 1\n")]);
    assert_eq!(found, "scope.txt: no requirement is of RFC 1");
}

#[test]
fn a_statement_stands_for_a_test() {
    for kind in ["deviation", "absent", "open"] {
        let statements = stated(&format!("MUST-1\t{kind}\tfor a reason"));
        let without_test = [
            ("docs/conformance/statements.tsv", statements.as_str()),
            ("minitcp-proto/tests/window.rs", ""),
        ];
        assert_eq!(complaints(&without_test), "");
        let page = page::render(&Report::new(&tree(&without_test)).unwrap());
        assert!(page.contains(&format!("| *{kind}*: for a reason |\n")), "{page}");
    }
}

#[test]
fn an_open_row_that_got_a_test_must_leave_the_list() {
    for (kind, complains) in [("open", true), ("absent", true), ("deviation", false)] {
        let statements = stated(&format!("MUST-1\t{kind}\tfor a reason"));
        let found = complaints(&[("docs/conformance/statements.tsv", &statements)]);
        assert_eq!(found.contains("minitcp-proto/tests/window.rs:1 shows it"), complains, "{kind}");
    }
}

#[test]
fn a_statement_needs_a_kind_and_a_reason() {
    for line in ["MUST-1\topen", "MUST-1\topen\t ", "MUST-1\tlater\tsome day", "MUST-1\topen\ta\tb"]
    {
        let files = tree(&[("docs/conformance/statements.tsv", &stated(line))]);
        assert!(Report::new(&files).is_err(), "{line}");
    }
    let twice = stated("MUST-1\topen\ta\nMUST-1\topen\tb");
    assert!(Report::new(&tree(&[("docs/conformance/statements.tsv", &twice)])).is_err());
}

#[test]
fn a_page_that_is_not_what_would_be_written_is_stale() {
    let files = tree(&[]);
    let page = page::render(&Report::new(&files).unwrap());
    assert_eq!(page::stale(&page, &page), None);
    for other in ["", &page[..page.len() - 1], &page.replace("MUST-1", "MUST-2")] {
        assert!(page::stale(other, &page).is_some());
    }
    let moved = tree(&[("minitcp-proto/tests/window.rs", &TEST.replace("large", "huge"))]);
    let moved = page::render(&Report::new(&moved).unwrap());
    assert!(page::stale(&page, &moved).unwrap().contains("not up to date"));
}

#[test]
fn the_page_names_the_item_and_the_test() {
    let page = page::render(&Report::new(&tree(&[])).unwrap());
    let row = "| MUST-1 | 3.1 | MUST | Windows are unsigned. \
        | [`proto/window::window`](../minitcp-proto/src/window.rs) \
        | [`proto/tests/window::large_windows`](../minitcp-proto/tests/window.rs) |\n";
    assert!(page.contains(row), "{page}");
    assert!(page.contains("[`proto/window::close`]"), "{page}");
    assert!(page.contains("[`rfc9293/close`](../minitcp-driver-sim/"), "{page}");
    assert!(page.contains("| RFC 9293 | 2 | 2 | 0 | 0 | 0 |\n"), "{page}");
    assert!(page.contains("\n768 (0 of 1).\n"), "{page}");
}

#[test]
fn a_comment_belongs_to_what_it_is_about() {
    let text = "//! R768-1 is the file's.
pub struct Config {
    /// MUST-1.
    pub window: u32,
}
impl Config {
    // MUST-1: above a method that has no function around it.
    pub(crate) const fn window(&self) -> u32 {
        self.window // MUST-1 on the line itself
    }
}
#[cfg(test)]
mod tests {
    #[test]
    fn windows() {
        // MUST-1 inside of a test.
    }
}
";
    let file = File { path: "minitcp-proto/src/config.rs".to_owned(), text: text.to_owned() };
    let found: Vec<_> = citations::find(&file)
        .into_iter()
        .map(|it| (it.line, it.item.unwrap_or("-").to_owned(), it.place))
        .collect();
    let expected = [
        (1, "-", Place::Code),
        (3, "window", Place::Code),
        (7, "window", Place::Code),
        (9, "window", Place::Code),
        (16, "windows", Place::Test),
    ];
    assert_eq!(found, expected.map(|(line, item, place)| (line, item.to_owned(), place)));
}

#[test]
fn the_report_for_duvet_points_from_each_line_to_what_covers_it() {
    let statements = stated("MAY-1\tdeviation\tsays \"no\"");
    let files = tree(&[("docs/conformance/statements.tsv", &statements)]);
    let json = duvet::render(&Report::new(&files).unwrap());
    let count = |what: &str| json.matches(what).count();
    assert_eq!((count("{"), count("[")), (count("}"), count("]")), "{json}");
    assert!(json.contains(r#"[[[0,1,2],244,"MUST-1: Windows are unsigned."]]"#), "{json}");
    assert!(json.contains(r#"says \"no\""#), "{json}");
    assert!(json.contains(r#""0":{"spec":1,"citation":1,"test":1,"related":[1,2]}"#), "{json}");
    assert_eq!(count(r#""type":"EXCEPTION""#), 1);
    assert_eq!(count(r#""level":"MUST"}"#) + count(r#""level":"MUST","#), 64 + 2);
}
