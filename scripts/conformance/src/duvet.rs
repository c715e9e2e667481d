//! The report in the form of `duvet report --json`, for who knows the tool
//! (<https://github.com/awslabs/duvet>). Sections have the requirements in our own words in place of
//! the RFC's text.

use crate::catalogue::{Kind, Row};
use crate::citations::Place;
use crate::report::Report;

struct Annotation<'a> {
    source: &'a str,
    line: usize,
    /// As duvet calls it; the bit is that of its table `refs`.
    kind: &'static str,
    bit: usize,
    comment: &'a str,
}

pub fn render(report: &Report) -> String {
    let mut annotations = Vec::new();
    let mut statuses = Vec::new();
    let mut specifications = Vec::new();
    for rfc in report.catalogue.rfcs() {
        let rows: Vec<&Row> = report.catalogue.rows.iter().filter(|row| row.rfc == rfc).collect();
        let mut names: Vec<&str> = rows.iter().map(|row| row.section.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        let (mut ids, mut sections) = (Vec::new(), Vec::new());
        for section in names {
            let (mut lines, mut here) = (Vec::new(), Vec::new());
            for row in rows.iter().filter(|row| row.section == section) {
                let of_row = annotations_of(report, row);
                let first = annotations.len();
                let (last, bits) =
                    (first + of_row.len(), of_row.iter().fold(0, |bits, it| bits | it.bit));
                let all: Vec<String> = (first..last).map(|id| id.to_string()).collect();
                let text = string(&format!("{}: {}", row.id, row.requirement));
                lines.push(format!("[[[{}],{},{text}]]", all.join(","), bits + 64 * level(row)));
                statuses.push(status(first, &of_row, &all[1..]));
                annotations.extend(of_row.iter().map(|it| annotation(it, row)));
                here.push(first.to_string());
            }
            sections.push(format!(
                r#"{{"id":{},"title":{},"lines":[{}],"requirements":[{}]}}"#,
                string(&format!("section-{section}")),
                string(&format!("Section {section}")),
                lines.join(","),
                here.join(",")
            ));
            ids.extend(here);
        }
        specifications.push(format!(
            r#"{}:{{"title":{},"format":"ietf","requirements":[{}],"sections":[{}]}}"#,
            string(&url(rfc)),
            string(rfc),
            ids.join(","),
            sections.join(",")
        ));
    }
    let refs: Vec<String> = (0..4 * 64).map(reference).collect();
    format!(
        "{{\"specifications\":{{{}}},\"annotations\":[{}],\"statuses\":{{{}}},\"refs\":[{}]}}\n",
        specifications.join(","),
        annotations.join(","),
        statuses.join(","),
        refs.join(",")
    )
}

/// The requirement itself, and all that is said of it.
fn annotations_of<'a>(report: &'a Report, row: &Row) -> Vec<Annotation<'a>> {
    let source = "docs/conformance/requirements.tsv";
    let mut found = vec![Annotation { source, line: row.line, kind: "SPEC", bit: 32, comment: "" }];
    for (place, kind, bit) in [(Place::Code, "CITATION", 16), (Place::Test, "TEST", 4)] {
        found.extend(report.at(row, place).map(|it| Annotation {
            source: it.path,
            line: it.line,
            kind,
            bit,
            comment: it.item.unwrap_or_default(),
        }));
    }
    if let Some(statement) = report.catalogue.statements.get(&row.id) {
        let (kind, bit) = if statement.kind == Kind::Open { ("TODO", 1) } else { ("EXCEPTION", 2) };
        let source = "docs/conformance/statements.tsv";
        found.push(Annotation { source, line: 0, kind, bit, comment: &statement.reason });
    }
    found
}

fn annotation(it: &Annotation, row: &Row) -> String {
    let mut text = format!(
        r#"{{"source":{},"target_path":{},"target_section":{}"#,
        string(it.source),
        string(&url(&row.rfc)),
        string(&format!("section-{}", row.section))
    );
    if it.line > 0 {
        text += &format!(r#","line":{}"#, it.line);
    }
    if it.kind != "CITATION" {
        text += &format!(r#","type":"{}""#, it.kind);
    }
    if it.kind == "SPEC" {
        text += &format!(r#","level":"{}""#, LEVELS[level(row)]);
    }
    text + &format!(r#","comment":{}}}"#, string(it.comment))
}

/// How many octets of the requirement are covered by what.
fn status(id: usize, of_row: &[Annotation], related: &[String]) -> String {
    let mut fields = vec![r#""spec":1"#.to_owned()];
    for (kind, name) in
        [("CITATION", "citation"), ("TEST", "test"), ("EXCEPTION", "exception"), ("TODO", "todo")]
    {
        if of_row.iter().any(|it| it.kind == kind) {
            fields.push(format!(r#""{name}":1"#));
        }
    }
    fields.push(format!(r#""related":[{}]"#, related.join(",")));
    format!(r#""{id}":{{{}}}"#, fields.join(","))
}

/// An entry of the table that lines point into: bits of what covers them, and the level.
fn reference(number: usize) -> String {
    let names = ["todo", "exception", "test", "implication", "citation", "spec"];
    let set = names.iter().enumerate().filter(|(bit, _)| number >> bit & 1 == 1);
    let mut fields: Vec<String> = set.map(|(_, name)| format!(r#""{name}":true"#)).collect();
    if number >= 64 {
        fields.push(format!(r#""level":"{}""#, LEVELS[number / 64]));
    }
    format!("{{{}}}", fields.join(","))
}

const LEVELS: [&str; 4] = ["AUTO", "MAY", "SHOULD", "MUST"];

fn level(row: &Row) -> usize {
    match row.level.trim_end_matches(" NOT") {
        "MUST" => 3,
        "SHOULD" => 2,
        _ => 1,
    }
}

fn url(rfc: &str) -> String {
    format!("https://www.rfc-editor.org/rfc/{}", rfc.to_lowercase().replace(' ', ""))
}

fn string(text: &str) -> String {
    let mut escaped = String::from('"');
    for c in text.chars() {
        match c {
            '"' => escaped.push_str("\\\""),
            '\\' => escaped.push_str("\\\\"),
            c if c < ' ' => escaped.push_str(&format!("\\u{:04x}", c as u32)),
            c => escaped.push(c),
        }
    }
    escaped + "\""
}
