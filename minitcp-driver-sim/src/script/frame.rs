//! Options, then events: the frame of a script.

use std::collections::BTreeSet;

use super::ast::{Action, Event, EventTime, Script, Spanned};
use super::error::{ParseError, Source};
use super::lexer::TokenKind;
use super::options::{self, Definition};
use super::packet::{Direction, Packet};
use super::parser::Parser;
use super::{code_parser, packet, syscall};

/// Reads all of `source`.
///
/// `definitions` come from outside the script, which they override.
pub(super) fn parse_script<'s>(
    source: &Source<'s>,
    definitions: &'s [Definition],
) -> Result<Script, ParseError> {
    let mut defined: Vec<_> = definitions.iter().map(|d| (d.name(), d.value())).collect();
    let mut parser = Parser::new(source, &defined)?;
    let options = options::parse(&mut parser, &mut defined)?;
    parser.substitute(&defined);
    let init_command = parser.take_command()?;
    let mut events = Vec::new();
    let mut cleanup_command = None;
    let mut assigned = BTreeSet::new();
    while parser.peek().kind != TokenKind::End {
        if let Some(command) = parser.take_command()? {
            cleanup_command = Some(command);
            if parser.peek().kind != TokenKind::End {
                return Err(parser.error("an event after the final shell command"));
            }
            break;
        }
        events.push(parse_event(&mut parser, &mut assigned)?);
    }
    if events.is_empty() {
        return Err(parser.error("the script has no event, so it would check nothing"));
    }
    Ok(Script { options, init_command, events, cleanup_command })
}

fn parse_event(
    parser: &mut Parser<'_, '_>,
    assigned: &mut BTreeSet<String>,
) -> Result<Spanned<Event>, ParseError> {
    let start = parser.peek();
    let time = parse_event_time(parser)?;
    let token = parser.peek();
    let action = match token.kind {
        TokenKind::Symbol(b'<' | b'>') => Action::Packet(packet::parse(parser)?),
        TokenKind::Code => {
            parser.bump();
            Action::Code(code_parser::parse(parser.source, token, assigned)?)
        }
        TokenKind::Command => Action::Command(parser.command()?),
        TokenKind::Ellipsis | TokenKind::Word => Action::SystemCall(syscall::parse(parser)?),
        _ => return Err(parser.unexpected("a packet, a system call, a command or code")),
    };
    let outbound = matches!(&action, Action::Packet(Packet { direction: Direction::Outbound, .. }));
    match time {
        EventTime::Any if !outbound => {
            return Err(parser.error_at(start, "`*` is a time for outbound packets only"));
        }
        EventTime::AbsoluteRange(..) | EventTime::RelativeRange(..) if !outbound => {
            return Err(parser.error_at(start, "a range of times is for outbound packets only"));
        }
        _ => {}
    }
    if let (Action::SystemCall(call), EventTime::Absolute(begin) | EventTime::Relative(begin)) =
        (&action, time)
        && call.end.is_some_and(|end| end < begin)
    {
        return Err(parser.error_at(start, "the call would return before it is made"));
    }
    Ok(Spanned { value: Event { time, action }, at: parser.source.position(start.at) })
}

fn parse_event_time(parser: &mut Parser<'_, '_>) -> Result<EventTime, ParseError> {
    let start = parser.peek();
    if parser.take_symbol(b'*') {
        return Ok(EventTime::Any);
    }
    let relative = parser.take_symbol(b'+');
    let first = parser.time()?;
    if !parser.take_symbol(b'~') {
        return Ok(if relative { EventTime::Relative(first) } else { EventTime::Absolute(first) });
    }
    if relative {
        parser.expect_symbol(b'+')?;
    }
    let last = parser.time()?;
    if last < first {
        return Err(parser.error_at(start, "this range of times runs backwards"));
    }
    Ok(match relative {
        true => EventTime::RelativeRange(first, last),
        false => EventTime::AbsoluteRange(first, last),
    })
}
