//! Sockets of tasks: under tokio, under another executor, and below an unmodified hyper.

#[path = "../threaded/cable.rs"]
#[expect(dead_code, reason = "shared with the tests of threads")]
mod cable;
mod ends;
mod http;

use std::net::SocketAddr;
use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use minitcp_sockets::Runtime as _;
use minitcp_sockets::aio::{self, TcpListener, TcpStream, UdpSocket};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use cable::{CLIENT, SERVER, pair};

fn addr(host: &str, port: u16) -> SocketAddr {
    SocketAddr::new(host.parse().unwrap(), port)
}

#[tokio::test]
async fn an_echo_until_the_end() {
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 7)).unwrap();
    let server = tokio::spawn(async move {
        let (stream, peer) = listener.accept().await.unwrap();
        assert_eq!(stream.peer_addr().unwrap(), peer);
        let (mut reading, mut writing) = stream.split();
        tokio::io::copy(&mut reading, &mut writing).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    let data: Vec<u8> = (0..1_000_000_u32).map(|i| u8::try_from(i / 5 % 251).unwrap()).collect();
    let stream = TcpStream::connect(&pair.client, addr(SERVER, 7)).await.unwrap();
    let (mut reading, mut writing) = stream.split();
    let expected = data.clone();
    let writer = tokio::spawn(async move {
        writing.write_all(&data).await.unwrap();
        writing.shutdown().await.unwrap();
    });
    let mut received = Vec::new();
    reading.read_to_end(&mut received).await.unwrap();
    assert!(received == expected);
    writer.await.unwrap();
    server.await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_tasks_on_few_threads() {
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 7)).unwrap();
    tokio::spawn(async move {
        loop {
            let (mut stream, _) = listener.accept().await.unwrap();
            tokio::spawn(async move {
                let mut line = [0; 5];
                stream.read_exact(&mut line).await.unwrap();
                stream.write_all(&line).await.unwrap();
            });
        }
    });
    let clients: Vec<_> = (0..300)
        .map(|_| {
            let net = pair.client.clone();
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&net, addr(SERVER, 7)).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                let mut text = String::new();
                stream.read_to_string(&mut text).await.unwrap();
                assert_eq!(text, "hello");
            })
        })
        .collect();
    for client in clients {
        client.await.unwrap();
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_and_one_that_is_given_up() {
    let pair = pair();
    let refused = TcpStream::connect(&pair.client, addr(SERVER, 81)).await.unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    // Nobody has this address: the cable swallows the SYN.
    let attempt = TcpStream::connect(&pair.client, addr("10.0.0.77", 80));
    tokio::time::timeout(Duration::from_millis(50), attempt).await.unwrap_err();
    let connections = pair.client.with_stack(|stack| stack.usage().connections).unwrap();
    assert_eq!(connections, 0, "dropping the future ends the attempt");
}

#[tokio::test]
async fn a_task_that_has_gone_takes_no_wake_up_with_it() {
    let pair = pair();
    let listener = Arc::new(TcpListener::bind(&pair.server, addr(SERVER, 7)).unwrap());
    let mut gone = Context::from_waker(Waker::noop());
    assert!(listener.poll_accept(&mut gone).is_pending());
    let twin = Arc::clone(&listener);
    let other = tokio::spawn(async move { twin.accept().await.map(|_| ()) });
    tokio::task::yield_now().await; // It waits, behind the one that has gone.
    let _client = TcpStream::connect(&pair.client, addr(SERVER, 7)).await.unwrap();
    let accepted = tokio::time::timeout(Duration::from_secs(20), other).await;
    accepted.expect("it waits for ever").unwrap().unwrap();
}

#[tokio::test]
async fn datagrams() {
    let pair = pair();
    let server = UdpSocket::bind(&pair.server, addr(SERVER, 9)).unwrap();
    let client = UdpSocket::bind(&pair.client, addr(CLIENT, 0)).unwrap();
    client.connect(addr(SERVER, 9)).unwrap();
    let echo = tokio::spawn(async move {
        let mut data = [0; 64];
        let received = server.recv_from(&mut data).await.unwrap();
        server.send_to(&data[..received.len], received.from.unwrap()).await.unwrap();
    });
    client.send(b"ping").await.unwrap();
    let mut data = [0; 2];
    let received = client.recv_from(&mut data).await.unwrap();
    assert_eq!((received.len, received.full_len), (2, 4));
    echo.await.unwrap();
}

#[test]
fn the_traits_of_futures_under_another_executor() {
    use futures_lite::AsyncWriteExt as _;
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 7)).unwrap();
    let server = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut text = String::new();
        futures_lite::AsyncReadExt::read_to_string(&mut stream, &mut text).await.unwrap();
        text
    };
    let client = async {
        let mut stream = TcpStream::connect(&pair.client, addr(SERVER, 7)).await.unwrap();
        futures_lite::AsyncWriteExt::write_all(&mut stream, b"hello").await.unwrap();
        stream.close().await.unwrap();
        assert_eq!(futures_lite::AsyncReadExt::read(&mut stream, &mut [0]).await.unwrap(), 0);
    };
    let (text, ()) = futures_lite::future::block_on(futures_lite::future::zip(server, client));
    assert_eq!(text, "hello");
}

#[tokio::test]
async fn a_task_sleeps_by_the_clock_of_its_net() {
    let pair = pair();
    let span = Duration::from_millis(20);
    let start = std::time::Instant::now();
    // One is given up; one is woken, also while a thread waits with the driver.
    drop(aio::sleep(&pair.client, Duration::from_millis(1)).unwrap());
    let net = pair.client.clone();
    let waits = std::thread::spawn(move || net.poll(&mut [], Some(Duration::from_millis(200))));
    aio::sleep(&pair.client, span).unwrap().await.unwrap();
    assert!((span..10 * span).contains(&start.elapsed()), "{:?}", start.elapsed());
    waits.join().unwrap().unwrap();
}
