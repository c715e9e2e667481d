//! The programs, by what they are about.

mod connecting;
mod datagrams;
mod listening;
mod options;
mod streams;

use crate::world::Bench;

/// What it shows, and what it does.
pub(crate) type Program = (&'static str, fn(&mut Bench));

pub(crate) fn all() -> impl Iterator<Item = Program> {
    let tables = [
        listening::PROGRAMS,
        connecting::PROGRAMS,
        streams::PROGRAMS,
        datagrams::PROGRAMS,
        options::PROGRAMS,
    ];
    tables.concat().into_iter()
}
