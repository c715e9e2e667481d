//! Rows and citations, put together; and what is wrong with them.

use std::collections::BTreeMap;

use crate::File;
use crate::catalogue::{Catalogue, Kind, Row};
use crate::citations::{self, Citation, Place};

pub struct Report<'a> {
    pub catalogue: Catalogue,
    pub citations: Vec<Citation<'a>>,
}

/// How a row stands.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Status {
    Shown,
    Deviation,
    Absent,
    Open,
    Missing,
}

impl<'a> Report<'a> {
    pub fn new(files: &'a [File]) -> Result<Self, String> {
        let catalogue = Catalogue::new(files)?;
        let citations = files.iter().flat_map(citations::find).collect();
        Ok(Self { catalogue, citations })
    }

    pub fn at(&self, row: &Row, place: Place) -> impl Iterator<Item = &Citation<'a>> {
        self.citations.iter().filter(move |it| it.id == row.id && it.place == place)
    }

    pub fn status(&self, row: &Row) -> Status {
        match self.catalogue.statements.get(&row.id).map(|statement| statement.kind) {
            Some(Kind::Deviation) => Status::Deviation,
            Some(Kind::Absent) => Status::Absent,
            Some(Kind::Open) => Status::Open,
            None => {
                let [code, test] =
                    [Place::Code, Place::Test].map(|place| self.at(row, place).next().is_some());
                if code && test { Status::Shown } else { Status::Missing }
            }
        }
    }

    pub fn count(&self, rfc: &str) -> BTreeMap<Status, usize> {
        let mut counts = BTreeMap::new();
        for row in self.catalogue.rows.iter().filter(|row| row.rfc == rfc) {
            *counts.entry(self.status(row)).or_default() += 1;
        }
        counts
    }

    pub fn complaints(&self) -> Vec<String> {
        let mut complaints = Vec::new();
        let rows = &self.catalogue.rows;
        let known = |id: &str| rows.iter().any(|row| row.id == id);
        for it in self.citations.iter().filter(|it| !known(it.id)) {
            complaints.push(format!("{}:{}: no requirement is called {}", it.path, it.line, it.id));
        }
        for id in self.catalogue.statements.keys().filter(|id| !known(id)) {
            complaints.push(format!("statements.tsv: no requirement is called {id}"));
        }
        for rfc in
            self.catalogue.scope.iter().filter(|rfc| !self.catalogue.rfcs().contains(&&***rfc))
        {
            complaints.push(format!("scope.txt: no requirement is of {rfc}"));
        }
        for row in rows {
            complaints.extend(self.complaint(row).map(|what| format!("{}: {what}", row.id)));
        }
        complaints
    }

    fn complaint(&self, row: &Row) -> Option<String> {
        let place = |place| self.at(row, place).next();
        match self.status(row) {
            Status::Shown | Status::Deviation => None,
            Status::Absent | Status::Open => place(Place::Test).map(|it| {
                format!("is stated as open or absent, but {}:{} shows it", it.path, it.line)
            }),
            Status::Missing if !self.catalogue.in_scope(row) => None,
            Status::Missing if place(Place::Test).is_none() => {
                Some(format!("no test cites it, nothing is stated: {}", row.requirement))
            }
            Status::Missing => Some(format!("no line of code cites it: {}", row.requirement)),
        }
    }
}
