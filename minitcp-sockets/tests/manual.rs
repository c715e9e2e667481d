//! Sockets without a driver: do packets and time move only when the caller moves them?

use std::io::ErrorKind;
use std::time::Duration;

use minitcp_proto::{Config, Instant, Limits, Memory, Seed, Stack};
use minitcp_sockets::{
    Domain, ManualNet, MsgFlags, PollFd, PollFlags, Runtime, Socket, SocketOption, Type,
};

fn host(last: u8) -> ManualNet {
    let config = Config::new([10, 0, 0, last], 24);
    let memory = Memory::allocate(&Limits::default());
    ManualNet::new(Stack::new(config, memory, Seed::from_u64(last.into())))
}

/// Exchanges packets until nobody has any.
fn exchange(a: &ManualNet, b: &ManualNet, now: Instant) {
    let mut packet = [0; 1500];
    loop {
        let mut any = false;
        for (from, to) in [(a, b), (b, a)] {
            while let Some(len) = from.output(now, &mut packet).unwrap() {
                to.input(now, &packet[..len]);
                any = true;
            }
        }
        if !any {
            return;
        }
    }
}

#[test]
fn a_conversation_happens_only_where_packets_are_carried() {
    let (client, server) = (host(1), host(2));
    let listener = Socket::new(&server, Domain::V4, Type::Stream).unwrap();
    listener.bind("10.0.0.2:7".parse().unwrap()).unwrap();
    listener.listen(4).unwrap();
    let stream = Socket::new(&client, Domain::V4, Type::Stream).unwrap();
    let begun = stream.connect("10.0.0.2:7".parse().unwrap()).unwrap_err();
    assert_eq!(begun.raw_os_error(), Some(115), "EINPROGRESS");
    assert_eq!(listener.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    let mut poll = [PollFd::new(&stream, PollFlags::OUT)];
    assert_eq!(client.poll(&mut poll, None).unwrap(), 0, "nobody to wait for");

    exchange(&client, &server, Instant::ZERO);
    assert_eq!(client.poll(&mut poll, None).unwrap(), 1);
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(stream.send(b"hello", MsgFlags::empty()).unwrap(), 5);
    let mut data = [0; 16];
    let early = accepted.recv(&mut data, MsgFlags::empty()).unwrap_err();
    assert_eq!(early.kind(), ErrorKind::WouldBlock);
    exchange(&client, &server, Instant::ZERO);
    assert_eq!(accepted.recv(&mut data, MsgFlags::empty()).unwrap(), 5);
    assert_eq!(&data[..5], b"hello");
}

#[test]
fn a_lingering_close_does_not_wait() {
    let (client, server) = (host(1), host(2));
    let listener = Socket::new(&server, Domain::V4, Type::Stream).unwrap();
    listener.bind("10.0.0.2:7".parse().unwrap()).unwrap();
    listener.listen(4).unwrap();
    let stream = Socket::new(&client, Domain::V4, Type::Stream).unwrap();
    let _ = stream.connect("10.0.0.2:7".parse().unwrap());
    exchange(&client, &server, Instant::ZERO);
    stream.set_option(SocketOption::Linger, Some(Duration::from_secs(5)).into()).unwrap();
    stream.close();
    exchange(&client, &server, Instant::ZERO);
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.recv(&mut [0; 1], MsgFlags::empty()).unwrap(), 0, "the end of the stream");
}

#[test]
fn a_buffer_too_small_for_a_packet_loses_none() {
    let client = host(1);
    let stream = Socket::new(&client, Domain::V4, Type::Stream).unwrap();
    let _ = stream.connect("10.0.0.2:7".parse().unwrap());
    let small = client.output(Instant::ZERO, &mut [0; 1499]).unwrap_err();
    assert_eq!(small.raw_os_error(), Some(90), "EMSGSIZE");
    assert!(client.output(Instant::ZERO, &mut [0; 1500]).unwrap().is_some());
}

#[test]
fn the_deadline_is_when_the_next_packet_leaves_by_itself() {
    let client = host(1);
    let stream = Socket::new(&client, Domain::V4, Type::Stream).unwrap();
    assert_eq!(client.deadline(), None);
    let _ = stream.connect("10.0.0.2:7".parse().unwrap());
    let mut packet = [0; 1500];
    assert!(client.output(Instant::ZERO, &mut packet).unwrap().is_some());
    assert_eq!(client.deadline(), Some(Instant::from_secs(1)), "RTO before a measurement");
    assert_eq!(client.output(Instant::from_millis(999), &mut packet).unwrap(), None);
    assert!(client.output(Instant::from_secs(1), &mut packet).unwrap().is_some());
    client.advance(Instant::from_millis(5));
    assert_eq!(client.now().unwrap(), Instant::from_secs(1), "time does not go back");
}
