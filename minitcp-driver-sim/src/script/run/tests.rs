//! A script that says what is not so must fail, and where; one that asks too much is refused.

use super::{Failure, Report, Settings, run};
use crate::script::options::ScriptOption;
use crate::script::parse;

const ESTABLISHED: &str = "--exact
0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3
+0 bind(3, ..., ...) = 0
+0 listen(3, 5) = 0
+0 < S 0:0(0) win 65535 <mss 1000>
+0 > S. 0:0(0) ack 1 <mss 1460>
+.1 < . 1:1(0) ack 1 win 65535
+0 accept(3, ..., ...) = 4
";

const ESTABLISHED_LINES: usize = 8;

fn run_with(text: &str, settings: &Settings) -> Result<Report, Failure> {
    run("t.pkt", &parse("t.pkt", text.as_bytes()).unwrap(), settings)
}

fn run_text(text: &str) -> Result<Report, Failure> {
    run_with(text, &Settings::default())
}

#[test]
fn what_the_stack_does_not_do_fails_where_it_stands() {
    // The rest of a script, its line that is wrong (from 1), and what the message says.
    for (rest, line, message) in [
        ("+0 write(4, ..., 9) = 9\n", 1, "sent more than the script expects"),
        ("+0 write(4, ..., 9) = 9\n+1 close(3) = 0\n", 2, "sent more than the script expects"),
        ("+0 write(4, ..., 9) = 8\n", 1, "write() returned 9, not 8"),
        ("+0 write(4, ..., 9) = 9\n+0 > . 1:10(9) ack 1\n", 2, "flags P., not ."),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 2:11(9) ack 1\n", 2, "seq 1, not 2"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:11(10) ack 1\n", 2, "length 9, not 10"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 2\n", 2, "ack 1, not 2"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9)\n", 2, "ack 1, not 0"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1 win 1\n", 2, "win 65535, not 1"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1 urg 1\n", 2, "urg 0, not 1"),
        ("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1 <nop,nop,nop,nop>\n", 2, "options"),
        ("+0 write(4, ..., 9) = 9\n+0 > [ect0] P. 1:10(9) ack 1\n", 2, "type of service 0x00"),
        ("+0 write(4, ..., 9) = 9\n+0 > [ttl 63] P. 1:10(9) ack 1\n", 2, "ttl 64, not 63"),
        ("+0 write(4, ..., 9) = 9\n+.1 > P. 1:10(9) ack 1\n", 2, "sent at 0.100000"),
        ("+0 write(4, ..., 9) = 9\n+.1~+.2 > P. 1:10(9) ack 1\n", 2, "sent at 0.100000"),
        ("+0 write(4, ..., 9) = 9\n+0 > udp (9)\n", 2, "no conversation"),
        ("+0 write(4, ..., 9) = 9\n+0 > 8080 > 9 P. 1:10(9) ack 1\n", 2, "no conversation"),
        ("+0 > P. 1:10(9) ack 1\n", 1, "was not sent"),
        ("* > P. 1:10(9) ack 1\n", 1, "was not sent"),
        ("+0 read(4, ..., 9) = 0\n", 1, "read() blocks"),
        ("+0...1 read(4, ..., 9) = 0\n", 1, "read() never returned"),
        (
            "+0...1 read(4, ..., 9) = 0\n+2 < . 1:1(0) ack 1 win 9\n",
            1,
            "read() has not returned at 1.1",
        ),
        ("+0...1 read(4, ..., 9) = 5\n+.5 < P. 1:6(5) ack 1 win 9\n", 1, "returned at 0.600000"),
        ("+0...1 read(4, ..., 9) = 5\n+0 close(3) = 0\n", 2, "has not returned yet"),
        ("+0 close(9) = 0\n", 1, "returned -1 EBADF, not 0"),
        ("+0 close(9) = -1 EPIPE (Broken pipe)\n", 1, "-1 EBADF, not -1 EPIPE"),
        ("+0 accept(3, ..., ...) = -1 EBADF (Bad file)\n", 1, "accept() blocks"),
        ("+0 getsockopt(4, SOL_TCP, TCP_NODELAY, [1], [4]) = 0\n", 1, "yields 0, not 1"),
        ("+0 ioctl(4, SIOCINQ, [1]) = 0\n", 1, "yields 0, not 1"),
        ("+0 poll([{fd=4, events=POLLOUT, revents=0}], 1, 0) = 1\n", 1, "poll() finds 0x4"),
        ("+0 %{ assert tcpi_snd_cwnd == 9 }%\n", 1, "assertion failed"),
        ("0 close(3) = 0\n", 1, "it is 0.100000 already"),
        ("+.2 < P. 1:6(5) ack 1 win 9\n+0 read(4, \"hello\", 9) = 5\n", 2, "did not send"),
    ] {
        let text = [ESTABLISHED, rest].concat();
        let failure = run_text(&text).expect_err(rest);
        assert!(!failure.is_refusal, "{rest}{failure}");
        assert_eq!(failure.position.line, ESTABLISHED_LINES + line, "{rest}{failure}");
        assert!(failure.message.contains(message), "{rest}{failure}");
    }
    run_text(ESTABLISHED).unwrap();
}

#[test]
fn what_cannot_be_checked_is_refused() {
    for (rest, message) in [
        ("+0 fork() = 0\n", "fork() is not supported"),
        ("+0 setsockopt(4, SOL_TCP, TCP_MD5SIG, [1], 4) = 0\n", "no such option"),
        ("+0 getsockopt(4, SOL_TCP, TCP_SYNCNT, [1], [4]) = 0\n", "no such option"),
        ("+0 epoll_create(1) = 5\n+0 poll([{fd=5, events=1}], 1, 0) = 0\n", "not supported"),
        ("+0 send(4, ..., 1, MSG_EOR) = 1\n", "flags are not supported"),
        ("+0 socket(AF_INET6, SOCK_STREAM, IPPROTO_TCP) = 5\n", "not that of the script's"),
        ("+0 socket(..., SOCK_RAW, IPPROTO_TCP) = 5\n", "only TCP and UDP"),
        ("+0 %{ assert tcpi_reordering == 3 }%\n", "the stack has no tcpi_reordering"),
        ("+0 %{ assert 1 / 0 == 3 }%\n", "division by zero"),
        ("+0 %{ assert (-9223372036854775807 << 64) // -1 == 3 }%\n", "assertion failed"),
        ("+0 write(4, ..., 99999999999) = 1\n", "out of range"),
        ("+0 < icmp unreachable frag_needed mtu 9 [raw (9)]\n+0 `true`\n", "shell command"),
    ] {
        let text = [ESTABLISHED, rest].concat();
        let failure = run_text(&text).expect_err(rest);
        assert!(failure.message.contains(message), "{rest}{failure}");
        assert_eq!(failure.is_refusal, message != "assertion failed", "{rest}{failure}");
        assert!(failure.position.line > ESTABLISHED_LINES, "{rest}{failure}");
    }
    let late = run_text("1 socket(..., SOCK_STREAM, 0) = 3\n").unwrap_err();
    assert!(late.is_refusal && late.message.contains("time 0"), "{late}");
}

#[test]
fn shell_commands_are_skipped_on_demand_only() {
    let text = ["`ip tcp_metrics flush all`\n", &published(), "+0 `true`\n"].concat();
    let failure = run_text(&text).unwrap_err();
    assert_eq!((failure.is_refusal, failure.position.line), (true, 1));
    run_with(&text, &Settings { ignore_shell: true, ..Settings::default() }).unwrap();
}

#[test]
fn sysctls_configure_the_stack_before_it_begins() {
    let text = |before: &str, window: &str, after: &str| {
        format!(
            "{before}+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n+0 bind(3, ..., ...) = 0\n\
             +0 listen(3, 1) = 0\n+0 < S 0:0(0) win 9 <mss 1000,nop,wscale 0>\n\
             +0 > S. 0:0(0) ack 1 {window}\n{after}"
        )
    };
    let sysctls = "0 `sysctl -w net.inet.tcp.recvspace=5000`\n\
                   +0 `sysctl -w kern.ipc.maxsockbuf=2097152`\n";
    let window = "win 5000 <mss 1460,nop,wscale 6>";
    let cleanup = "+0 close(3) = 0\n+0 `sysctl -w net.inet.tcp.recvspace=65536`\n";
    run_text(&text(sysctls, window, cleanup)).unwrap();
    let options = "--receive_buffer=5000\n--window_scale=6\n";
    run_text(&text(options, window, "")).unwrap();
    let late = "+0 `sysctl -w net.inet.tcp.recvspace=5001`\n+0 close(3) = 0\n";
    let failure = run_text(&text(sysctls, window, late)).unwrap_err();
    assert!(failure.is_refusal && failure.message.contains("too late"), "{failure}");
    let given = vec![ScriptOption::new("receive_buffer", Some("4000")).unwrap()];
    let settings = Settings { options: given, ..Settings::default() };
    run_with(&text(sysctls, "win 4000 <mss 1460,nop,wscale 6>", late), &settings).unwrap();
}

#[test]
fn options_may_come_in_any_order_unless_the_script_is_exact() {
    let rest = "0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
                +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n\
                +0 connect(3, ..., ...) = -1 EINPROGRESS (In progress)\n";
    let syn = |options| format!("{rest}+0 > S 0:0(0) <{options}>\n");
    let ordered = syn("mss 1460,sackOK,TS val 1 ecr 0,nop,wscale 3");
    let mixed = syn("mss 1460,nop,wscale 3,sackOK,TS val 1 ecr 0");
    run_text(&mixed).unwrap();
    run_text(&["--exact\n", &ordered].concat()).unwrap();
    run_text(&["--exact\n", &mixed].concat()).unwrap_err();
    for wrong in [
        "mss 1460,nop,wscale 3,TS val 1 ecr 0,nop,nop",
        "mss 1460,nop,wscale 2,sackOK,TS val 1 ecr 0",
        "mss 1460,mss 1460,nop,wscale 3,sackOK,TS val 1 ecr 0",
    ] {
        run_text(&syn(wrong)).unwrap_err();
    }
}

#[test]
fn a_packet_may_come_in_pieces_unless_told_otherwise() {
    let rest = "+0 write(4, ..., 2500) = 2500\n+0 > . 1:2001(2000) ack 1\n+.1 < . 1:1(0) ack 2001 win 9000\n+0 > P. 2001:2501(500) ack 1\n";
    run_text(&[ESTABLISHED, rest].concat()).unwrap();
    let strict = run_text(&["--strict_segments\n", ESTABLISHED, rest].concat()).unwrap_err();
    assert!(strict.message.contains("length 1000, not 2000"), "{strict}");
}

#[test]
fn tolerance_is_what_the_script_says() {
    let timed = |options: &str, time: &str| {
        let rest =
            format!("+0 write(4, ..., 9) = 9\n+0 > P. 1:10(9) ack 1\n+{time} > P. 1:10(9) ack 1\n");
        run_text(&[options, &published(), &rest].concat()).is_ok()
    };
    // The retransmission leaves after 0.3 s: an eighth of the time since the event before.
    assert!(timed("", ".3") && timed("", ".342") && timed("", ".267"));
    assert!(!timed("", ".343") && !timed("", ".266"));
    let exact = "--exact\n";
    assert!(timed(exact, ".3") && timed(exact, ".3009") && timed(exact, ".2991"));
    assert!(!timed(exact, ".3011") && !timed(exact, ".2989"));
    let wide = "--tolerance_usecs=50000\n";
    assert!(timed(wide, ".26") && !timed(wide, ".24"));
    let none = "--tolerance_percent=0\n";
    assert!(timed(none, ".304") && !timed(none, ".3041"));
    assert!(timed("--tolerance_percent=20\n", ".35"));
}

/// The beginning of a script that is not exact.
fn published() -> String {
    ESTABLISHED.replace("--exact\n", "")
}

#[test]
fn an_exact_script_mentions_every_packet() {
    // Behind the last line, and of a conversation that the script has left for another one.
    let at_the_end = "+0 write(4, ..., 9) = 9\n";
    let of_another = "+0 write(4, ..., 9) = 9
+0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 5
+0 fcntl(5, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 connect(5, ..., ...) = -1 EINPROGRESS (Operation now in progress)
+0 > S 0:0(0) <...>
";
    for rest in [at_the_end, of_another] {
        let report = run_text(&[&published(), rest].concat()).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(report.unmentioned, 1, "{rest}");
        assert!(run_text(&[ESTABLISHED, rest].concat()).is_err(), "{rest}");
    }
    // What the conversation itself sends must be in the script, exact or not.
    let wrong = "+0 write(4, ..., 9) = 9\n+.1 < . 1:1(0) ack 1 win 9\n+0 > F. 1:1(0) ack 1\n";
    run_text(&[&published(), wrong].concat()).unwrap_err();
}

#[test]
fn a_report_has_the_exchange() {
    let report = run_text(&published()).unwrap();
    let expected = [
        "0.000000 < S 0:0(0) win 65535 <mss 1000>",
        "0.000000 > S. 0:0(0) ack 1 win 65535 <mss 1460>",
        "0.100000 < . 1:1(0) ack 1 win 65535",
    ];
    assert_eq!(report.exchange, expected);
}

#[test]
fn a_run_that_never_ends_is_ended() {
    let rest = "+0 write(4, ..., 9) = 9\n+1000 close(4) = 0\n";
    let settings = Settings { max_steps: 5, ..Settings::default() };
    let failure = run_with(&[ESTABLISHED, rest].concat(), &settings).unwrap_err();
    assert!(failure.message.contains("is this a loop"), "{failure}");
}

#[test]
fn the_message_shows_both_sides() {
    let text = [ESTABLISHED, "+0 write(4, ..., 9) = 9\n+.2 > P. 1:11(10) ack 1 win 9\n"].concat();
    let expected = "\
t.pkt:10:1: not the expected packet: sent at 0.100000; length 9, not 10; win 65535, not 9
  expected  0.300000 > P. 1:11(10) ack 1 win 9
    actual  0.100000 > P. 1:10(9) ack 1 win 65535
  the last packets:
    0.000000 < S 0:0(0) win 65535 <mss 1000>
    0.000000 > S. 0:0(0) ack 1 win 65535 <mss 1460>
    0.100000 < . 1:1(0) ack 1 win 65535";
    assert_eq!(run_text(&text).unwrap_err().to_string(), expected);
}

/// Runs what follows an established connection, which must go as it says.
fn check(rest: &str) {
    if let Err(failure) = run_text(&[ESTABLISHED, rest].concat()) {
        panic!("{failure}\n{rest}");
    }
}

#[test]
fn a_congestion_controller_has_a_name() {
    check(
        "+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, \"cubic\", [16]) = 0
+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, \"reno\", 4) = 0
+0 getsockopt(4, SOL_TCP, TCP_CONGESTION, \"reno\", [16]) = 0
+0 setsockopt(4, SOL_TCP, TCP_CONGESTION, \"vegas\", 5) = -1 ENOENT (No such file or directory)
",
    );
}

#[test]
fn options_are_those_of_the_connection() {
    let rest = "+0 setsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [3000], 4) = 0
+0 getsockopt(4, SOL_TCP, TCP_USER_TIMEOUT, [3000], [4]) = 0
+0 getsockopt(3, SOL_TCP, TCP_USER_TIMEOUT, [0], [4]) = 0
+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [1000], [4]) = 0
+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [500], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_MAXSEG, [10], 4) = -1 EINVAL (Invalid argument)
+0 getsockopt(4, SOL_TCP, TCP_MAXSEG, [500], [4]) = 0
+0 setsockopt(4, SOL_SOCKET, SO_SNDBUF, [3000], 4) = 0
+0 setsockopt(4, SOL_TCP, TCP_KEEPIDLE, [7], 4) = 0
+0 getsockopt(4, SOL_TCP, TCP_KEEPIDLE, [7], [4]) = 0
+0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [1], 4) = 0
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 write(4, ..., 4000) = 3000
+0 > . 1:501(500) ack 1
+0 > . 501:1001(500) ack 1
+0 > . 1001:1501(500) ack 1
+0 > . 1501:2001(500) ack 1
+0 > . 2001:2501(500) ack 1
+0 > P. 2501:3001(500) ack 1
+.1 < . 1:1(0) ack 3001 win 65535
+7 > . 3000:3000(0) ack 1
+0 setsockopt(4, SOL_SOCKET, SO_KEEPALIVE, [0], 4) = 0
+.1 < . 1:1(0) ack 3001 win 65535
+0 write(4, ..., 10) = 10
+0 > P. 3001:3011(10) ack 1
+.3 > P. 3001:3011(10) ack 1
+.6 > P. 3001:3011(10) ack 1
+1.2 > P. 3001:3011(10) ack 1
+.9...1 read(4, ..., 10) = -1 ETIMEDOUT (Connection timed out)
";
    // The read is not blocking, so it must find the end that has come by then.
    check(&rest.replace("+.9...1 read", "+1 read"));
}

#[test]
fn the_reading_side_can_be_shut() {
    check(
        "+0 shutdown(4, SHUT_RD) = 0
+0 read(4, ..., 10) = 0
+0 poll([{fd=4, events=POLLIN|POLLRDHUP, revents=POLLIN|POLLRDHUP}], 1, 0) = 1
+.1 < P. 1:6(5) ack 1 win 65535
+.04 > . 1:1(0) ack 6
+0 read(4, ..., 10) = 5
+0 read(4, ..., 10) = 0
+0 shutdown(4, SHUT_RDWR) = 0
+0 > F. 1:1(0) ack 6
+0 shutdown(3, SHUT_RD) = 0
+0 accept(3, ..., ...) = -1 EINVAL (Invalid argument)
",
    );
}

#[test]
fn epoll_tells_by_level_and_by_edge() {
    check(
        "+0 epoll_create(1) = 5
+0 fcntl(4, F_SETFL, O_RDWR|O_NONBLOCK) = 0
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = 0
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLIN, fd=4}) = -1 EEXIST (File exists)
+0 epoll_ctl(5, EPOLL_CTL_ADD, 3, {events=EPOLLIN, ptr=77}) = 0
+0 epoll_wait(5, {events=0, ptr=0}, 1, 0) = 0
+0...0.1 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 1000) = 1
+.1 < P. 1:11(10) ack 1 win 65535
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLIN|EPOLLET, fd=9}) = 0
+0 epoll_wait(5, {events=EPOLLIN, fd=9}, 1, 0) = 1
+0 epoll_wait(5, ..., 1, 0) = 0
+.04 > . 1:1(0) ack 11
+0 < P. 11:21(10) ack 1 win 65535
+0 epoll_wait(5, {events=EPOLLIN, fd=9}, 1, 0) = 1
+.04 > . 1:1(0) ack 21
+0 read(4, ..., 100) = 20
+0 epoll_ctl(5, EPOLL_CTL_MOD, 4, {events=EPOLLOUT|EPOLLONESHOT, u64=1}) = 0
+0 epoll_wait(5, {events=EPOLLOUT, u64=1}, 1, 0) = 1
+0 epoll_wait(5, ..., 1, 0) = 0
+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, NULL) = 0
+0 epoll_ctl(5, EPOLL_CTL_DEL, 4, NULL) = -1 ENOENT (No such file or directory)
+0...0.5 epoll_wait(5, ..., 1, 500) = 0
+1 < 9 > 8080 S 0:0(0) win 9
+0 > 8080 > 9 S. 0:0(0) ack 1 <...>
+0 < 9 > 8080 . 1:1(0) ack 1 win 9
+0 epoll_wait(5, {events=EPOLLIN, ptr=77}, 9, 0) = 1
+0 close(5) = 0
",
    );
    let wrong = "+0 epoll_create(1) = 5
+0 epoll_ctl(5, EPOLL_CTL_ADD, 4, {events=EPOLLOUT, fd=4}) = 0
+0 epoll_wait(5, {events=EPOLLIN, fd=4}, 1, 0) = 1
";
    let failure = run_text(&[ESTABLISHED, wrong].concat()).unwrap_err();
    assert!(failure.message.contains("finds 0x4 for 4, not 0x1"), "{failure}");
}

#[test]
fn tcp_info_counts_what_is_on_the_wire() {
    check(
        "+0 write(4, ..., 2000) = 2000
+0 %{ assert tcpi_unacked == 2 and tcpi_data_segs_out == 2 and tcpi_bytes_retrans == 0 }%
+0 > P. 1:2001(2000) ack 1
+.3 > . 1:1001(1000) ack 1
+0 %{ assert tcpi_segs_in == 2 and tcpi_data_segs_in == 0
assert tcpi_bytes_sent == 3000 and tcpi_bytes_retrans == 1000 and tcpi_total_retrans == 1
assert tcpi_ca_state == TCP_CA_Loss and tcpi_options == 0 and tcpi_advmss == 1460
assert tcpi_snd_wnd == 65535 and tcpi_last_data_sent == 0 and TCP_NODELAY == 1 }%
",
    );
}
