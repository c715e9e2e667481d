//! The server and its clients as blocking programs on two simulated hosts.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, mpsc};
use std::time::Duration;

use minitcp_driver_sim::{Link, Network, Programs, SimDriver};
use minitcp_proto::{Config, Driver, Instant, Observer, Stack};
use minitcp_sockets::{Net, Runtime as _, TcpStream};
use sha2::{Digest as _, Sha256};

use super::client::converse;
use super::output::body_octet;
use super::server::{Bounds, Server};

/// The simulator, with the errors that sockets speak of.
struct Sim(SimDriver);

impl Driver for Sim {
    type Error = io::Error;

    fn now(&self) -> Instant {
        self.0.now()
    }

    fn turn<O: Observer>(
        &mut self,
        stack: &mut Stack<'_, O>,
        wait_until: Option<Instant>,
    ) -> io::Result<()> {
        self.0.turn(stack, wait_until).map_err(io::Error::other)
    }
}

type Stream = TcpStream<Net<Sim>>;

/// Runs a server until `client`, on another host, has returned; then what the server reported,
/// and how many connections it still had.
fn with_server(bounds: Bounds, client: impl FnOnce(&Net<Sim>) + Send) -> (Vec<String>, u32) {
    with_server_until_closed(bounds, client, |()| {})
}

/// As [`with_server`]; `after` gets what `client` returned when the server has closed.
fn with_server_until_closed<T>(
    bounds: Bounds,
    client: impl FnOnce(&Net<Sim>) -> T + Send,
    after: impl FnOnce(T) + Send,
) -> (Vec<String>, u32) {
    let (reports, left) = (Mutex::new(Vec::new()), Mutex::new(0));
    let is_over = AtomicBool::new(false);
    let mut programs = Programs::new(Network::new(1));
    let serving = programs.program(Config::new([10, 0, 0, 2], 24), |stack, driver| {
        let net = Net::new(stack, Sim(driver));
        let (sender, receiver) = mpsc::channel();
        let report = move |happening| sender.send(happening).unwrap();
        let mut server = Server::bind(&net, addr(), bounds, report).unwrap();
        while !is_over.load(Ordering::Relaxed) {
            server.step(Some(Duration::from_millis(50))).unwrap();
        }
        let connections = net.with_stack(|stack| stack.usage().connections).unwrap();
        *left.lock().unwrap() = connections;
        server.close(Duration::from_secs(1)).unwrap();
        *reports.lock().unwrap() = receiver.try_iter().map(|line| line.to_string()).collect();
    });
    let asking = programs.program(Config::new([10, 0, 0, 1], 24), |stack, driver| {
        let net = Net::new(stack, Sim(driver));
        let kept = client(&net);
        net.drain(Duration::from_secs(5)).unwrap();
        is_over.store(true, Ordering::Relaxed);
        // The host stays until the server has said goodbye.
        let limit = net.now().unwrap() + Duration::from_secs(3);
        while net.now().unwrap() < limit {
            net.turn(Some(limit)).unwrap();
        }
        after(kept);
    });
    programs.network().link(serving, asking, Link::new().delay(Duration::from_millis(1)));
    programs.set_limit(Instant::from_secs(3600));
    programs.run();
    (reports.into_inner().unwrap(), left.into_inner().unwrap())
}

fn addr() -> SocketAddr {
    "10.0.0.2:8080".parse().unwrap()
}

fn connect(net: &Net<Sim>) -> Stream {
    let stream = TcpStream::connect_on(net, addr()).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream
}

fn expect(mut stream: &Stream, text: &str) {
    let mut octets = vec![0; text.len()];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(String::from_utf8_lossy(&octets), text);
}

/// Sends a request and returns the head and the body of the answer, which the end delimits.
fn ask(net: &Net<Sim>, request: &[u8]) -> (String, Vec<u8>) {
    let mut stream = connect(net);
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let blank = answer.windows(4).position(|window| window == b"\r\n\r\n").unwrap() + 4;
    let body = answer.split_off(blank);
    (String::from_utf8(answer).unwrap(), body)
}

#[test]
fn lines_come_back_and_go_to_the_others() {
    let (reports, left) = with_server(Bounds::default(), |net| {
        let [mut ann, mut bob, eve] = [connect(net), connect(net), connect(net)];
        let name = |stream: &Stream| stream.local_addr().unwrap();
        ann.write_all(b"hello\n").unwrap();
        expect(&ann, "hello\n");
        for other in [&bob, &eve] {
            expect(other, &format!("{}: hello\n", name(&ann)));
        }
        bob.write_all(b"half a li").unwrap();
        bob.write_all(b"ne\r\nlast").unwrap();
        bob.shutdown(Shutdown::Write).unwrap();
        expect(&bob, "half a line\r\nlast");
        assert_eq!(bob.read(&mut [0; 9]).unwrap(), 0, "the server closes, too");
        for other in [&ann, &eve] {
            expect(other, &format!("{0}: half a line\r\n{0}: last\n", name(&bob)));
        }
    });
    assert_eq!(left, 0);
    let count = |word| reports.iter().filter(|line| line.ends_with(word)).count();
    assert_eq!((count("joined"), count("left")), (3, 3), "{reports:?}");
}

#[test]
fn a_browser_is_answered_while_others_chat() {
    with_server(Bounds::default(), |net| {
        let (mut ann, browser) = (connect(net), connect(net));
        ann.write_all(b"noise\n").unwrap();
        expect(&ann, "noise\n");
        (&browser).write_all(b"GET / HTTP/1.1\r\nHost: 10.0.0.2\r\n\r\n").unwrap();
        expect(
            &browser,
            "HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\
             Connection: close\r\n\r\nhello",
        );
        assert_eq!((&browser).read(&mut [0; 9]).unwrap(), 0);
        let (head, body) = ask(net, b"HEAD /any/thing HTTP/1.0\r\n\r\n");
        assert!(head.contains("Content-Length: 5\r\n") && body.is_empty(), "{head}");
    });
}

#[test]
fn much_goes_both_ways_unchanged() {
    const LEN: usize = 3_000_000;
    with_server(Bounds::default(), |net| {
        let data: Vec<u8> = (0..).map(body_octet).take(LEN).collect();
        let (head, body) = ask(net, format!("GET /bytes/{LEN} HTTP/1.1\r\n\r\n").as_bytes());
        assert!(head.contains(&format!("Content-Length: {LEN}\r\n")), "{head}");
        assert!(body == data);
        let head = format!("PUT /sink HTTP/1.1\r\nContent-Length: {LEN}\r\n\r\n");
        let (_, digest) = ask(net, &[head.as_bytes(), &data].concat());
        let hex: String = Sha256::digest(&data).iter().map(|o| format!("{o:02x}")).collect();
        assert_eq!(String::from_utf8(digest).unwrap(), hex);
    });
}

#[test]
fn a_client_may_wait_for_100_continue() {
    with_server(Bounds::default(), |net| {
        let mut stream = connect(net);
        stream
            .write_all(b"POST /sink HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n")
            .unwrap();
        expect(&stream, "HTTP/1.1 100 Continue\r\n\r\n");
        stream.write_all(b"abc").unwrap();
        expect(&stream, "HTTP/1.1 200 OK\r\n");
    });
}

#[test]
fn long_lines_are_cut() {
    with_server(Bounds { line_bytes: 8, ..Bounds::default() }, |net| {
        let mut stream = connect(net);
        stream.write_all(b"0123456789\n").unwrap();
        expect(&stream, "01234567\n89\n");
    });
}

#[test]
fn a_client_that_reads_too_slowly_is_dropped_and_the_others_are_not() {
    let bounds = Bounds { queue_bytes: 128 << 10, ..Bounds::default() };
    let (reports, _) = with_server(bounds, |net| {
        let (slow, mut fast) = (connect(net), connect(net));
        (&slow).write_all(b"hi\n").unwrap();
        expect(&slow, "hi\n");
        expect(&fast, &format!("{}: hi\n", slow.local_addr().unwrap()));
        let line = [&[b'x'; 4000][..], b"\n"].concat();
        let text = String::from_utf8(line.clone()).unwrap();
        // More than both socket buffers and the queue hold.
        for _ in 0..250 {
            fast.write_all(&line).unwrap();
            expect(&fast, &text);
        }
        let mut received = Vec::new();
        let error = (&slow).read_to_end(&mut received).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::ConnectionReset);
        fast.write_all(b"still here\n").unwrap();
        expect(&fast, "still here\n");
    });
    let slow = reports.iter().filter(|line| line.contains("too slowly")).count();
    assert_eq!(slow, 1, "{reports:?}");
}

#[test]
fn a_client_that_takes_nothing_for_long_is_dropped() {
    let bounds = Bounds { stall: Duration::from_secs(20), ..Bounds::default() };
    let (reports, left) = with_server(bounds, |net| {
        let mut stream = connect(net);
        stream.write_all(b"GET /bytes/10000000 HTTP/1.1\r\n\r\n").unwrap();
        let limit = net.now().unwrap() + Duration::from_secs(60);
        while net.now().unwrap() < limit {
            net.turn(Some(limit)).unwrap();
        }
    });
    assert_eq!(left, 0);
    assert!(reports.iter().any(|line| line.contains("too slowly")), "{reports:?}");
}

#[test]
fn a_client_that_vanishes_leaves_nothing_behind() {
    let (reports, left) = with_server(Bounds::default(), |net| {
        let mut stream = connect(net);
        stream.write_all(b"GET /bytes/100000000 HTTP/1.1\r\n\r\n").unwrap();
        stream.read_exact(&mut [0; 100_000]).unwrap();
        drop(stream); // With unread octets: a reset.
        let limit = net.now().unwrap() + Duration::from_millis(100); // It has to get there.
        while net.now().unwrap() < limit {
            net.turn(Some(limit)).unwrap();
        }
    });
    assert_eq!(left, 0);
    assert!(reports.iter().any(|line| line.contains("lost: ")), "{reports:?}");
}

#[test]
fn clients_beyond_the_bound_wait_their_turn() {
    with_server(Bounds { clients: 2, ..Bounds::default() }, |net| {
        let (first, _second, mut third) = (connect(net), connect(net), connect(net));
        third.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        third.write_all(b"anybody?\n").unwrap();
        assert_eq!(third.read(&mut [0; 9]).unwrap_err().kind(), ErrorKind::WouldBlock);
        drop(first);
        expect(&third, "anybody?\n");
    });
}

#[test]
fn many_browsers_at_once() {
    let (_, left) = with_server(Bounds::default(), |net| {
        for _ in 0..4 {
            let streams: Vec<_> = (0..50).map(|_| connect(net)).collect();
            for mut stream in &streams {
                stream.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
            }
            for mut stream in &streams {
                let mut answer = String::new();
                stream.read_to_string(&mut answer).unwrap();
                assert!(answer.ends_with("\r\n\r\nhello"));
            }
        }
    });
    assert_eq!(left, 0);
}

#[test]
fn the_client_program_sends_its_input_and_prints_what_comes() {
    with_server(Bounds::default(), |net| {
        let stream = connect(net);
        let (sender, input) = mpsc::channel();
        for line in [&b"one\n"[..], b"two\n", b"unfinished"] {
            sender.send(line.to_vec()).unwrap();
        }
        drop(sender);
        let mut output = Vec::new();
        converse(net, &stream, &input, &mut output, || false).unwrap();
        assert_eq!(String::from_utf8(output).unwrap(), "one\ntwo\nunfinished");
    });
}

#[test]
fn an_interrupt_ends_the_client_program_if_it_is_meant_to() {
    with_server(Bounds::default(), |net| {
        let stream = connect(net);
        let (_sender, input) = mpsc::channel();
        net.interrupter().interrupt();
        let error = converse(net, &stream, &input, Vec::new(), || true).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Interrupted);
    });
}

#[test]
fn closing_sends_what_waits_and_ends_every_connection() {
    let client = |net: &Net<Sim>| {
        let [quiet, mut loud, mut greedy] = [connect(net), connect(net), connect(net)];
        loud.write_all(b"last words\n").unwrap();
        greedy.write_all(b"GET /bytes/100000000 HTTP/1.1\r\n\r\n").unwrap();
        greedy.read_exact(&mut [0; 1000]).unwrap();
        expect(&loud, "last words\n");
        [quiet, loud, greedy]
    };
    with_server_until_closed(Bounds::default(), client, |[quiet, loud, mut greedy]| {
        expect(&quiet, &format!("{}: last words\n", loud.local_addr().unwrap()));
        for mut stream in [&quiet, &loud] {
            // A FIN, and when this end did not close in time, a reset.
            let end = stream.read(&mut [0; 9]).map_err(|error| error.kind());
            assert!(matches!(end, Ok(0) | Err(ErrorKind::ConnectionReset)), "{end:?}");
        }
        let end = greedy.read_to_end(&mut Vec::new()).map_err(|error| error.kind());
        assert_eq!(end, Err(ErrorKind::ConnectionReset), "not all of it could be sent");
    });
}
