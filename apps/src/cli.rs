//! What is wrong with a command line, in one line; and the exit status that goes with it.

use std::ffi::OsString;
use std::fmt;
use std::process::{self, ExitCode};

use clap::Parser;
use clap::error::{ContextKind, ContextValue, ErrorKind};

use crate::out::WriteError;
use crate::{errln, outln};

/// The program's arguments. Prints help or version where asked for, one line about the first
/// mistake otherwise, and exits then: with 0 or 2.
pub fn parse<T: Parser>() -> T {
    parse_from(std::env::args_os()).unwrap_or_else(|refusal| match refusal {
        Refusal::Text(text) => match outln!("{}", text.trim_end()) {
            Ok(()) | Err(WriteError::Closed) => process::exit(0),
            Err(error) => {
                errln!("error: {error}");
                process::exit(1);
            }
        },
        Refusal::Mistake(line) => {
            errln!("{line}");
            process::exit(2);
        }
    })
}

/// What `main` returns: a failure is told in one line, with its causes. A reader of our output who
/// has gone has read enough: that is no failure.
pub fn finish(result: anyhow::Result<ExitCode>) -> ExitCode {
    result.unwrap_or_else(|error| {
        let is_end = |cause: &(dyn std::error::Error + 'static)| {
            matches!(cause.downcast_ref(), Some(WriteError::Closed))
        };
        if error.chain().any(is_end) {
            return ExitCode::SUCCESS;
        }
        errln!("error: {error:#}");
        if error.is::<Mistake>() { ExitCode::from(2) } else { ExitCode::FAILURE }
    })
}

/// What we were told to do cannot be done anywhere: a mistake on the command line that shows only
/// once it is looked at as a whole, or in a file that it names. Its status is 2.
#[derive(Debug)]
pub struct Mistake(pub String);

impl fmt::Display for Mistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Mistake {}

/// A number of octets: `4096`, `64K`, `1M`, `1G`.
///
/// # Errors
/// A sentence about what is wrong.
pub fn size(text: &str) -> Result<u32, String> {
    let (digits, shift) = match text.as_bytes().last().map(u8::to_ascii_uppercase) {
        Some(b'K') => (&text[..text.len() - 1], 10),
        Some(b'M') => (&text[..text.len() - 1], 20),
        Some(b'G') => (&text[..text.len() - 1], 30),
        _ => (text, 0),
    };
    let number: u32 = digits.parse().map_err(|_| "not a size such as 4096, 64K or 1M")?;
    number.checked_mul(1 << shift).ok_or_else(|| "must be under 4G".to_owned())
}

/// Why there are no arguments to go on with.
#[derive(Debug)]
enum Refusal {
    /// Help or version.
    Text(String),
    /// One line.
    Mistake(String),
}

fn parse_from<T: Parser>(args: impl IntoIterator<Item = OsString>) -> Result<T, Refusal> {
    T::try_parse_from(args).map_err(|error| match error.kind() {
        ErrorKind::DisplayHelp
        | ErrorKind::DisplayVersion
        | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand => {
            Refusal::Text(error.render().to_string())
        }
        _ => Refusal::Mistake(one_line(&error)),
    })
}

/// The first paragraph as one line, and what may have been meant; what else clap adds below is what
/// `--help` says.
fn one_line(error: &clap::Error) -> String {
    let rendered = error.render().to_string();
    let paragraph = rendered.split("\n\n").next().unwrap_or(&rendered);
    let words: Vec<_> = paragraph.split_whitespace().collect();
    let kinds =
        [ContextKind::SuggestedArg, ContextKind::SuggestedSubcommand, ContextKind::SuggestedValue];
    let meant = kinds.into_iter().find_map(|kind| match error.get(kind)? {
        ContextValue::String(one) => Some(one.clone()),
        ContextValue::Strings(some) => some.last().cloned(), // The most similar comes last.
        _ => None,
    });
    let meant = meant.map_or(String::new(), |meant| format!("; did you mean '{meant}'?"));
    format!("{}{meant}; try --help", words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Parser)]
    struct Example {
        #[arg(long, value_parser = size)]
        buffer: u32,
    }

    fn parse(line: &str) -> Result<Example, Refusal> {
        parse_from(line.split(' ').map(OsString::from))
    }

    #[test]
    fn a_mistake_is_one_line_that_names_it() {
        for (line, culprit) in [
            ("example --buffer 1M --frob", "--frob"),
            ("example --bufer 1M", "did you mean '--buffer'?"),
            ("example --buffer lots", "lots"),
            ("example", "--buffer"),
        ] {
            let Err(Refusal::Mistake(text)) = parse(line) else { panic!("{line} was taken") };
            assert!(!text.contains('\n') && text.contains(culprit), "{line}: {text}");
        }
        assert!(matches!(parse("example --help"), Err(Refusal::Text(_))));
        assert_eq!(parse("example --buffer 2k").unwrap().buffer, 2048);
    }

    #[test]
    fn sizes_have_units() {
        for (text, octets) in [
            ("0", Some(0)),
            ("4095", Some(4095)),
            ("64K", Some(65_536)),
            ("1m", Some(1 << 20)),
            ("3G", Some(3 << 30)),
            ("4G", None),
            ("", None),
            ("K", None),
            ("-1", None),
            ("1.5M", None),
            ("1µ", None),
        ] {
            assert_eq!(size(text).ok(), octets, "{text}");
        }
    }
}
