//! Where requirements are named: an id of the catalogue in a comment, such as `MUST-58` or
//! `R5961-2`.
//!
//! In code it belongs to the line below, so to the item that is documented or to the function around
//! it. In tests it counts if that is a test which always runs; above a packet script it counts for
//! the script.

use crate::File;

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Place {
    /// A line that implements it.
    Code,
    /// A test that shows it.
    Test,
    /// Neither: only the id must exist.
    Mention,
}

pub struct Citation<'a> {
    pub id: &'a str,
    pub place: Place,
    pub path: &'a str,
    /// Counted from 1.
    pub line: usize,
    /// The name of the function, type or field; none is the whole file.
    pub item: Option<&'a str>,
}

pub fn find(file: &File) -> Vec<Citation<'_>> {
    let lines: Vec<&str> = file.text.lines().collect();
    let is_rust = file.path.ends_with(".rs");
    let unit_tests = lines.iter().position(|line| line.starts_with("mod tests {"));
    let mut found = Vec::new();
    for (index, line) in lines.iter().enumerate() {
        let comment = if file.path.ends_with(".md") {
            line
        } else {
            let Some(start) = comment_start(line) else { continue };
            &line[start..]
        };
        let ids = ids(comment);
        if ids.is_empty() {
            continue;
        }
        let item = if is_rust { item(&lines, index) } else { None };
        let name = item.and_then(|item| name(lines[item]));
        let in_tests = file.path.contains("/tests/")
            || file.path.ends_with("/tests.rs")
            || unit_tests.is_some_and(|start| index > start);
        let place = if file.path.ends_with(".pkt") {
            Place::Test
        } else if !is_rust || file.path.starts_with("minitcp-driver-sim/src/") && !in_tests {
            Place::Mention
        } else if !in_tests {
            Place::Code
        } else if item.is_some_and(|item| is_test(&lines, item)) {
            Place::Test
        } else {
            Place::Mention
        };
        found.extend(ids.into_iter().map(|id| Citation {
            id,
            place,
            path: &file.path,
            line: index + 1,
            item: name,
        }));
    }
    found
}

/// Where the comment of a line begins: not inside of a string that ends in this line.
fn comment_start(line: &str) -> Option<usize> {
    let mut starts = line.match_indices("//").map(|(start, _)| start);
    starts.find(|start| line[..*start].matches('"').count().is_multiple_of(2))
}

/// All words of the form MUST-1, SHLD-1, MAY-1, REC-1 or R768-1.
fn ids(text: &str) -> Vec<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '-');
    words.filter(|word| is_id(word)).collect()
}

fn is_id(word: &str) -> bool {
    let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    word.split_once('-').is_some_and(|(kind, number)| {
        let of_rfc = kind.strip_prefix('R').is_some_and(is_number);
        is_number(number) && (of_rfc || ["MUST", "SHLD", "MAY", "REC"].contains(&kind))
    })
}

/// The line that a comment is about: the item below if the comment documents one, else the function
/// around it. None is the whole file.
fn item(lines: &[&str], index: usize) -> Option<usize> {
    let comment = lines[index].trim_start();
    if comment.starts_with("//!") {
        return None;
    }
    let indent = |line: &str| line.len() - line.trim_start().len();
    let around = (0..index).rev().find(|&above| {
        keyword(lines[above]) == Some("fn") && indent(lines[above]) < indent(lines[index])
    });
    let is_code = |line: &&str| {
        let line = line.trim_start();
        !line.is_empty() && !line.starts_with("//") && !line.starts_with("#[")
    };
    let below = || (index..lines.len()).find(|&below| is_code(&lines[below]));
    if comment.starts_with("///") { below() } else { around.or_else(below) }
}

/// `fn`, `struct` and so on, if an item begins in this line.
fn keyword(line: &str) -> Option<&str> {
    let mut words = line.split_whitespace();
    loop {
        match words.next()? {
            word @ ("fn" | "struct" | "enum" | "trait" | "type" | "static" | "mod" | "impl") => {
                return Some(word);
            }
            "const" => {
                return Some(words.next().filter(|word| *word == "fn").unwrap_or("const"));
            }
            "pub" | "pub(crate)" | "pub(super)" | "async" | "unsafe" => {}
            _ => return None,
        }
    }
}

/// What an item, a field or a variant is called.
fn name(line: &str) -> Option<&str> {
    let after = match keyword(line) {
        Some(keyword) => line.split_once(keyword)?.1,
        None => line.trim_start().trim_start_matches("pub ").trim_start_matches("pub(crate) "),
    };
    let after = after.trim_start().trim_start_matches("mut ");
    let end = after.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(after.len());
    Some(&after[..end]).filter(|name| !name.is_empty())
}

/// Is this a test, and not one that runs only when asked for?
fn is_test(lines: &[&str], function: usize) -> bool {
    let above = lines[..function].iter().rev().map(|line| line.trim_start());
    let attributes: Vec<&str> =
        above.take_while(|line| line.starts_with("#[") || line.starts_with("///")).collect();
    attributes.iter().any(|line| line.starts_with("#[test]") || line.starts_with("#[tokio::test"))
        && !attributes.iter().any(|line| line.starts_with("#[ignore"))
}
