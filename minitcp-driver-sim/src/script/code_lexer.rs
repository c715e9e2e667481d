//! What are the words of a `%{ … }%` snippet? Those of Python, as far as assertions need them.

use super::error::{ParseError, Source};

/// A word of a snippet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Word<'s> {
    /// A number.
    Integer(i64),
    /// A string after its escapes.
    Text(String),
    /// A name or a keyword.
    Name(&'s str),
    /// An operator, a bracket, or a newline outside brackets.
    Symbol(&'s str),
}

/// The words of `text`, which begins at byte `start` of the script, with their places there.
pub(super) fn tokenize<'s>(
    source: &Source<'_>,
    text: &'s [u8],
    start: usize,
) -> Result<Vec<(Word<'s>, usize)>, ParseError> {
    let text = std::str::from_utf8(text)
        .map_err(|error| source.error(start + error.valid_up_to(), "this code is not UTF-8"))?;
    let mut words = Vec::new();
    let mut open = 0_usize;
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let at = start + (text.len() - rest.len());
        let length = match first {
            ' ' | '\t' | '\r' => 1,
            // Inside brackets and after a backslash, a newline is a blank.
            '\n' if open > 0 => 1,
            '\\' if rest[1..].starts_with('\n') => 2,
            '\\' if rest[1..].starts_with("\r\n") => 3,
            '#' => rest.find('\n').unwrap_or(rest.len()),
            '"' | '\'' => {
                let (text, length) = string(rest).map_err(|m| source.error(at, m))?;
                words.push((Word::Text(text), at));
                length
            }
            '0'..='9' => {
                let length = word_length(rest);
                let number = number(&rest[..length]);
                if number.is_none() || rest[length..].starts_with('.') {
                    return Err(source.error(at, "only whole numbers are supported in code"));
                }
                words.extend(number.map(|number| (Word::Integer(number), at)));
                length
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let length = word_length(rest);
                words.push((Word::Name(&rest[..length]), at));
                length
            }
            _ => {
                let Some(symbol) = SYMBOLS.iter().find(|symbol| rest.starts_with(**symbol)) else {
                    return Err(source.error(at, format!("`{first}` is not supported in code")));
                };
                match *symbol {
                    "(" => open += 1,
                    ")" => open = open.saturating_sub(1),
                    _ => {}
                }
                words.push((Word::Symbol(symbol), at));
                symbol.len()
            }
        };
        rest = &rest[length..];
    }
    Ok(words)
}

/// Longer ones first.
const SYMBOLS: [&str; 24] = [
    "==", "!=", "<=", ">=", "<<", ">>", "//", "<", ">", "=", "+", "-", "*", "/", "%", "&", "|",
    "^", "~", "(", ")", ",", ";", "\n",
];

fn word_length(text: &str) -> usize {
    text.bytes().take_while(|b| b.is_ascii_alphanumeric() || *b == b'_').count()
}

fn number(text: &str) -> Option<i64> {
    let hex = text.strip_prefix("0x").or(text.strip_prefix("0X"));
    match hex {
        Some(digits) if digits.starts_with('+') => None,
        Some(digits) => i64::from_str_radix(digits, 16).ok(),
        // As in Python, a leading zero is no decimal number (nor, any longer, an octal one).
        None if text.len() > 1 && text.starts_with('0') => None,
        None => text.parse().ok(),
    }
}

/// The string at the start of `text`, and how many bytes it takes with its quotes.
fn string(text: &str) -> Result<(String, usize), &'static str> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    let quote = chars.next().map(|(_, quote)| quote);
    while let Some((at, next)) = chars.next() {
        match next {
            _ if Some(next) == quote => return Ok((value, at + 1)),
            '\n' => break,
            '\\' => value.push(match chars.next().map(|(_, escaped)| escaped) {
                Some('n') => '\n',
                Some('t') => '\t',
                Some(escaped @ ('\\' | '"' | '\'')) => escaped,
                _ => return Err("unknown escape in this string"),
            }),
            _ => value.push(next),
        }
    }
    Err("this string never ends")
}
