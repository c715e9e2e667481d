//! Tasks over a driver that the thread itself turns, in virtual time.

use std::time::Duration;

use futures_lite::future::zip;
use minitcp_proto::Instant;
use minitcp_sockets::{MsgFlags, PollFlags, aio};

use crate::support::{Pair, SERVER, addr, server};

#[test]
fn tasks_of_one_thread_wait_in_virtual_time() {
    let pair = Pair::new();
    let listener = pair.listener();
    listener.set_nonblocking(true).unwrap();
    let mut accepted = Vec::new();
    pair.while_client_waits(move || {
        accepted.extend(listener.accept().map(|(stream, _)| {
            stream.send(b"hello", MsgFlags::DONTWAIT).unwrap();
            stream
        }));
    });
    let reads = async {
        let stream = aio::TcpStream::connect(&pair.client, server(80)).await.unwrap();
        let ready = stream.socket().ready(PollFlags::IN).await.unwrap();
        let mut data = [0; 8];
        (ready, stream.read(&mut data).await.unwrap())
    };
    let sleeps = async {
        aio::sleep(&pair.client, Duration::from_secs(3)).unwrap().await.unwrap();
        pair.now()
    };
    let (read, woken_at) = pair.client.block_on(zip(reads, sleeps)).unwrap();
    assert_eq!(read, (PollFlags::IN, 5));
    assert_eq!(woken_at, Instant::from_secs(3));
}

#[test]
fn a_task_that_fails_and_a_driver_that_fails_end_the_wait() {
    let pair = Pair::new();
    let refused = aio::TcpStream::connect(&pair.client, addr(SERVER, 9));
    let refused = pair.client.block_on(refused).unwrap().unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    pair.wire.broken.set(true);
    let never = std::future::pending::<()>();
    assert!(pair.client.block_on(never).is_err());
}
