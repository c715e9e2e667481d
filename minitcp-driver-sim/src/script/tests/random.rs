//! Whatever the bytes, the parser answers; and whatever it accepts, it prints and reads again.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};

use super::super::ast::{Action, Event, EventTime, Expr, Script, Spanned, SystemCall, Time};
use super::super::error::Position;
use super::super::expr::{
    BinaryOperator, CodeExpr, Comparison, Function, Statement, UnaryOperator,
};
use super::super::packet::{
    Direction, Ecn, IpFields, Packet, PacketBody, Ports, Tcp, TcpFlags, Tos, Udp,
};
use super::super::parse;
use super::super::tcp_option::{TcpOption, TcpOptions};
use super::examples;

/// Parses; what is accepted must print as something that reads as the same.
fn check(text: &[u8]) {
    match parse("random", text) {
        Ok(script) => {
            let printed = script.to_string();
            match parse("printed", printed.as_bytes()) {
                Ok(again) => assert_eq!(again, script, "{printed}"),
                Err(error) => panic!("{error}\nin:\n{printed}"),
            }
        }
        Err(error) => {
            let lines = text.iter().filter(|byte| **byte == b'\n').count() + 1;
            assert!((1..=lines).contains(&error.position.line), "{error}");
            let longest = error.line_text.chars().count() + 2;
            assert!((1..=longest).contains(&error.position.column), "{error}");
        }
    }
}

fn at() -> Position {
    Position { line: 1, column: 1 }
}

fn spanned<T>(value: T) -> Spanned<T> {
    Spanned { value, at: at() }
}

fn bytes() -> impl Strategy<Value = Vec<u8>> {
    vec(any::<u8>(), 0..5)
}

fn tcp_option() -> impl Strategy<Value = TcpOption> {
    prop_oneof![
        Just(TcpOption::EndOfList),
        Just(TcpOption::NoOperation),
        Just(TcpOption::SackPermitted),
        any::<u16>().prop_map(TcpOption::MaximumSegmentSize),
        any::<u8>().prop_map(TcpOption::WindowScale),
        vec(any::<(u32, u32)>(), 1..3).prop_map(TcpOption::Sack),
        any::<(u32, u32)>().prop_map(|(value, echo)| TcpOption::Timestamps { value, echo }),
        vec(any::<u8>(), 1..9).prop_map(TcpOption::Md5),
        bytes().prop_map(TcpOption::FastOpen),
        bytes().prop_map(TcpOption::FastOpenExperimental),
        (2_u8.., bytes()).prop_map(|(kind, data)| TcpOption::Other { kind, data }),
    ]
}

/// Options that fit a header and fill whole words of it.
fn tcp_options() -> impl Strategy<Value = TcpOptions> {
    let exact = vec(tcp_option(), 0..5).prop_map(|options| {
        let mut fitting = Vec::new();
        let mut length = 0;
        for option in options {
            if length + option.length() <= 40 {
                length += option.length();
                fitting.push(option);
            }
        }
        let padding = length.next_multiple_of(4) - length;
        fitting.extend(std::iter::repeat_n(TcpOption::NoOperation, padding));
        TcpOptions::Exactly(fitting)
    });
    prop_oneof![4 => exact, 1 => Just(TcpOptions::Any)]
}

/// Counter flags need the point or a letter: the notation cannot write the counter alone.
fn tcp_flags() -> impl Strategy<Value = TcpFlags> {
    (0_u16..0x200, any::<bool>()).prop_map(|(bits, ace)| {
        let bits = if ace && bits & 0x3f == 0 { bits | TcpFlags::ACK } else { bits };
        TcpFlags { bits, ace }
    })
}

fn ip_fields() -> impl Strategy<Value = IpFields> {
    let ecn = select(Ecn::NAMES.map(|(_, ecn)| ecn).to_vec());
    let tos = prop_oneof![ecn.prop_map(Tos::Ecn), any::<u8>().prop_map(Tos::Byte)];
    (proptest::option::of(tos), proptest::option::of(0..=0xf_ffff_u32), any::<Option<u8>>())
        .prop_map(|(tos, flow_label, ttl)| IpFields { tos, flow_label, ttl })
}

fn packet() -> impl Strategy<Value = Packet> {
    let ports = any::<Option<(u16, u16)>>()
        .prop_map(|ports| ports.map(|(source, destination)| Ports { source, destination }));
    let numbers = any::<(u32, u16, Option<u32>, Option<u16>, Option<u16>)>();
    let inbound = any::<bool>();
    (inbound, any::<bool>(), ip_fields(), ports, tcp_flags(), numbers, tcp_options()).prop_map(
        |(inbound, is_udp, mut ip, ports, flags, numbers, mut options)| {
            let (seq, payload_bytes, ack, mut window, urgent) = numbers;
            let mut direction = Direction::Outbound;
            if inbound {
                direction = Direction::Inbound;
                window = window.or(Some(0));
                ip.tos = ip.tos.filter(|tos| *tos != Tos::Ecn(Ecn::EitherEct));
                if options == TcpOptions::Any {
                    options = TcpOptions::Exactly(vec![]);
                }
            }
            let tcp = Tcp { ports, flags, seq, payload_bytes, ack, window, urgent, options };
            let body = match is_udp {
                true => PacketBody::Udp(Udp { ports, payload_bytes }),
                false => PacketBody::Tcp(tcp),
            };
            Packet { direction, ip, body }
        },
    )
}

fn expr() -> impl Strategy<Value = Expr> {
    let leaf = prop_oneof![
        Just(Expr::Ellipsis),
        any::<i64>().prop_map(Expr::Integer),
        (0..=i64::MAX).prop_map(Expr::Hex),
        select(vec!["AF_INET", "POLLIN", "EAGAIN"]).prop_map(|name| Expr::Name(name.to_owned())),
        bytes().prop_map(Expr::Text),
        bytes().prop_map(Expr::TextPrefix),
        any::<std::net::Ipv4Addr>().prop_map(Expr::Inet),
        any::<std::net::Ipv6Addr>().prop_map(Expr::Inet6),
        any::<(u16, std::net::IpAddr)>()
            .prop_map(|(port, address)| Expr::SocketAddress { port, address }),
        any::<i64>().prop_map(|length| Expr::IoVector { length }),
        any::<(i64, i64)>().prop_map(|(onoff, linger)| Expr::Linger { onoff, linger }),
    ];
    leaf.prop_recursive(4, 16, 4, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Expr::Array),
            // Braces of `...` and a number are a buffer, so a list of that form cannot be meant.
            vec(inner, 3..5).prop_map(Expr::List),
        ]
    })
}

fn code_expr() -> impl Strategy<Value = CodeExpr> {
    let leaf = prop_oneof![
        (0..=i64::MAX).prop_map(CodeExpr::Integer),
        select(vec!["tcpi_rtt", "TCP_CLOSE"]).prop_map(|name| CodeExpr::Name(name.to_owned())),
        "[a-z\"'\\\\\n %{é]{0,6}".prop_map(CodeExpr::Text),
    ];
    leaf.prop_recursive(5, 24, 3, |inner| {
        let unary = vec![UnaryOperator::Negate, UnaryOperator::Invert, UnaryOperator::Not];
        let pair = (inner.clone(), inner.clone());
        prop_oneof![
            (select(unary), inner.clone()).prop_map(|(op, a)| CodeExpr::Unary(op, Box::new(a))),
            (select(BinaryOperator::ALL), pair).prop_map(|(op, (a, b))| CodeExpr::Binary(
                op,
                Box::new(a),
                Box::new(b)
            )),
            (inner.clone(), vec((select(Comparison::ALL), inner.clone()), 1..3))
                .prop_map(|(a, rest)| CodeExpr::Compare(Box::new(a), rest)),
            inner.clone().prop_map(|a| CodeExpr::Call(Function::Abs, vec![a])),
            vec(inner.clone(), 2..4).prop_map(|all| CodeExpr::Call(Function::Max, all)),
            vec(inner, 0..4).prop_map(CodeExpr::Tuple),
        ]
    })
}

fn action() -> impl Strategy<Value = Action> {
    let call = (vec(expr(), 0..4), expr()).prop_map(|(arguments, result)| SystemCall {
        end: None,
        name: "call".to_owned(),
        arguments: arguments.into_iter().map(spanned).collect(),
        result: spanned(result),
        errno: None,
        note: None,
    });
    let always_true = |e: &CodeExpr| matches!(e, CodeExpr::Tuple(_) | CodeExpr::Text(_));
    let condition = code_expr().prop_filter("says nothing", move |e| !always_true(e));
    let code = (condition, proptest::option::of(code_expr())).prop_map(|(condition, message)| {
        Action::Code(vec![spanned(Statement::Assert { condition, message })])
    });
    prop_oneof![
        packet().prop_map(Action::Packet),
        call.prop_map(Action::SystemCall),
        code,
        "[a-z =;'\"]{0,8}".prop_map(Action::Command),
    ]
}

fn script() -> impl Strategy<Value = Script> {
    vec((any::<u64>(), action()), 1..4).prop_map(|events| {
        let event = |(nanos, action)| {
            let time = EventTime::Relative(Time { nanos });
            spanned(Event { time, action })
        };
        let events = events.into_iter().map(event).collect();
        Script { options: vec![], init_command: None, events, cleanup_command: None }
    })
}

/// Pieces of the notation, to be thrown together.
const PIECES: &[&str] = &[
    "0 ",
    "+.1 ",
    "* ",
    "~",
    "...",
    "<",
    ">",
    "[",
    "]",
    "(",
    ")",
    "{",
    "}",
    ",",
    "=",
    ":",
    "|",
    "-",
    "S",
    "P.5",
    ".",
    "1:1(0)",
    " ack 1",
    " win 9",
    "mss 1",
    "nop",
    "sack ",
    "FO ab",
    "icmp ",
    "unreachable",
    "udp (1)",
    "read(3, ..., 1) = 1",
    "fd=1",
    "sa_family=",
    "`",
    "\"",
    "\\",
    "%{ ",
    " }%",
    "assert ",
    "tcpi_rtt",
    "not ",
    "==",
    "1",
    "/*",
    "*/",
    "//",
    "\n",
    "--mss=",
    "--define=A=B",
    "\u{e9}",
    "\0",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1024))]

    #[test]
    fn any_bytes(text in vec(any::<u8>(), 0..200)) {
        check(&text);
    }

    #[test]
    fn any_pieces(pieces in vec(select(PIECES), 0..30)) {
        check(pieces.concat().as_bytes());
    }

    /// A valid script, changed here and there: replaced, removed or doubled bytes.
    #[test]
    fn changed_scripts(
        which in any::<Index>(),
        changes in vec((any::<Index>(), 0..4_u8, select(PIECES)), 1..6),
    ) {
        let mut text = which.get(examples::scripts()).as_bytes().to_vec();
        for (place, change, piece) in changes {
            let place = place.index(text.len());
            match change {
                0 => text[place] = piece.as_bytes()[0],
                1 => drop(text.remove(place)),
                2 => text.insert(place, text[place]),
                _ => drop(text.splice(place..place, piece.bytes())),
            }
            if text.is_empty() {
                break;
            }
        }
        check(&text);
    }

    #[test]
    fn any_script_prints_as_it_reads(script in script()) {
        let printed = script.to_string();
        match parse("printed", printed.as_bytes()) {
            Ok(again) => prop_assert_eq!(again, script, "{}", printed),
            Err(error) => panic!("{error}\nin:\n{printed}"),
        }
    }
}
