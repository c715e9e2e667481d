//! Futures end, however the connection does: writes, flushes, shutdowns and reads of streams that
//! were reset, closed, or left without a device.

use std::future::Future;
use std::io::{self, ErrorKind};
use std::time::Duration;

use minitcp_sockets::aio::{TcpListener, TcpStream};
use minitcp_sockets::{OptionValue, SocketOption};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinHandle;

use crate::addr;
use crate::cable::{Pair, SERVER, pair};

/// More than both hosts have room for.
const MUCH: usize = 3_000_000;

async fn ends<T>(what: &str, future: impl Future<Output = T>) -> T {
    let limit = Duration::from_secs(20);
    tokio::time::timeout(limit, future).await.unwrap_or_else(|_| panic!("{what} never ends"))
}

/// A server that takes one client, hears something, and resets it.
fn resetting(pair: &Pair) -> JoinHandle<()> {
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 80)).unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        stream.read_exact(&mut [0; 100]).await.unwrap();
        let linger = OptionValue::from(Some(Duration::ZERO));
        stream.socket().set_option(SocketOption::Linger, linger).unwrap();
    })
}

fn is_an_end(error: &io::Error) -> bool {
    matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe)
}

#[tokio::test]
async fn flush_and_write_after_a_reset_end() {
    let pair = pair();
    let server = resetting(&pair);
    let mut client = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    let error = ends("write_all", client.write_all(&vec![7; MUCH])).await.unwrap_err();
    assert!(is_an_end(&error), "{error}");
    ends("flush", client.flush()).await.unwrap();
    let _either = ends("shutdown", client.shutdown()).await;
    let _either = ends("read", client.read(&mut [0; 8])).await;
    let _broken = ends("another write", client.write(b"x")).await.unwrap_err();
    ends("the server", server).await.unwrap();
}

/// One task reads, another writes: both hear of it.
#[tokio::test]
async fn a_reset_ends_both_halves() {
    let pair = pair();
    let server = resetting(&pair);
    let client = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    let (reading, mut writing) = client.split();
    let reader = tokio::spawn(async move { { reading }.read(&mut [0; 8]).await });
    let write = ends("write_all", writing.write_all(&vec![7; MUCH])).await;
    let read = ends("read", reader).await.unwrap();
    // One of them is told, and for the other the stream is over.
    assert!(write.is_err_and(|error| is_an_end(&error)));
    assert!(read.map_or_else(|error| is_an_end(&error), |len| len == 0));
    ends("the server", server).await.unwrap();
}

/// Closing an `AsyncWrite` of `futures` shuts one direction, and the answer still comes.
#[tokio::test]
async fn closing_the_writer_keeps_the_reader() {
    use futures_lite::{AsyncReadExt as Reading, AsyncWriteExt as Writing};
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 80)).unwrap();
    let server = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut all = Vec::new();
        Reading::read_to_end(&mut stream, &mut all).await.unwrap();
        Writing::write_all(&mut stream, &all).await.unwrap();
        Writing::close(&mut stream).await.unwrap();
    });
    let mut client = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    Writing::write_all(&mut client, b"question").await.unwrap();
    Writing::close(&mut client).await.unwrap();
    let mut all = Vec::new();
    ends("the answer", Reading::read_to_end(&mut client, &mut all)).await.unwrap();
    assert_eq!(all, b"question");
    ends("the server", server).await.unwrap();
}

/// A write that is given up leaves the stream whole: what it took is sent, the rest is not.
#[tokio::test]
async fn a_write_that_is_given_up_leaves_the_stream_whole() {
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 80)).unwrap();
    let mut client = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    let (mut stream, _) = listener.accept().await.unwrap();
    let much = vec![7; MUCH];
    let given_up = tokio::time::timeout(Duration::from_millis(50), client.write_all(&much)).await;
    given_up.expect_err("nobody reads");
    let reader = tokio::spawn(async move {
        let mut all = Vec::new();
        stream.read_to_end(&mut all).await.map(|_| all)
    });
    ends("write_all", client.write_all(b"the end")).await.unwrap();
    ends("shutdown", client.shutdown()).await.unwrap();
    let all = ends("read_to_end", reader).await.unwrap().unwrap();
    let (text, end) = all.split_at(all.len() - 7);
    assert_eq!(end, b"the end");
    assert!(text.len() < MUCH && text.iter().all(|octet| *octet == 7));
}

/// The device is gone: nothing waits for it.
#[tokio::test]
async fn without_a_device_everything_ends() {
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 80)).unwrap();
    let client = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    let _server = listener.accept().await.unwrap();
    let (reading, mut writing) = client.split();
    let reader = tokio::spawn(async move { { reading }.read(&mut [0; 8]).await });
    tokio::task::yield_now().await;
    pair.client_plug.pull();
    ends("read", reader).await.unwrap().unwrap_err();
    let write = async {
        loop {
            if let Err(error) = writing.write_all(&[7; 100_000]).await {
                return error;
            }
        }
    };
    let _down = ends("write_all", write).await;
    let _either = ends("shutdown", writing.shutdown()).await;
}
