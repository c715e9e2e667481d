//! `docs/conformance.md`.

use std::fmt::Write;

use crate::catalogue::Row;
use crate::citations::{Citation, Place};
use crate::report::{Report, Status};

const HEAD: &str = "# Conformance

Which line of code meets which requirement of the RFCs, and which test shows it. This page is written by
`scripts/conformance.sh --write`, from the catalogue (`docs/conformance/requirements.tsv`, in our own words: the RFC's are
what binds), from what is stated in `docs/conformance/statements.tsv`, and from the ids that comments in code and tests name.

- *shown*: a line of code and a test cite it.
- *deviation*: we do otherwise, for the reason given.
- *absent*: it is about something that this stack does not have, and need not have.
- *open*: it is not met yet, or nothing shows that it is.
";

pub fn render(report: &Report) -> String {
    let mut page = HEAD.to_owned();
    let catalogue = &report.catalogue;
    counts(report, &mut page);
    page.push_str("\n## Where the RFCs are wrong, silent or contradictory, and what we do\n\n");
    page.push_str(catalogue.conflicts.trim());
    page.push('\n');
    for rfc in catalogue.rfcs().into_iter().filter(|rfc| catalogue.scope.contains(*rfc)) {
        write!(page, "\n## {rfc}\n\n| id | § | level | requirement | code | test |\n").unwrap();
        page.push_str("|---|---|---|---|---|---|\n");
        for row in catalogue.rows.iter().filter(|row| row.rfc == rfc) {
            page.push_str(&line(report, row));
        }
    }
    page
}

/// The first line at which two pages differ, if they do.
pub fn stale(there: &str, page: &str) -> Option<String> {
    let lines = there.lines().zip(page.lines());
    let same = lines.take_while(|(old, new)| old == new).count();
    (there != page).then(|| {
        format!("docs/conformance.md:{}: not up to date: scripts/conformance.sh --write", same + 1)
    })
}

fn counts(report: &Report, page: &mut String) {
    let catalogue = &report.catalogue;
    page.push_str("\n| RFC | requirements | shown | deviation | absent | open |\n");
    page.push_str("|---|--:|--:|--:|--:|--:|\n");
    let columns = [Status::Shown, Status::Deviation, Status::Absent, Status::Open];
    let mut totals = [0; 4];
    for rfc in catalogue.rfcs().into_iter().filter(|rfc| catalogue.scope.contains(*rfc)) {
        let count = report.count(rfc);
        let cells = columns.map(|status| count.get(&status).copied().unwrap_or(0));
        for (total, cell) in totals.iter_mut().zip(cells) {
            *total += cell;
        }
        let [shown, deviation, absent, open] = cells;
        let rows: usize = count.values().sum();
        writeln!(page, "| {rfc} | {rows} | {shown} | {deviation} | {absent} | {open} |").unwrap();
    }
    let [shown, deviation, absent, open] = totals.map(|total| format!("**{total}**"));
    let rows = catalogue.rows.iter().filter(|row| catalogue.in_scope(row)).count();
    writeln!(page, "| **all** | **{rows}** | {shown} | {deviation} | {absent} | {open} |").unwrap();

    page.push_str("\nOther RFCs of the catalogue, not gone through yet; in parentheses, how many of their requirements a test cites:\n");
    let others = catalogue.rfcs().into_iter().filter(|rfc| !catalogue.scope.contains(*rfc));
    let others: Vec<String> = others
        .map(|rfc| {
            let rows: Vec<&Row> = catalogue.rows.iter().filter(|row| row.rfc == rfc).collect();
            let tested = |row: &&&Row| report.at(row, Place::Test).next().is_some();
            let tested = rows.iter().filter(tested).count();
            format!("{} ({tested} of {})", rfc.trim_start_matches("RFC "), rows.len())
        })
        .collect();
    writeln!(page, "{}.", others.join(", ")).unwrap();
}

fn line(report: &Report, row: &Row) -> String {
    let stated = report.catalogue.statements.get(&row.id);
    let [code, test] = [Place::Code, Place::Test].map(|place| {
        let mut links: Vec<String> = report.at(row, place).map(link).collect();
        links.dedup();
        links.join(", ")
    });
    let test = match (stated, report.status(row)) {
        (Some(statement), status) => {
            let status = format!("{status:?}").to_lowercase();
            let shown = if test.is_empty() { test } else { format!(" {test}") };
            format!("*{status}*: {}{shown}", statement.reason)
        }
        (None, Status::Missing) if test.is_empty() => "**missing**".to_owned(),
        (None, _) => test,
    };
    let Row { id, section, level, requirement, .. } = row;
    format!("| {id} | {section} | {level} | {requirement} | {code} | {test} |\n")
}

/// A link to the file, called by what is cited there. It has no line, so that the page is out of date
/// only when something was cited elsewhere.
fn link(it: &Citation) -> String {
    let short = it.path.trim_start_matches("minitcp-");
    let short = short.trim_start_matches("driver-sim/tests/scripts/").replacen("/src/", "/", 1);
    let short = short.trim_end_matches(".rs").trim_end_matches(".pkt");
    let item = it.item.map(|item| format!("::{item}")).unwrap_or_default();
    format!("[`{short}{item}`](../{})", it.path)
}
