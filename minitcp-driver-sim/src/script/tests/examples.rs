//! Whole scripts in the notation, there and back; and lines that must be refused, and where.

use super::super::parse;

/// Scripts as people write them: odd spacing, comments, several lines for one call.
const SCRIPTS: &[&str] = &[
    "// A passive open, data both ways, and a close.
--tolerance_usecs=10000
`../common/defaults.sh
sysctl -q net.ipv4.tcp_ecn=0
`
    0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
   +0 setsockopt(3, SOL_SOCKET, SO_REUSEADDR, [1], 4) = 0
   +0 bind(3, ..., ...) = 0
   +0 listen(3,1) = 0
   +0 < S 0:0(0) win 32792 <mss 1000,sackOK,nop,nop,nop,wscale 7>
   +0 > S. 0:0(0) ack 1 <mss 1460,nop,nop,sackOK,nop,wscale 8>
 +.1 < . 1:1(0) ack 1 win 257
   +0 accept(3, ..., ...) = 4
   +0 write(4, ..., 1000)=1000
   +0.0> P. 1:1001(1000) ack 1
   +0 %{ assert tcpi_snd_cwnd == 10, tcpi_snd_cwnd }%
 +.1 < P. 1:101(100) ack 1001 win 257
    * > . 1001:1001(0) ack 101
   +0 read(4, \"hello\"..., 4096) = 100
   +0 close(4) = 0
 +0~+.2 > F. 1001:1001(0) ack 101 /* the last
 word */ <...>
`/tmp/restore.sh`
",
    "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > SEW 0:0(0) <mss 1460,sackOK,TS val 100 ecr 0,nop,wscale 8>
+.01 < [ce] SE. 0:0(0) ack 1 win 5792 <mss 1460,sackOK,TS val 700 ecr 100,nop,wscale 7>
+0 > [ect01] . 1:1(0) ack 1 <nop,nop,TS val 200 ecr 700>
+.01...0.020 poll([{fd=3,
                    events=POLLIN|POLLOUT|POLLERR,
                    revents=POLLOUT}], 1, 100) = 1
+0 getsockopt(3, SOL_SOCKET, SO_ERROR, [0], [4]) = 0
+0 setsockopt(3, SOL_SOCKET, SO_LINGER, {onoff=1, linger=0}, 8) = 0
+0 sendmsg(3, {msg_name(...)=..., msg_iov(2)=[{..., 10}, {..., 20}], msg_flags=0}, 0) = 30
+0 > P. 1:31(30) ack 1 <...>
+0 %{ assert (tcpi_options & TCPI_OPT_SYN_DATA) == 0, tcpi_options; \\
      assert tcpi_unacked == 1 }%
+0 %{ LIMIT = 0x7fffffff
assert tcpi_snd_ssthresh == LIMIT }%
+.2 < R. 1:1(0) ack 31 win 0
+0 read(3, ..., 10) = -1 ECONNRESET (Connection reset by peer)
",
    "--ip_version=ipv6
--define=COOKIE=00112233aabb
0.000 socket(..., SOCK_DGRAM, IPPROTO_UDP) = 3
0.1 sendto(3, ..., 1000, 0, {sa_family=AF_INET6, sin_port=htons(53),
    sin_addr=inet_addr(\"2001:db8::1\")}, ...) = 1000
0.1~0.2 > [tos 0x2,flowlabel 0x1] udp 8080 > 53 (1000)
0.2 < icmp unreachable address_unreachable [udp (1000)]
0.2 < [1:1461(1460)] icmp packet_too_big mtu 1280
0.3 < 80 > 81 P.5 4294967290:4(10) ack 9 win 0 urg 1 <FO COOKIE>
0.3...0.5 recvfrom(3, \"a\\x00\\\"\", 3, MSG_PEEK, ..., ...) = -1 EAGAIN (Try again)
1 ioctl(3, SIOCINQ, [0]) = 0
",
];

#[test]
fn scripts_print_as_they_read() {
    for text in SCRIPTS {
        let script = parse("s", text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        let printed = script.to_string();
        let again = parse("again", printed.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(again, script, "{printed}");
        assert_eq!(again.to_string(), printed);
    }
}

pub(super) fn scripts() -> &'static [&'static str] {
    SCRIPTS
}

/// A script, the line and column where it goes wrong, and a part of the message.
const REFUSED: &[(&str, usize, usize, &str)] = &[
    ("", 1, 1, "no event"),
    ("// nothing\n", 2, 1, "no event"),
    ("0 < S 0:0(0)", 1, 13, "needs a window"),
    ("0 > S 0:1(0)", 1, 7, "disagree"),
    ("0 > S 0:0(1)", 1, 7, "disagree"),
    ("0 > S 0:0(65536)", 1, 11, "out of range"),
    ("0 > S 4294967296:0(0)", 1, 7, "out of range"),
    ("0 > S 0:0(0) ack -1", 1, 18, "out of range"),
    ("0 > S 0:0(0) win 65536", 1, 18, "out of range"),
    ("0 > SX 0:0(0)", 1, 5, "TCP flag `X`"),
    ("0 > E5 0:0(0)", 1, 5, "conflicts"),
    ("0 > 5E 0:0(0)", 1, 5, "conflicts"),
    ("0 > .8 0:0(0)", 1, 5, "TCP flag `8`"),
    ("0 > S 0:0(0) <mas 1460>", 1, 15, "unknown TCP option `mas`"),
    ("0 > S 0:0(0) <mss 1460,nop>", 1, 14, "no multiple of 4"),
    ("0 > S 0:0(0) <mss 1460,sackOK>", 1, 14, "no multiple of 4"),
    ("0 > S 0:0(0) <mss>", 1, 18, "expected the MSS"),
    ("0 > S 0:0(0) <mss 65536>", 1, 19, "out of range"),
    ("0 > S 0:0(0) <FO 123>", 1, 18, "even number"),
    ("0 > S 0:0(0) <md5 000102030405060708090a0b0c0d0e0f10>", 1, 19, "more than 16"),
    ("0 > S 0:0(0) <kind 1>", 1, 20, "eol, nop"),
    ("0 > . 0:0(0) <sack 1:2 3:4 5:6 7:8 9:9>", 1, 14, "longer than 40"),
    ("0 < . 0:0(0) win 1 <...>", 1, 20, "outbound packets only"),
    ("0 < [ect01] . 0:0(0) win 1", 1, 5, "outbound packets only"),
    ("0 > [ect0,ce] . 0:0(0)", 1, 11, "given twice"),
    ("0 > [dscp] . 0:0(0)", 1, 6, "unknown field"),
    ("0 > [flowlabel 0x100000] . 0:0(0)", 1, 16, "out of range"),
    ("0 < gre: ipv4 1.2.3.4 > 5.6.7.8: . 0:0(0)", 1, 5, "GRE encapsulation"),
    ("0 < ipv4 1.2.3.4 > 5.6.7.8: . 0:0(0)", 1, 5, "IP in IP"),
    ("0 < ipv6 2001:db8::1 > ::1: . 0:0(0)", 1, 5, "IP in IP"),
    ("0 < mpls (label 0, tc 0, ttl 0): . 0:0(0)", 1, 5, "MPLS"),
    ("0 > . 0:0(0) {mut tcp mss}", 1, 14, "mutations"),
    ("0 < icmp unreachable nowhere", 1, 10, "unknown ICMP"),
    ("0 < icmp unreachable mtu 9", 1, 10, "MTU out of place"),
    ("0 < [1:1(0)] icmp unreachable [1:1(0)]", 1, 39, "given twice"),
    ("-1 > . 0:0(0)", 1, 1, "negative"),
    ("0.1234567891 > . 0:0(0)", 1, 1, "nine digits"),
    ("99999999999 > . 0:0(0)", 1, 1, "too far"),
    ("0.2~0.1 > . 0:0(0)", 1, 1, "backwards"),
    ("+0~.1 > . 0:0(0)", 1, 4, "expected `+`"),
    ("* < . 0:0(0) win 1", 1, 1, "outbound packets only"),
    ("0~1 pause() = 0", 1, 1, "outbound packets only"),
    ("0.5...0.4 read(3, ..., 1) = 1", 1, 1, "before it is made"),
    ("0 read(3, ..., 1) = 1 EWHAT (What)", 1, 23, "unknown errno"),
    ("0 read(3, ..., 1) = -1 EAGAIN", 1, 30, "expected `(`"),
    ("0 read(3, ..., 1)", 1, 18, "expected `=`"),
    ("0 read(3, ..., ) = 1", 1, 16, "expected a value"),
    ("0 read(3, BOGUS) = 1", 1, 11, "unknown constant `BOGUS`"),
    ("0 read(3, a=1) = 1", 1, 11, "not supported here"),
    ("0 read(3, \"\\q\") = 1", 1, 11, "unknown escape"),
    ("0 read(3, 99999999999999999999) = 1", 1, 11, "out of range"),
    ("0 f({cmsg_level=1}) = 1", 1, 5, "control messages"),
    ("0 epoll_ctl(3, {events=1, f=2}) = 1", 1, 27, "expected `fd`"),
    ("0 f({(label 1)}) = 0", 1, 5, "MPLS"),
    ("0 f({}) = 0", 1, 5, "empty"),
    (
        "0 f({sa_family=AF_UNIX, sin_port=htons(1), sin_addr=inet_addr(\"::\")}) = 0",
        1,
        16,
        "family",
    ),
    (
        "0 f({sa_family=AF_INET, sin_port=htons(1), sin_addr=inet_addr(\"::\")}) = 0",
        1,
        63,
        "address",
    ),
    ("0 f(sizeof(struct what)) = 0", 1, 12, "unknown"),
    ("0 1f() = 0", 1, 3, "not the name"),
    ("0 %{ print(tcpi_rtt) }%", 1, 6, "only `assert`"),
    ("0 %{ }%", 1, 3, "asserts nothing"),
    ("0 %{ assert tcpi_rto == 1.5 }%", 1, 25, "whole numbers"),
    ("0 %{ assert tcpi_what == 1 }%", 1, 13, "unknown name"),
    ("0 %{ assert (tcpi_rto == 1, 2) }%", 1, 6, "always true"),
    ("0 %{ assert 'x' }%", 1, 6, "always true"),
    ("0 %{ assert 1 if 2 else 3 }%", 1, 15, "end of the statement"),
    ("0 %{ assert\n  1 == @ }%", 2, 8, "not supported"),
    ("0 %{ tcpi_rto = 1 }%", 1, 6, "cannot be given"),
    ("0 %{ assert abs(1, 2) }%", 1, 13, "arguments"),
    ("--what=1\n0 > . 0:0(0)", 1, 1, "no option"),
    ("--mss\n0 > . 0:0(0)", 1, 1, "needs a value"),
    ("--mss=x\n0 > . 0:0(0)", 1, 1, "bad value"),
    ("--verbose=1\n0 > . 0:0(0)", 1, 1, "takes no value"),
    ("--wire_server\n0 > . 0:0(0)", 1, 1, "no meaning"),
    ("--define=ack=1\n0 > . 0:0(0)", 1, 1, "bad value"),
    ("--define=A=B\n--define=B=C\n0 > . 0:0(0)", 2, 1, "another definition"),
    ("--define=A=B --define=A=C\n0 > . 0:0(0)", 1, 14, "defined twice"),
    ("0 > . 0:0(0)\n`a`\n0 > . 0:0(0)", 3, 1, "after the final"),
    ("0 > . 0:0(0)\n\t/* x", 2, 2, "comment never ends"),
    ("0 > . 0:0(0)\n--mss=1", 2, 1, "expected a time"),
    ("0 \u{e9}", 1, 3, "expected a packet"),
];

#[test]
fn what_is_wrong_is_refused_where_it_stands() {
    for (text, line, column, message) in REFUSED {
        let error = parse("t", text.as_bytes()).expect_err(text);
        let place = (error.position.line, error.position.column);
        assert_eq!(place, (*line, *column), "{error}");
        assert!(error.message.contains(message), "{error}\nshould say: {message}");
    }
}

#[test]
fn depth_and_length_are_bounded() {
    let many = 100_000;
    let table = [
        format!("0 f({}1", "[".repeat(many)),
        format!("0 %{{ assert {}1 }}%", "(".repeat(many)),
        format!("0 %{{ assert {}1 }}%", "not ".repeat(many)),
        format!("0 %{{ assert 1 {} }}%", "+ 1".repeat(many)),
        format!("0 f({}", "{fd=".repeat(many)),
    ];
    for text in table {
        let error = parse("t", text.as_bytes()).expect_err("bounded");
        let told = error.message.contains("too deep") || error.message.contains("too long");
        assert!(told, "{}", error.message);
    }
    // What is read can be printed and read again, at the limit too.
    let long = format!("0 %{{ assert {}1 }}%", "1 + ".repeat(49));
    let script = parse("t", long.as_bytes()).expect("within the bound");
    assert_eq!(parse("t", script.to_string().as_bytes()), Ok(script));
    let nested = format!("0 %{{ assert {}1 }}%", "not ".repeat(99));
    let script = parse("t", nested.as_bytes()).expect("within the bound");
    assert_eq!(parse("t", script.to_string().as_bytes()), Ok(script));
}
