//! How is a script written? Everything prints as its parser reads it.

use std::fmt::{self, Display, Formatter, Write as _};

use super::ast::{
    Action, Errno, Event, EventTime, Expr, MessageHeader, PollFd, Script, Spanned, SystemCall, Time,
};
use super::expr::{CodeExpr, Statement, UnaryOperator};
use super::icmp::{Icmp, Quoted};
use super::packet::{Direction, Ecn, IpFields, Packet, PacketBody, Ports, Tcp, TcpFlags, Tos, Udp};
use super::tcp_option::{TcpOption, TcpOptions};

impl<T: Display> Display for Spanned<T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.value.fmt(f)
    }
}

impl Display for Script {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for option in &self.options {
            writeln!(f, "{option}")?;
        }
        if let Some(command) = &self.init_command {
            writeln!(f, "`{command}`")?;
        }
        for event in &self.events {
            writeln!(f, "{event}")?;
        }
        if let Some(command) = &self.cleanup_command {
            writeln!(f, "`{command}`")?;
        }
        Ok(())
    }
}

impl Display for Event {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.time.fmt(f)?;
        match &self.action {
            Action::Packet(packet) => write!(f, " {packet}"),
            // `start...end` is one thing: the end stands right behind the start.
            Action::SystemCall(call) if call.end.is_some() => call.fmt(f),
            Action::SystemCall(call) => write!(f, " {call}"),
            Action::Code(statements) => {
                f.write_str(" %{ ")?;
                separated(f, statements, "; ")?;
                f.write_str(" }%")
            }
            Action::Command(command) => write!(f, " `{command}`"),
        }
    }
}

impl Display for Time {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let (seconds, nanos) = (self.nanos / 1_000_000_000, self.nanos % 1_000_000_000);
        if nanos == 0 {
            return write!(f, "{seconds}");
        }
        let fraction = format!("{nanos:09}");
        write!(f, "{seconds}.{}", fraction.trim_end_matches('0'))
    }
}

impl Display for EventTime {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absolute(time) => write!(f, "{time}"),
            Self::Relative(time) => write!(f, "+{time}"),
            Self::Any => f.write_str("*"),
            Self::AbsoluteRange(first, last) => write!(f, "{first}~{last}"),
            Self::RelativeRange(first, last) => write!(f, "+{first}~+{last}"),
        }
    }
}

impl Display for Packet {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(match self.direction {
            Direction::Inbound => "< ",
            Direction::Outbound => "> ",
        })?;
        self.ip.fmt(f)?;
        match &self.body {
            PacketBody::Tcp(tcp) => tcp.fmt(f),
            PacketBody::Udp(udp) => udp.fmt(f),
            PacketBody::Icmp(icmp) => icmp.fmt(f),
        }
    }
}

impl Display for IpFields {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut fields = Vec::new();
        match self.tos {
            Some(Tos::Ecn(ecn)) => fields.push(ecn.to_string()),
            Some(Tos::Byte(byte)) => fields.push(format!("tos {byte:#x}")),
            None => {}
        }
        fields.extend(self.flow_label.map(|label| format!("flowlabel {label:#x}")));
        fields.extend(self.ttl.map(|ttl| format!("ttl {ttl}")));
        if fields.is_empty() { Ok(()) } else { write!(f, "[{}] ", fields.join(",")) }
    }
}

impl Display for Ecn {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, ecn)| ecn == self).map(|(name, _)| *name);
        f.write_str(name.unwrap_or_default())
    }
}

impl Display for Ports {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} > {} ", self.source, self.destination)
    }
}

impl Display for Tcp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        optional(f, "", self.ports)?;
        let end = self.seq.wrapping_add(u32::from(self.payload_bytes));
        write!(f, "{} {}:{end}({})", self.flags, self.seq, self.payload_bytes)?;
        optional(f, " ack ", self.ack)?;
        optional(f, " win ", self.window)?;
        optional(f, " urg ", self.urgent)?;
        match &self.options {
            TcpOptions::Any => f.write_str(" <...>"),
            TcpOptions::Exactly(options) if options.is_empty() => Ok(()),
            TcpOptions::Exactly(options) => {
                f.write_str(" <")?;
                separated(f, options, ",")?;
                f.write_str(">")
            }
        }
    }
}

impl Display for TcpFlags {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let ecn_bits: u16 = if self.ace { 0x1c0 } else { 0 };
        let mut letters = String::new();
        for (letter, bit) in Self::LETTERS {
            if self.bits & bit & !ecn_bits & !Self::ACK != 0 {
                letters.push(letter);
            }
        }
        let has_ack = self.bits & Self::ACK != 0;
        match (self.ace, has_ack, letters.is_empty()) {
            (false, false, true) => f.write_str("-"),
            // Without letters before it, the counter must follow the point to be read at all.
            (true, true, true) => write!(f, ".{}", self.ace_count()),
            (true, ..) => {
                write!(f, "{letters}{}{}", self.ace_count(), if has_ack { "." } else { "" })
            }
            (false, ..) => write!(f, "{letters}{}", if has_ack { "." } else { "" }),
        }
    }
}

impl Display for TcpOption {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::EndOfList => f.write_str("eol"),
            Self::NoOperation => f.write_str("nop"),
            Self::MaximumSegmentSize(mss) => write!(f, "mss {mss}"),
            Self::WindowScale(shift) => write!(f, "wscale {shift}"),
            Self::SackPermitted => f.write_str("sackOK"),
            Self::Sack(blocks) => {
                f.write_str("sack")?;
                blocks.iter().try_for_each(|(left, right)| write!(f, " {left}:{right}"))
            }
            Self::Timestamps { value, echo } => write!(f, "TS val {value} ecr {echo}"),
            Self::Md5(digest) => hex(f, "md5", digest),
            Self::FastOpen(cookie) => hex(f, "FO", cookie),
            Self::FastOpenExperimental(cookie) => hex(f, "FOEXP", cookie),
            Self::Other { kind, data } => hex(f, &format!("kind {kind}"), data),
        }
    }
}

impl Display for Udp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("udp ")?;
        optional(f, "", self.ports)?;
        write!(f, "({})", self.payload_bytes)
    }
}

impl Display for Icmp {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "icmp {}", self.kind)?;
        optional(f, " ", self.code.as_ref())?;
        optional(f, " mtu ", self.mtu)?;
        optional(f, " id ", self.id)?;
        match self.quoted {
            None => Ok(()),
            Some(Quoted::Tcp { seq, payload_bytes }) => {
                let end = seq.wrapping_add(u32::from(payload_bytes));
                write!(f, " [{seq}:{end}({payload_bytes})]")
            }
            Some(Quoted::Udp { payload_bytes }) => write!(f, " [udp ({payload_bytes})]"),
            Some(Quoted::Raw { bytes }) => write!(f, " [raw ({bytes})]"),
        }
    }
}

impl Display for SystemCall {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        if let Some(end) = self.end {
            write!(f, "...{end} ")?;
        }
        write!(f, "{}(", self.name)?;
        separated(f, &self.arguments, ", ")?;
        write!(f, ") = {}", self.result)?;
        optional(f, " ", self.errno.as_ref())?;
        match &self.note {
            Some(note) => write!(f, " ({note})"),
            None => Ok(()),
        }
    }
}

impl Display for Errno {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} ({})", self.name, self.message)
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ellipsis => f.write_str("..."),
            Self::Integer(number) => number.fmt(f),
            Self::Hex(number) => write!(f, "{number:#x}"),
            Self::Name(name) => f.write_str(name),
            Self::SizeOf(name) => write!(f, "sizeof({name})"),
            Self::Or(parts) => separated(f, parts, "|"),
            Self::Text(bytes) => text(f, bytes),
            Self::TextPrefix(bytes) => {
                text(f, bytes)?;
                f.write_str("...")
            }
            Self::Array(items) => {
                f.write_str("[")?;
                separated(f, items, ", ")?;
                f.write_str("]")
            }
            Self::List(items) => {
                f.write_str("{")?;
                separated(f, items, ", ")?;
                f.write_str("}")
            }
            Self::Inet(address) => write!(f, "inet_addr(\"{address}\")"),
            Self::Inet6(address) => write!(f, "inet6_addr(\"{address}\")"),
            Self::SocketAddress { port, address } => {
                let family = if address.is_ipv4() { "AF_INET" } else { "AF_INET6" };
                write!(f, "{{sa_family={family}, sin_port=htons({port}), ")?;
                write!(f, "sin_addr=inet_addr(\"{address}\")}}")
            }
            Self::MessageHeader(header) => header.fmt(f),
            Self::IoVector { length } => write!(f, "{{..., {length}}}"),
            Self::PollFd(poll) => poll.fmt(f),
            Self::EpollEvent(event) => {
                write!(f, "{{events={}, {}={}}}", event.events, event.field, event.data)
            }
            Self::Linger { onoff, linger } => write!(f, "{{onoff={onoff}, linger={linger}}}"),
        }
    }
}

impl Display for MessageHeader {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{msg_name(...)=..., msg_iov({})=[", self.iov_length)?;
        separated(f, &self.iov, ", ")?;
        write!(f, "], msg_flags={}}}", self.flags)
    }
}

impl Display for PollFd {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{fd={}, events={}", self.fd, self.events)?;
        optional(f, ", revents=", self.revents.as_ref())?;
        f.write_str("}")
    }
}

impl Display for Statement {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Assert { condition, message } => {
                write!(f, "assert {condition}")?;
                optional(f, ", ", message.as_ref())
            }
            Self::Assign { name, value } => write!(f, "{name} = {value}"),
        }
    }
}

impl Display for CodeExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integer(number) => number.fmt(f),
            Self::Text(value) => {
                f.write_char('"')?;
                for c in value.chars() {
                    match c {
                        '"' | '\\' => write!(f, "\\{c}")?,
                        '\n' => f.write_str("\\n")?,
                        c => f.write_char(c)?,
                    }
                }
                f.write_char('"')
            }
            Self::Name(name) => f.write_str(name),
            Self::Unary(UnaryOperator::Negate, operand) => write!(f, "(-{operand})"),
            Self::Unary(UnaryOperator::Invert, operand) => write!(f, "(~{operand})"),
            Self::Unary(UnaryOperator::Not, operand) => write!(f, "(not {operand})"),
            Self::Binary(operator, left, right) => {
                write!(f, "({left} {} {right})", operator.name())
            }
            Self::Compare(first, rest) => {
                write!(f, "({first}")?;
                for (comparison, operand) in rest {
                    write!(f, " {} {operand}", comparison.name())?;
                }
                f.write_str(")")
            }
            Self::Call(function, arguments) => {
                write!(f, "{}(", function.name())?;
                separated(f, arguments, ", ")?;
                f.write_str(")")
            }
            Self::Tuple(items) => {
                f.write_str("(")?;
                separated(f, items, ", ")?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
        }
    }
}

fn separated<T: Display>(f: &mut Formatter<'_>, items: &[T], separator: &str) -> fmt::Result {
    for (index, item) in items.iter().enumerate() {
        if index > 0 {
            f.write_str(separator)?;
        }
        item.fmt(f)?;
    }
    Ok(())
}

fn optional<T: Display>(f: &mut Formatter<'_>, before: &str, value: Option<T>) -> fmt::Result {
    match value {
        Some(value) => write!(f, "{before}{value}"),
        None => Ok(()),
    }
}

fn hex(f: &mut Formatter<'_>, name: &str, bytes: &[u8]) -> fmt::Result {
    f.write_str(name)?;
    if !bytes.is_empty() {
        f.write_str(" ")?;
    }
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

fn text(f: &mut Formatter<'_>, bytes: &[u8]) -> fmt::Result {
    f.write_str("\"")?;
    for &byte in bytes {
        match byte {
            b'"' | b'\\' => write!(f, "\\{}", char::from(byte))?,
            b' '..=b'~' => f.write_char(char::from(byte))?,
            _ => write!(f, "\\x{byte:02x}")?,
        }
    }
    f.write_str("\"")
}
