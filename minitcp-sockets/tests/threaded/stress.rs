//! 64 threads, 10,000 connections, random closes: no deadlock, no lost wake-up, equal hashes.
//!
//! `STRESS_CONNECTIONS` and `STRESS_SEED` choose other numbers.

use std::collections::hash_map::DefaultHasher;
use std::hash::Hasher;
use std::io::{Read, Write};
use std::net::Shutdown;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;

use minitcp_proto::Limits;
use minitcp_sockets::{TcpListener, TcpStream};

use crate::cable::{SERVER, pair_with};

const CLIENTS: usize = 48;
const SERVERS: usize = 16;

/// How a client's connection goes.
#[derive(Clone, Copy, Debug)]
enum Course {
    /// Half-close, read to the end, and the hashes must be equal.
    Whole,
    /// The same, but read and written by two threads.
    Split,
    /// Dropped with answers unread: a reset.
    Dropped,
    /// Aborted at once.
    Aborted,
}

fn number(name: &str, default: u64) -> u64 {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

/// A small generator (xorshift64*), good enough to choose with.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        let drawn = self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 33;
        usize::try_from(drawn).unwrap() % below
    }
}

fn serve(listener: &TcpListener) {
    while let Ok((mut stream, _)) = listener.accept() {
        let mut data = [0; 4096];
        // A reset by the client is how some connections go.
        while let Ok(len @ 1..) = stream.read(&mut data) {
            if stream.write_all(&data[..len]).is_err() {
                break;
            }
        }
    }
}

fn hash(data: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(data);
    hasher.finish()
}

fn read_back(stream: &mut TcpStream) -> std::io::Result<u64> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received)?;
    Ok(hash(&received))
}

fn run(mut stream: TcpStream, course: Course, data: &[u8], random: &mut Random) {
    let expected = hash(data);
    match course {
        Course::Whole => {
            stream.write_all(data).unwrap();
            stream.shutdown(Shutdown::Write).unwrap();
            assert_eq!(read_back(&mut stream).unwrap(), expected);
        }
        Course::Split => {
            let (mut reading, mut writing) = stream.split();
            thread::scope(|scope| {
                scope.spawn(move || {
                    writing.write_all(data).unwrap();
                    writing.shutdown(Shutdown::Write).unwrap();
                });
                assert_eq!(read_back(&mut reading).unwrap(), expected);
            });
        }
        Course::Dropped => {
            let some = random.next(data.len());
            stream.write_all(&data[..some]).unwrap();
        }
        Course::Aborted => {
            stream.set_linger(Some(Duration::ZERO)).unwrap();
            let _ = stream.write(data);
        }
    }
}

#[test]
fn sixty_four_threads_and_ten_thousand_connections() {
    let total = usize::try_from(number("STRESS_CONNECTIONS", 10_000)).unwrap();
    let seed = number("STRESS_SEED", 1);
    println!("STRESS_SEED={seed} STRESS_CONNECTIONS={total}");
    let limits = Limits {
        connections: 8192,
        time_wait: 32_768,
        buffer_bytes: 64 << 20,
        ..Limits::default()
    };
    let pair = pair_with(&limits);
    let listener = Arc::new(TcpListener::bind_on(&pair.server, (SERVER, 7)).unwrap());
    let servers: Vec<_> = (0..SERVERS)
        .map(|_| {
            let listener = Arc::clone(&listener);
            thread::spawn(move || serve(&listener))
        })
        .collect();
    let begun = Arc::new(AtomicUsize::new(0));
    let clients: Vec<_> = (0..CLIENTS as u64)
        .map(|me| {
            let (net, begun) = (pair.client.clone(), Arc::clone(&begun));
            thread::spawn(move || {
                let mut random = Random(seed.wrapping_mul(CLIENTS as u64 * 2 + 1) + me + 1);
                let mut whole = 0;
                while begun.fetch_add(1, Ordering::Relaxed) < total {
                    let course = [Course::Whole, Course::Split, Course::Dropped, Course::Aborted]
                        [random.next(4)];
                    let len = 1 + random.next(20_000);
                    let start = random.next(251);
                    let data: Vec<u8> =
                        (start..start + len).map(|i| u8::try_from(i % 251).unwrap()).collect();
                    let stream = TcpStream::connect_on(&net, (SERVER, 7)).unwrap();
                    run(stream, course, &data, &mut random);
                    whole += usize::from(matches!(course, Course::Whole | Course::Split));
                }
                whole
            })
        })
        .collect();
    let whole: usize = clients.into_iter().map(|client| client.join().unwrap()).sum();
    assert!(whole > total / 4, "only {whole} connections ran to their ends");
    listener.socket().shutdown(Shutdown::Read).unwrap();
    servers.into_iter().for_each(|server| server.join().unwrap());
    for net in [&pair.client, &pair.server] {
        assert!(net.drain(Duration::from_secs(60)).unwrap(), "connections are left");
        assert_eq!(net.with_stack(|stack| stack.usage().buffer_bytes).unwrap(), 0);
    }
}
