//! The requirements, which RFCs are in scope, and what is stated where no test can be.

use std::collections::{BTreeMap, BTreeSet};

use crate::File;

const REQUIREMENTS: &str = "docs/conformance/requirements.tsv";
const STATEMENTS: &str = "docs/conformance/statements.tsv";
const SCOPE: &str = "docs/conformance/scope.txt";
const CONFLICTS: &str = "docs/conformance/conflicts.md";

pub struct Row {
    /// Where it stands in the file, counted from 1.
    pub line: usize,
    pub id: String,
    pub rfc: String,
    pub section: String,
    pub level: String,
    pub requirement: String,
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Kind {
    /// We do otherwise, for a reason. A test may show what.
    Deviation,
    /// It is about something that this stack does not have, and need not have.
    Absent,
    /// It is not met, or nothing shows it yet.
    Open,
}

pub struct Statement {
    pub kind: Kind,
    pub reason: String,
}

pub struct Catalogue {
    pub rows: Vec<Row>,
    /// The RFCs of which each row must be shown or stated.
    pub scope: BTreeSet<String>,
    pub statements: BTreeMap<String, Statement>,
    /// Where the RFCs are wrong, silent or contradictory: Markdown, taken as it is.
    pub conflicts: String,
}

impl Catalogue {
    pub fn new(files: &[File]) -> Result<Self, String> {
        let text = |path: &str| {
            let file = files.iter().find(|file| file.path == path);
            file.map(|file| file.text.as_str()).ok_or(format!("{path} is missing"))
        };
        let lines = text(SCOPE)?.lines().filter(|line| !line.starts_with('#'));
        let scope = lines.map(str::to_owned).collect();
        Ok(Self {
            rows: rows(text(REQUIREMENTS)?)?,
            scope,
            statements: statements(text(STATEMENTS)?)?,
            conflicts: text(CONFLICTS)?.to_owned(),
        })
    }

    pub fn in_scope(&self, row: &Row) -> bool {
        self.scope.contains(&row.rfc)
    }

    /// The RFCs, in the order of the catalogue.
    pub fn rfcs(&self) -> Vec<&str> {
        let mut rfcs: Vec<&str> = self.rows.iter().map(|row| row.rfc.as_str()).collect();
        rfcs.dedup();
        rfcs
    }
}

fn rows(text: &str) -> Result<Vec<Row>, String> {
    let mut ids = BTreeSet::new();
    let mut rows = Vec::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [id, rfc, section, level, _area, requirement, _how_to_test, _source] = cells[..] else {
            return Err(format!("{REQUIREMENTS}:{}: {} cells", number + 1, cells.len()));
        };
        if !ids.insert(id) {
            return Err(format!("{REQUIREMENTS}:{}: {id} again", number + 1));
        }
        let [id, rfc, section, level, requirement] =
            [id, rfc, section, level, requirement].map(str::to_owned);
        rows.push(Row { line: number + 1, id, rfc, section, level, requirement });
    }
    Ok(rows)
}

fn statements(text: &str) -> Result<BTreeMap<String, Statement>, String> {
    let mut statements = BTreeMap::new();
    for (number, line) in text.lines().enumerate().skip(1) {
        let at = |what: &str| format!("{STATEMENTS}:{}: {what}", number + 1);
        let cells: Vec<&str> = line.split('\t').collect();
        let [id, kind, reason] = cells[..] else { return Err(at("not three cells")) };
        let kind = match kind {
            "deviation" => Kind::Deviation,
            "absent" => Kind::Absent,
            "open" => Kind::Open,
            _ => return Err(at("deviation, absent or open?")),
        };
        if reason.trim().is_empty() {
            return Err(at("no reason"));
        }
        if statements.insert(id.to_owned(), Statement { kind, reason: reason.to_owned() }).is_some()
        {
            return Err(at("stated twice"));
        }
    }
    Ok(statements)
}
