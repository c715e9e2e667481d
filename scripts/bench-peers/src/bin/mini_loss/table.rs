//! The tables, in Markdown, and their place in a page.

use std::fmt::Write as _;

use crate::rows::{Figure, Row};
use crate::trial::{Peer, Trial};

/// Both tables; `results` has the trials of each peer of each row.
pub fn markdown(rows: &[Row], results: &[Vec<Trial>], seeds: u64) -> String {
    let mut results = results.iter();
    let mut one_each = Vec::new();
    let mut pairs = Vec::new();
    for row in rows {
        let cells: Vec<_> = row.peers().into_iter().zip(results.by_ref()).collect();
        if row.is_of_pairs() { &mut pairs } else { &mut one_each }.push((row, cells));
    }
    let of = if seeds == 1 { "one seed".to_owned() } else { format!("{seeds} seeds") };
    let mut text = format!("Median of {of}, and the range.\n");
    if !one_each.is_empty() {
        let names: Vec<String> = Peer::all().into_iter().map(Peer::name).collect();
        head(&mut text, &["path", "figure"], &names);
    }
    for (row, cells) in &one_each {
        for figure in row.figures {
            let said: Vec<String> =
                cells.iter().map(|(_, trials)| cell(row, *figure, trials)).collect();
            line(&mut text, &[row.name(), figure.name().to_owned()], &said);
        }
    }
    if !pairs.is_empty() {
        let columns = ["share of the first", "use of the link"].map(str::to_owned);
        head(&mut text, &["flows in turn", "path"], &columns);
    }
    for (row, cells) in &pairs {
        for (peer, trials) in cells {
            let [first, second] = peer.controllers();
            let name = format!("{}: {first} beside {second}", peer.stack());
            let said: Vec<String> =
                row.figures.iter().map(|figure| cell(row, *figure, trials)).collect();
            line(&mut text, &[name, row.name()], &said);
        }
    }
    text
}

fn head(text: &mut String, first: &[&str], columns: &[String]) {
    let names = first.iter().map(|name| (*name).to_owned()).chain(columns.iter().cloned());
    let names: Vec<String> = names.collect();
    text.push('\n');
    line(text, &names, &[]);
    line(text, &vec!["---".to_owned(); names.len()], &[]);
}

fn line(text: &mut String, first: &[String], cells: &[String]) {
    let all: Vec<&str> = first.iter().chain(cells).map(String::as_str).collect();
    let _never_fails = writeln!(text, "| {} |", all.join(" | "));
}

impl Figure {
    const fn name(self) -> &'static str {
        match self {
            Self::Goodput => "goodput, Mbit/s",
            Self::Use => "use of the link",
            Self::Jain => "Jain's index",
            Self::FirstShare => "share of the first",
            Self::Lost => "packets lost",
        }
    }

    /// With as many digits as say something.
    fn text(self, value: f64) -> String {
        match self {
            Self::Goodput if value >= 100.0 => format!("{value:.0}"),
            Self::Goodput if value >= 10.0 => format!("{value:.1}"),
            Self::Goodput => format!("{value:.2}"),
            Self::Use | Self::FirstShare => format!("{value:.1} %"),
            Self::Lost => format!("{value:.2} %"),
            Self::Jain => format!("{value:.3}"),
        }
    }
}

/// `12.3 (11.9 to 13.0)`, or one figure if all are the same.
fn cell(row: &Row, figure: Figure, trials: &[Trial]) -> String {
    let mut values: Vec<f64> = trials.iter().map(|trial| row.figure(figure, trial)).collect();
    values.sort_by(f64::total_cmp);
    let (Some(least), Some(most)) = (values.first(), values.last()) else {
        return String::new();
    };
    let middle = values.len() / 2;
    let median = match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], values[middle]),
        _ => values[middle],
    };
    let [median, least, most] = [median, *least, *most].map(|value| figure.text(value));
    match least == most {
        true => median,
        false => format!("{median} ({least} to {most})"),
    }
}

/// `page`, with `text` between its two marks.
///
/// # Errors
/// If it does not have both marks.
pub fn put_between_marks(page: &str, text: &str) -> Result<String, String> {
    let missing = || format!("no {BEGIN} and {END}");
    let (before, rest) = page.split_once(BEGIN).ok_or_else(missing)?;
    let (_, after) = rest.split_once(END).ok_or_else(missing)?;
    Ok(format!("{before}{BEGIN}\n{text}{END}{after}"))
}

const BEGIN: &str = "<!-- scripts/bench.sh loss --write -->";
const END: &str = "<!-- end of scripts/bench.sh loss -->";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::all;

    #[test]
    fn a_cell_has_the_median_and_the_range() {
        let rows = all();
        let row = rows.iter().find(|row| row.figures == [Figure::Lost]).unwrap();
        let trials = |lost: &[u64]| -> Vec<Trial> {
            lost.iter().map(|lost| Trial { received: vec![], sent: 1_000, lost: *lost }).collect()
        };
        for (lost, expected) in [
            (&[] as &[u64], ""),
            (&[7], "0.70 %"),
            (&[7, 7, 7], "0.70 %"),
            (&[9, 1, 2], "0.20 % (0.10 % to 0.90 %)"),
            (&[4, 1, 2, 9], "0.30 % (0.10 % to 0.90 %)"),
        ] {
            assert_eq!(cell(row, Figure::Lost, &trials(lost)), expected);
        }
    }

    #[test]
    fn every_row_has_a_cell_in_every_column() {
        let rows = all();
        let trial = Trial { received: vec![1_000; 64], sent: 10, lost: 1 };
        let cells = rows.iter().map(|row| row.peers().len()).sum();
        let text = markdown(&rows, &vec![vec![trial]; cells], 1);
        let tables: Vec<&str> = text.split("\n\n").skip(1).collect();
        assert_eq!(tables.len(), 2, "{text}");
        let columns = |line: &str| line.matches('|').count();
        for (table, width) in tables.iter().zip([Peer::all().len() + 3, 5]) {
            assert!(table.lines().all(|line| columns(line) == width), "{table}");
            assert!(!table.contains("|  |"), "an empty cell: {table}");
        }
        let figures: usize =
            rows.iter().filter(|row| !row.is_of_pairs()).map(|row| row.figures.len()).sum();
        assert_eq!(tables[0].lines().count(), figures + 2);
    }

    #[test]
    fn a_page_keeps_all_but_what_is_between_the_marks() {
        let page = format!("a\n{BEGIN}\nold\n{END}\nb\n");
        let new = put_between_marks(&page, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}\nnew\n{END}\nb\n"));
        assert_eq!(put_between_marks(&new, "new\n"), Ok(new.clone()));
        assert!(put_between_marks("a", "").is_err() && put_between_marks(END, "").is_err());
    }
}
