//! A client and a server that know only blocking sockets, written down and run again without them.

use std::io::{self, Read as _, Write as _};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use minitcp_driver_sim::{Journal, Link, Network, Programs};
use minitcp_proto::{Config, Instant};
use minitcp_sockets::{Net, TcpListener, TcpStream, UdpSocket};

fn addr(last: u8) -> SocketAddr {
    SocketAddr::from(([10, 0, 0, last], 80))
}

/// Answers each request with its octets in reverse, and a datagram with itself.
fn serve(
    net: &Net<impl minitcp_proto::Driver<Error: Into<io::Error>>, impl minitcp_proto::Observer>,
) {
    let listener = TcpListener::bind_on(net, addr(1)).unwrap();
    let datagrams = UdpSocket::bind_on(net, addr(1)).unwrap();
    for _ in 0..3 {
        let (mut stream, _) = listener.accept().unwrap();
        let mut request = Vec::new();
        stream.read_to_end(&mut request).unwrap();
        request.reverse();
        stream.write_all(&request).unwrap();
    }
    let mut datagram = [0; 100];
    datagrams.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    while let Ok((len, from)) = datagrams.recv_from(&mut datagram) {
        datagrams.send_to(&datagram[..len], from).unwrap();
    }
    net.drain(Duration::from_secs(60)).unwrap();
}

fn ask(
    net: &Net<impl minitcp_proto::Driver<Error: Into<io::Error>>, impl minitcp_proto::Observer>,
) {
    for len in [1, 5_000, 100_000_u32] {
        let request: Vec<u8> = (0..len).map(|n| (n % 251).to_le_bytes()[0]).collect();
        let mut stream = TcpStream::connect_on(net, addr(1)).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.write_all(&request).unwrap();
        stream.shutdown(Shutdown::Write).unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).unwrap();
        assert!(answer.iter().rev().eq(&request));
    }
    let datagrams = UdpSocket::bind_on(net, addr(2)).unwrap();
    datagrams.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    let mut answers = 0;
    for number in 0..20_u8 {
        datagrams.send_to(&[number; 20], addr(1)).unwrap();
        answers += u32::from(datagrams.recv_from(&mut [0; 100]).is_ok());
    }
    assert!(answers > 10, "{answers} of 20");
    net.drain(Duration::from_secs(60)).unwrap();
}

#[test]
fn sockets_happen_again_without_their_programs() {
    for seed in 1..6 {
        let mut programs = Programs::new(Network::recorded(seed));
        programs.set_limit(Instant::from_secs(3_600));
        let server = programs.recorded_program(Config::new([10, 0, 0, 1], 24), |stack, driver| {
            serve(&Net::new(stack, driver));
        });
        let client = programs.recorded_program(Config::new([10, 0, 0, 2], 24), |stack, driver| {
            ask(&Net::new(stack, driver));
        });
        let link = Link::dsl().loss(0.05).duplicate(0.02).corrupt(0.01);
        programs.network().link(server, client, link);
        let network = programs.run();

        let journal = Journal::read(&network.journal().unwrap()).unwrap();
        let replay = journal.replay(|_| {}).unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert_eq!(replay.packet_hash, network.packet_hash(), "seed {seed}");
        assert_eq!(replay.network.stats(), network.stats(), "seed {seed}");
        assert!(network.stats().packets > 200 && network.stats().lost_in_all() > 0);
    }
}
