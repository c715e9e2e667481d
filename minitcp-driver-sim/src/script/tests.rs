//! Tables: one line of script, and what it must become, or where it must be refused.

mod examples;
mod random;

use std::net::{IpAddr, Ipv4Addr};

use super::ast::*;
use super::expr::*;
use super::icmp::*;
use super::options::*;
use super::packet::*;
use super::tcp_option::*;
use super::{parse, parse_with};

fn event(text: &str) -> Event {
    let script = parse("t.pkt", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let again = parse("again.pkt", script.to_string().as_bytes());
    assert_eq!(again.as_ref(), Ok(&script), "printed: {script}");
    script.events.into_iter().next().expect("one event").value
}

fn packet(text: &str) -> Packet {
    match event(text).action {
        Action::Packet(packet) => packet,
        other => panic!("{other:?}"),
    }
}

fn tcp(text: &str) -> Tcp {
    match packet(text).body {
        PacketBody::Tcp(tcp) => tcp,
        other => panic!("{other:?}"),
    }
}

fn call(text: &str) -> SystemCall {
    match event(text).action {
        Action::SystemCall(call) => call,
        other => panic!("{other:?}"),
    }
}

fn name(text: &str) -> Expr {
    Expr::Name(text.to_owned())
}

#[test]
fn times() {
    let at = |nanos| Time { nanos };
    let table = [
        ("0 > . 0:0(0)", EventTime::Absolute(at(0))),
        ("0.100 > . 0:0(0)", EventTime::Absolute(at(100_000_000))),
        ("+.1 > . 0:0(0)", EventTime::Relative(at(100_000_000))),
        ("+0> . 0:0(0)", EventTime::Relative(at(0))),
        ("* > . 0:0(0)", EventTime::Any),
        ("0.1~0.2 > . 0:0(0)", EventTime::AbsoluteRange(at(100_000_000), at(200_000_000))),
        ("+0~+.2 > . 0:0(0)", EventTime::RelativeRange(at(0), at(200_000_000))),
        ("1.000000001 > . 0:0(0)", EventTime::Absolute(at(1_000_000_001))),
        ("18446744073 > . 0:0(0)", EventTime::Absolute(at(18_446_744_073_000_000_000))),
    ];
    for (text, time) in table {
        assert_eq!(event(text).time, time, "{text}");
    }
}

#[test]
fn a_segment_with_everything() {
    let text = "0 < [ect0, flowlabel 0x12345] 80 > 9 SEWAFRPU. 1:11(10) ack 7 win 8 urg 9 \
                <mss 1460,wscale 7,eol,sackOK,nop,nop,TS val 1 ecr 4294967295,sack 1:2>";
    let ip = IpFields { tos: Some(Tos::Ecn(Ecn::Ect0)), flow_label: Some(0x12345), ttl: None };
    let options = vec![
        TcpOption::MaximumSegmentSize(1460),
        TcpOption::WindowScale(7),
        TcpOption::EndOfList,
        TcpOption::SackPermitted,
        TcpOption::NoOperation,
        TcpOption::NoOperation,
        TcpOption::Timestamps { value: 1, echo: u32::MAX },
        TcpOption::Sack(vec![(1, 2)]),
    ];
    // 4 + 3 + 1 + 2 + 1 + 1 + 10 + 10 = 32
    let expected = Tcp {
        ports: Some(Ports { source: 80, destination: 9 }),
        flags: TcpFlags { bits: 0x1ff, ace: false },
        seq: 1,
        payload_bytes: 10,
        ack: Some(7),
        window: Some(8),
        urgent: Some(9),
        options: TcpOptions::Exactly(options),
    };
    let body = PacketBody::Tcp(expected);
    assert_eq!(packet(text), Packet { direction: Direction::Inbound, ip, body });
}

#[test]
fn a_segment_with_nothing() {
    let expected = Tcp {
        ports: None,
        flags: TcpFlags::default(),
        seq: u32::MAX,
        payload_bytes: 1,
        ack: None,
        window: None,
        urgent: None,
        options: TcpOptions::Exactly(vec![]),
    };
    assert_eq!(tcp("* > - 4294967295:0(1)"), expected);
}

#[test]
fn flags() {
    let table = [
        ("S", 0x02, false),
        ("S.", 0x12, false),
        (".", 0x10, false),
        ("-", 0, false),
        ("FRPU", 0x2d, false),
        ("SEW", 0xc2, false),
        ("SWA", 0x182, false),
        ("P.5", 0x158, true),
        ("P5.", 0x158, true),
        (".7", 0x1d0, true),
        (".0", 0x10, true),
        ("F1", 0x41, true),
    ];
    for (text, bits, ace) in table {
        let segment = tcp(&format!("0 > {text} 1:1(0)"));
        assert_eq!(segment.flags, TcpFlags { bits, ace }, "{text}");
    }
    assert_eq!(TcpFlags { bits: 0x158, ace: true }.ace_count(), 5);
}

#[test]
fn options_of_a_segment() {
    use TcpOption::*;
    let table: [(&str, TcpOptions); 8] = [
        ("<...>", TcpOptions::Any),
        ("", TcpOptions::Exactly(vec![])),
        (
            "<sack 1:2 5:4294967295,nop,nop>",
            TcpOptions::Exactly(vec![Sack(vec![(1, 2), (5, u32::MAX)]), NoOperation, NoOperation]),
        ),
        ("<FO,nop,nop>", TcpOptions::Exactly(vec![FastOpen(vec![]), NoOperation, NoOperation])),
        (
            "<FO 00112233,nop,nop>",
            TcpOptions::Exactly(vec![FastOpen(vec![0, 17, 34, 51]), NoOperation, NoOperation]),
        ),
        (
            "<FOEXP 1a2b3c4d>",
            TcpOptions::Exactly(vec![FastOpenExperimental(vec![0x1a, 0x2b, 0x3c, 0x4d])]),
        ),
        ("<md5 0a0b>", TcpOptions::Exactly(vec![Md5(vec![10, 11])])),
        (
            "<kind 253 ff,nop>",
            TcpOptions::Exactly(vec![Other { kind: 253, data: vec![255] }, NoOperation]),
        ),
    ];
    for (text, expected) in table {
        assert_eq!(tcp(&format!("0 > . 1:1(0) {text}")).options, expected, "{text}");
    }
}

#[test]
fn fields_of_the_ip_header() {
    let none = IpFields::default();
    let ecn = |ecn| IpFields { tos: Some(Tos::Ecn(ecn)), ..none };
    let table = [
        ("", none),
        ("[noecn]", ecn(Ecn::NotEct)),
        ("(ect1)", ecn(Ecn::Ect1)),
        ("[ect01]", ecn(Ecn::EitherEct)),
        ("[ce]", ecn(Ecn::Ce)),
        ("[tos 0x10]", IpFields { tos: Some(Tos::Byte(16)), ..none }),
        ("(flowlabel 0xfffff)", IpFields { flow_label: Some(0xf_ffff), ..none }),
        ("[ttl 64]", IpFields { ttl: Some(64), ..none }),
    ];
    for (text, expected) in table {
        assert_eq!(packet(&format!("0 > {text} . 1:1(0)")).ip, expected, "{text}");
    }
}

#[test]
fn udp_and_icmp() {
    let udp = |ports, payload_bytes| PacketBody::Udp(Udp { ports, payload_bytes });
    let icmp = |kind: &str, code: Option<&str>, mtu, id, quoted| {
        let code = code.map(str::to_owned);
        PacketBody::Icmp(Icmp { kind: kind.to_owned(), code, mtu, id, quoted })
    };
    let quoted = Some(Quoted::Tcp { seq: 1, payload_bytes: 1460 });
    let needed = icmp("unreachable", Some("frag_needed"), Some(1200), None, quoted);
    let ports = Ports { source: 5, destination: 6 };
    let datagram = Some(Quoted::Udp { payload_bytes: 9 });
    let port = icmp("unreachable", Some("port_unreachable"), None, None, datagram);
    let table = [
        ("< udp (1000)", udp(None, 1000)),
        ("> udp 5 > 6 (0)", udp(Some(ports), 0)),
        ("< icmp unreachable frag_needed mtu 1200 [1:1461(1460)]", needed.clone()),
        ("< [1:1461(1460)] icmp unreachable frag_needed mtu 1200", needed),
        ("< icmp unreachable port_unreachable [udp (9)]", port),
        ("< icmp packet_too_big mtu 70000", icmp("packet_too_big", None, Some(70_000), None, None)),
        (
            "< icmp echo_request id 7 [raw (64)]",
            icmp("echo_request", None, None, Some(7), Some(Quoted::Raw { bytes: 64 })),
        ),
        ("> icmp type_9 code_7", icmp("type_9", Some("code_7"), None, None, None)),
    ];
    for (text, expected) in table {
        assert_eq!(packet(&format!("0 {text}")).body, expected, "{text}");
    }
}

#[test]
fn arguments_of_calls() {
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
    let table = [
        ("...", Expr::Ellipsis),
        ("-1", Expr::Integer(-1)),
        ("0x1F", Expr::Hex(31)),
        (
            "O_RDWR|O_NONBLOCK|1",
            Expr::Or(vec![name("O_RDWR"), name("O_NONBLOCK"), Expr::Integer(1)]),
        ),
        (r#""a\n\x00\"\\""#, Expr::Text(b"a\n\0\"\\".to_vec())),
        (r#""\'\r\t\0""#, Expr::Text(b"'\r\t\0".to_vec())),
        (r#""ab" "c""#, Expr::Text(b"abc".to_vec())),
        (r#""ab"..."#, Expr::TextPrefix(b"ab".to_vec())),
        ("[]", Expr::Array(vec![])),
        ("[1, [2]]", Expr::Array(vec![Expr::Integer(1), Expr::Array(vec![Expr::Integer(2)])])),
        ("{1, ...}", Expr::List(vec![Expr::Integer(1), Expr::Ellipsis])),
        ("{..., 1000}", Expr::IoVector { length: 1000 }),
        ("{onoff=1, linger=0}", Expr::Linger { onoff: 1, linger: 0 }),
        ("sizeof(struct linger)", Expr::SizeOf("struct linger".to_owned())),
        (r#"inet_addr("192.0.2.1")"#, Expr::Inet(Ipv4Addr::new(192, 0, 2, 1))),
        (
            r#"{sa_family = AF_INET, sin_port = htons(8080), sin_addr = inet_addr("192.0.2.1")}"#,
            Expr::SocketAddress { port: 8080, address },
        ),
        (
            r#"{sa_family=AF_INET6, sin_port=htons(1), sin_addr=inet_addr("::1")}"#,
            Expr::SocketAddress { port: 1, address: "::1".parse().unwrap() },
        ),
        (
            "{fd=3, events=POLLIN|POLLOUT, revents=POLLOUT}",
            Expr::PollFd(Box::new(PollFd {
                fd: Expr::Integer(3),
                events: Expr::Or(vec![name("POLLIN"), name("POLLOUT")]),
                revents: Some(name("POLLOUT")),
            })),
        ),
        (
            "{events=EPOLLIN|EPOLLET, u64=7}",
            Expr::EpollEvent(Box::new(EpollEvent {
                events: Expr::Or(vec![name("EPOLLIN"), name("EPOLLET")]),
                field: "u64",
                data: Expr::Integer(7),
            })),
        ),
        (
            "{msg_name(...)=..., msg_iov(1)=[{..., 10}], msg_flags=0}",
            Expr::MessageHeader(Box::new(MessageHeader {
                iov_length: 1,
                iov: vec![Expr::IoVector { length: 10 }],
                flags: Expr::Integer(0),
            })),
        ),
    ];
    for (text, expected) in table {
        let call = call(&format!("0 call({text}, 2) = 0"));
        assert_eq!(call.arguments[0].value, expected, "{text}");
        assert_eq!(call.arguments.len(), 2);
    }
}

#[test]
fn results_of_calls() {
    let blocking = call("+0...0.2 read(4, ..., 10) = -1 EAGAIN (Resource temporarily unavailable)");
    assert_eq!(blocking.end, Some(Time { nanos: 200_000_000 }));
    assert_eq!(blocking.result.value, Expr::Integer(-1));
    let errno = blocking.errno.expect("an errno");
    assert_eq!((&*errno.name, &*errno.message), ("EAGAIN", "Resource temporarily unavailable"));
    let noted = call("0 fcntl(3, F_GETFL) = 0x2 (flags O_RDWR)");
    assert_eq!((noted.errno, noted.note.as_deref()), (None, Some("flags O_RDWR")));
    assert_eq!(noted.arguments[1].at.column, 12);
    assert_eq!(call("0 pause() = 0").arguments, []);
}

#[test]
fn code_binds_as_python_does() {
    let table = [
        ("assert 1 + 2 * 3 == 7", "assert ((1 + (2 * 3)) == 7)"),
        ("assert 1 - 2 - 3 < 0", "assert (((1 - 2) - 3) < 0)"),
        ("assert tcpi_rtt & 1 == 0", "assert ((tcpi_rtt & 1) == 0)"),
        ("assert 1 | 2 ^ 3 & 4 << 5 + 6", "assert (1 | (2 ^ (3 & (4 << (5 + 6)))))"),
        ("assert not 1 == 2 and 3 or 4", "assert (((not (1 == 2)) and 3) or 4)"),
        ("assert 1 < tcpi_rto <= 3", "assert (1 < tcpi_rto <= 3)"),
        ("assert -1 + ~2 < 3 // 4 % 5", "assert (((-1) + (~2)) < ((3 // 4) % 5))"),
        ("assert abs(tcpi_rtt - 9) < max(1, 2)", "assert (abs((tcpi_rtt - 9)) < max(1, 2))"),
        ("assert (1), tcpi_rtt", "assert 1, tcpi_rtt"),
        ("assert 1, 'a \"%d\"' % (2, 3)", "assert 1, (\"a \\\"%d\\\"\" % (2, 3))"),
        ("assert 1 == \\\n 1; assert (2\n)\n", "assert (1 == 1); assert 2"),
        ("X = 0x7f # why\nassert X == 127", "X = 127; assert (X == 127)"),
        ("assert TCP_CLOSE, ()", "assert TCP_CLOSE, ()"),
        ("assert 1, (2,)", "assert 1, (2,)"),
    ];
    for (text, expected) in table {
        let printed = event(&format!("0 %{{ {text} }}%")).to_string();
        assert_eq!(printed, format!("0 %{{ {expected} }}%"), "{text}");
    }
}

#[test]
fn code_as_values() {
    let Action::Code(statements) =
        event("+1 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%").action
    else {
        panic!("no code")
    };
    let field = CodeExpr::Name("tcpi_snd_cwnd".to_owned());
    let ten = (Comparison::Equal, CodeExpr::Integer(10));
    let condition = CodeExpr::Compare(Box::new(field.clone()), vec![ten]);
    assert_eq!(statements[0].value, Statement::Assert { condition, message: Some(field) });
    assert_eq!((statements[0].at.line, statements[0].at.column), (1, 7));
}

#[test]
fn options_of_a_script() {
    let text = "--ip_version=ipv6 --mss=1000 // comment\n--tolerance_usecs = 10000\n\
                --tolerance_percent=12.5\n--remote_ip=192.0.2.1/24\n--local_ip=\"192.168.0.1\"\n\
                --strict_segments --non_fatal=\"packet, syscall\"\n\
                --define=COOKIE=abcd --define=CC=\"reno\"\n\
                `sysctl -q net.ipv4.tcp_sack=0`\n\
                0 > S 0:0(0) <FO COOKIE>\n0 setsockopt(3, SOL_TCP, TCP_CONGESTION, CC, 4) = 0\n\
                +0 `sleep 1`\n`cleanup`";
    let script = parse("t", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    let define = |name: &str, value: &str| {
        ScriptOption::Define(Definition::new(&format!("{name}={value}")).unwrap())
    };
    let expected = [
        ScriptOption::IpVersion(IpVersion::Ipv6),
        ScriptOption::Mss(1000),
        ScriptOption::ToleranceUsecs(10_000),
        ScriptOption::ToleranceMilliPercent(12_500),
        ScriptOption::RemoteIp("192.0.2.1".parse().unwrap(), Some(24)),
        ScriptOption::LocalIp("192.168.0.1".parse().unwrap()),
        ScriptOption::StrictSegments,
        ScriptOption::NonFatal { packet: true, syscall: true },
        define("COOKIE", "abcd"),
        define("CC", "\"reno\""),
    ];
    let options: Vec<_> = script.options.iter().map(|option| option.value.clone()).collect();
    assert_eq!(options, expected);
    assert_eq!(script.init_command.as_ref().unwrap().value, "sysctl -q net.ipv4.tcp_sack=0");
    assert_eq!(script.cleanup_command.as_ref().unwrap().value, "cleanup");
    let printed: Vec<_> = script.events.iter().map(ToString::to_string).collect();
    assert_eq!(printed[0], "0 > S 0:0(0) <FO abcd>");
    assert_eq!(printed[1], "0 setsockopt(3, SOL_TCP, TCP_CONGESTION, \"reno\", 4) = 0");
    assert_eq!(printed[2], "+0 `sleep 1`");
    assert_eq!(parse("again", script.to_string().as_bytes()), Ok(script));
}

#[test]
fn definitions_from_outside_override() {
    let outside = Definition::new("A=1122").unwrap();
    let text = b"--define=A=3344\n0 > S 0:0(0) <FO A>";
    let cookie = |definitions: &[Definition]| {
        parse_with("t", text, definitions).unwrap().events[0].to_string()
    };
    assert_eq!(cookie(&[outside]), "0 > S 0:0(0) <FO 1122>");
    assert_eq!(cookie(&[]), "0 > S 0:0(0) <FO 3344>");
}
