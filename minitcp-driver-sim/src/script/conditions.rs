//! `#ifdef NAME`, `#ifndef NAME`, `#else`, `#endif`: scripts for several hosts say with them what
//! each does. A name is defined if the command line defines it.

use std::ops::Range;

use super::error::{ParseError, Source};

/// One `#ifdef` that is open.
struct Branch {
    /// Where its line begins.
    at: usize,
    /// The lines here count, as far as this condition goes.
    is_taken: bool,
}

/// The lines of `source` that do not count, as ranges of bytes in order.
pub(super) fn left_out(
    source: &Source<'_>,
    is_defined: impl Fn(&str) -> bool,
) -> Result<Vec<Range<usize>>, ParseError> {
    let (mut ranges, mut open, mut at) = (Vec::new(), Vec::<Branch>::new(), 0);
    for line in source.bytes().split_inclusive(|byte| *byte == b'\n') {
        let text = String::from_utf8_lossy(line);
        let mut words = text.split_whitespace();
        let counts = open.iter().all(|branch| branch.is_taken);
        match (words.next().unwrap_or(""), words.next(), open.last_mut()) {
            (word @ ("#ifdef" | "#ifndef"), Some(name), _) => {
                let is_taken = is_defined(name) == (word == "#ifdef");
                open.push(Branch { at, is_taken });
            }
            ("#ifdef" | "#ifndef", None, _) => return Err(source.error(at, "a name is missing")),
            ("#else", _, Some(branch)) => branch.is_taken = !branch.is_taken,
            ("#endif", _, Some(_)) => drop(open.pop()),
            ("#else" | "#endif", _, None) => {
                return Err(source.error(at, "there is no #ifdef to this"));
            }
            _ if counts => {}
            _ => ranges.push(at..at + line.len()),
        }
        at += line.len();
    }
    match open.last() {
        Some(branch) => Err(source.error(branch.at, "this condition never ends")),
        None => Ok(ranges),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kept(text: &str, defined: &str) -> Result<String, usize> {
        let source = Source::new("t", text.as_bytes());
        let ranges = left_out(&source, |name| name == defined).map_err(|e| e.position.line)?;
        let kept = text.char_indices().filter(|(at, _)| !ranges.iter().any(|r| r.contains(at)));
        let kept: String = kept.map(|(_, letter)| letter).collect();
        Ok(kept.lines().filter(|line| !line.starts_with('#')).collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn lines_count_where_their_conditions_hold() {
        let text = "a\n#ifdef X\nb\n#ifndef Y\nc\n#endif\n#else\nd\n#endif\n# else\ne\n";
        assert_eq!(kept(text, "X").as_deref(), Ok("a b c e"));
        assert_eq!(kept(text, "Y").as_deref(), Ok("a d e"));
    }

    #[test]
    fn conditions_have_a_name_a_beginning_and_an_end() {
        for (text, line) in [("a\n#ifdef X\n", 2), ("#ifdef\n#endif\n", 1), ("a\nb\n#endif\n", 3)] {
            assert_eq!(kept(text, "X"), Err(line), "{text}");
        }
    }
}
