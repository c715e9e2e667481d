//! Sockets without a driver: do packets and time move only when the caller moves them?

use std::io::{ErrorKind, Write as _};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use minitcp_proto::{Config, Instant, Limits, Memory, RxMeta, Seed, Stack};
use minitcp_sockets::{
    Domain, ManualNet, MsgFlags, PollFd, PollFlags, Runtime, Socket, SocketOption, TcpStream, Type,
    aio,
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
                to.input(now, &packet[..len], RxMeta::default());
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

/// Counts how often it was woken.
#[derive(Default)]
struct Bell(AtomicUsize);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

impl Bell {
    fn rung(&self) -> usize {
        self.0.swap(0, Ordering::Relaxed)
    }
}

#[test]
fn what_is_handed_in_wakes_the_tasks_that_wait_for_it() {
    let (client, server) = (host(1), host(2));
    let listener = aio::TcpListener::bind(&server, "10.0.0.2:7".parse().unwrap()).unwrap();
    let bells = [(); 3].map(|()| Arc::new(Bell::default()));
    let wakers = [0, 1, 2].map(|at: usize| Waker::from(Arc::clone(&bells[at])));
    let mut contexts = [0, 1, 2].map(|at: usize| Context::from_waker(&wakers[at]));
    let mut connect = Box::pin(aio::TcpStream::connect(&client, "10.0.0.2:7".parse().unwrap()));
    assert!(connect.as_mut().poll(&mut contexts[0]).is_pending());
    assert!(listener.poll_accept(&mut contexts[1]).is_pending());
    let mut sleep = Box::pin(aio::sleep(&client, Duration::from_secs(5)).unwrap());
    assert!(sleep.as_mut().poll(&mut contexts[2]).is_pending());

    exchange(&client, &server, Instant::ZERO);
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [1, 1, 0]);
    let Poll::Ready(Ok(stream)) = connect.as_mut().poll(&mut contexts[0]) else { panic!() };
    let Poll::Ready(Ok((accepted, _))) = listener.poll_accept(&mut contexts[1]) else { panic!() };

    let mut data = [0; 8];
    assert!(accepted.poll_read(&mut contexts[1], &mut data).is_pending());
    let Poll::Ready(Ok(5)) = stream.poll_write(&mut contexts[0], b"hello") else { panic!() };
    exchange(&client, &server, Instant::from_secs(4));
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 1, 0]);
    let Poll::Ready(Ok(5)) = accepted.poll_read(&mut contexts[1], &mut data) else { panic!() };

    exchange(&client, &server, Instant::from_millis(4900)); // The delayed ACK.
    assert_eq!(client.deadline(), Some(Instant::from_secs(5)), "of the task that sleeps");
    client.advance(Instant::from_secs(5));
    assert_eq!(bells.each_ref().map(|bell| bell.rung()), [0, 0, 1]);
    assert!(sleep.as_mut().poll(&mut contexts[2]).is_ready());
    let again = aio::sleep(&client, Duration::from_secs(1)).unwrap();
    drop((sleep, again));
    assert_eq!(client.deadline(), None, "who has gone waits for nothing");
}

#[test]
fn whoever_moves_packets_is_woken_when_there_are_some() {
    let (client, server) = (host(1), host(2));
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let (mut cx, mut packet) = (Context::from_waker(&waker), [0; 1500]);
    let now = Instant::ZERO;
    assert!(client.poll_output(&mut cx, now, &mut packet).is_pending());
    let listener = Socket::new(&server, Domain::V4, Type::Stream).unwrap();
    listener.bind("10.0.0.2:7".parse().unwrap()).unwrap();
    listener.listen(4).unwrap();
    assert_eq!(bell.rung(), 0);

    let mut stream = TcpStream::connect_on(&client, "10.0.0.2:7").unwrap();
    assert_eq!(bell.rung(), 1, "a SYN is to be sent");
    let Poll::Ready(Ok(len)) = client.poll_output(&mut cx, now, &mut packet) else { panic!() };
    server.input(now, &packet[..len], RxMeta::default());
    assert!(client.poll_output(&mut cx, now, &mut packet).is_pending());
    let len = server.output(now, &mut packet).unwrap().unwrap();
    client.input(now, &packet[..len], RxMeta::default());
    assert_eq!(bell.rung(), 1, "an ACK is to be sent");
    assert!(client.poll_output(&mut cx, now, &mut packet).is_ready());

    assert!(client.poll_output(&mut cx, now, &mut packet).is_pending());
    let sleep = aio::sleep(&client, Duration::from_secs(5)).unwrap();
    let mut sleep = Box::pin(sleep);
    assert!(sleep.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(bell.rung(), 1, "the deadline is earlier");
    assert!(client.poll_output(&mut cx, now, &mut packet).is_pending());
    stream.write_all(b"hello").unwrap();
    assert_eq!(bell.rung(), 1, "data are to be sent");
}

#[test]
fn a_stream_that_connects_says_how_it_went_when_it_is_writable() {
    let (client, server) = (host(1), host(2));
    let stream = TcpStream::connect_on(&client, "10.0.0.2:7").unwrap();
    let bell = Arc::new(Bell::default());
    let waker = Waker::from(Arc::clone(&bell));
    let mut cx = Context::from_waker(&waker);
    let socket = stream.socket();
    assert!(socket.poll_ready(&mut cx, PollFlags::OUT).is_pending());
    exchange(&client, &server, Instant::ZERO);
    assert_eq!(bell.rung(), 1);
    let Poll::Ready(Ok(ready)) = socket.poll_ready(&mut cx, PollFlags::OUT) else { panic!() };
    assert!(ready.contains(PollFlags::OUT | PollFlags::ERR));
    assert_eq!(stream.take_error().unwrap().unwrap().kind(), ErrorKind::ConnectionRefused);
}

#[test]
fn a_device_that_has_verified_the_checksum_is_believed() {
    let (client, server) = (host(1), host(2));
    let socket = Socket::new(&server, Domain::V4, Type::Datagram).unwrap();
    socket.bind("10.0.0.2:7".parse().unwrap()).unwrap();
    let sender = Socket::new(&client, Domain::V4, Type::Datagram).unwrap();
    sender.send_to(b"hello", "10.0.0.2:7".parse().unwrap(), MsgFlags::empty()).unwrap();
    let mut packet = [0; 1500];
    let len = client.output(Instant::ZERO, &mut packet).unwrap().unwrap();
    packet[len - 1] ^= 1;
    for (checksum_verified, expected) in [(false, 0), (true, 5)] {
        let meta = RxMeta { checksum_verified, ..RxMeta::default() };
        server.input(Instant::ZERO, &packet[..len], meta);
        assert_eq!(socket.unread().unwrap(), expected);
    }
}
