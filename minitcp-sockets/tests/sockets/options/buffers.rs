//! How much a socket holds, and when that is worth telling.

use minitcp_proto::Instant;
use minitcp_proto::wire::tcp::Flags;
use minitcp_sockets::{Domain, MsgFlags, PollFlags, SocketOption, Type};

use crate::support::{
    NONE, Pair, Raw, Side, errno, lens, millis, read_all, ready, secs, server, set,
};

/// Sends without waiting until nothing more is taken.
fn fill(pair: &Pair, socket: &Raw) -> usize {
    let data = vec![7; 1 << 20];
    let mut sent = 0;
    while let Ok(count) = socket.send(&data, MsgFlags::DONTWAIT) {
        sent += count;
        pair.settle();
    }
    sent
}

#[test]
fn rcvbuf_is_the_window_that_the_wire_shows() {
    for (buffer, window, scale) in [(5000, 5000, 0), (65_535, 65_535, 0), (1 << 20, 65_535, 5)] {
        let pair = Pair::new();
        let listener = pair.listener();
        set(&listener, SocketOption::ReceiveBuffer, buffer);
        let client = pair.stream();
        set(&client, SocketOption::ReceiveBuffer, buffer);
        client.connect(server(80)).unwrap();
        let (accepted, _) = listener.accept().unwrap();
        pair.settle();
        let seen = pair.seen();
        for syn in seen.iter().filter(|packet| packet.flags().contains(Flags::SYN)) {
            let syn = syn.segment().unwrap();
            assert_eq!((syn.window, syn.options.window_scale), (window, Some(scale)));
        }
        let ack = seen.iter().find(|packet| packet.flags() == Flags::ACK).unwrap();
        let offered = i32::from(ack.segment().unwrap().window) << scale;
        assert!(offered <= buffer && offered >= i32::from(window), "{offered}");
        // What nobody reads is bounded by it, on either side.
        for (from, to) in [(&client, &accepted), (&accepted, &client)] {
            fill(&pair, from);
            pair.pass_both(secs(2));
            let (unread, buffer) = (to.unread().unwrap(), usize::try_from(buffer).unwrap());
            assert!(unread <= buffer && unread > buffer / 2, "{unread} of {buffer}");
        }
    }
}

/// As on Linux: each for itself, and other options change nothing about it.
#[test]
fn buffers_grow_until_they_are_set() {
    let pair = Pair::configured(|config| {
        (config.largest_receive_buffer, config.largest_send_buffer) = (1 << 20, 1 << 20);
    });
    let (client, accepted) = pair.connected();
    let sizes = || {
        let of = |socket: &Raw, option| socket.option(option).unwrap();
        [of(&client, SocketOption::SendBuffer), of(&accepted, SocketOption::ReceiveBuffer)]
    };
    let transfer = || {
        for _ in 0..20 {
            fill(&pair, &client);
            read_all(&accepted);
            pair.pass_both(millis(2));
        }
    };
    assert_eq!(sizes(), [(256 << 10).into(); 2]);
    transfer();
    let grown = sizes();
    assert_eq!(grown, [(1 << 20).into(); 2]);
    set(&client, SocketOption::NoDelay, true);
    set(&accepted, SocketOption::NoDelay, true);
    assert_eq!(sizes(), grown);
    set(&client, SocketOption::SendBuffer, 300_000);
    set(&accepted, SocketOption::ReceiveBuffer, 300_000);
    transfer();
    assert_eq!(sizes(), [300_000.into(); 2]);
}

#[test]
fn rcvbuf_grows_as_far_as_the_scale_goes() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&accepted, SocketOption::ReceiveBuffer, 8000);
    let sent = fill(&pair, &client);
    pair.pass_both(secs(1));
    // What the window was at first is never withdrawn.
    assert!(accepted.unread().unwrap() <= 256 << 10);
    let before = accepted.unread().unwrap();
    set(&accepted, SocketOption::ReceiveBuffer, 1 << 20);
    pair.pass_both(secs(5));
    assert!(accepted.unread().unwrap() > before);
    assert_eq!(read_all(&accepted).len() + client.unsent().unwrap(), sent);
}

#[test]
fn sndbuf_caps_what_is_queued() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::SendBuffer, 10_000);
    pair.wire.cut.set(true);
    assert_eq!(client.send(&[7; 50_000], MsgFlags::DONTWAIT).unwrap(), 10_000);
    assert_eq!(errno(client.send(b"x", MsgFlags::DONTWAIT)), libc::EAGAIN);
    assert_eq!(client.unsent().unwrap(), 10_000);
    set(&client, SocketOption::SendBuffer, 30_000);
    assert_eq!(client.send(&[7; 50_000], MsgFlags::DONTWAIT).unwrap(), 20_000);
    pair.wire.cut.set(false);
    pair.pass_both(secs(10));
    assert_eq!(read_all(&accepted).len(), 30_000);
}

#[test]
fn sndbuf_caps_datagrams_that_wait_for_the_device() {
    let pair = Pair::new();
    let (client, _) = pair.datagrams();
    client.set_nonblocking(true).unwrap();
    set(&client, SocketOption::SendBuffer, 3000);
    let send = || client.send_to(&[7; 1000], server(5000), NONE).unwrap();
    assert_eq!((send(), send(), send()), (1000, 1000, 1000));
    assert_eq!((pair.seen().len(), client.unsent().unwrap()), (0, 3000), "they wait for a turn");
    send();
    assert_eq!((pair.seen().len(), client.unsent().unwrap()), (3, 1000), "so it took one");
    set(&client, SocketOption::SendBuffer, 10);
    pair.settle();
    send(); // One always fits.
    assert_eq!(client.unsent().unwrap(), 1000);
}

#[test]
fn rcvlowat_lets_a_receive_and_poll_wait_for_more() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::ReceiveLowWater, 100);
    accepted.send(&[1; 99], NONE).unwrap();
    pair.settle();
    assert!(!ready(&client).contains(PollFlags::IN));
    let mut accepted = Some(accepted);
    pair.while_client_waits(move || {
        if let Some(accepted) = accepted.take() {
            accepted.send(&[2; 20], NONE).unwrap();
            std::mem::forget(accepted); // It stays open.
        }
    });
    assert_eq!(client.recv(&mut [0; 200], NONE).unwrap(), 119, "it waited for the second part");
}

#[test]
fn rcvlowat_does_not_hold_what_nobody_may_wait_for() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::ReceiveLowWater, 100);
    accepted.send(&[1; 99], NONE).unwrap();
    pair.settle();
    assert_eq!(client.recv(&mut [0; 20], NONE).unwrap(), 20, "no more than the buffer takes");
    assert_eq!(client.recv(&mut [0; 200], MsgFlags::DONTWAIT).unwrap(), 79, "as on Linux");
    accepted.send(&[1; 30], NONE).unwrap();
    set(&client, SocketOption::ReceiveTimeout, Some(secs(1)));
    let start = pair.now();
    assert_eq!(client.recv(&mut [0; 200], NONE).unwrap(), 30);
    assert_eq!(pair.now() - start, secs(1));
    accepted.send(&[1; 40], NONE).unwrap();
    accepted.close();
    pair.settle();
    assert!(ready(&client).contains(PollFlags::IN));
    assert_eq!(client.recv(&mut [0; 200], NONE).unwrap(), 40, "nothing more will come");
    assert_eq!(client.recv(&mut [0; 200], NONE).unwrap(), 0);
    for (value, kept) in [(0, 1), (-5, (1 << 30) - 1)] {
        set(&client, SocketOption::ReceiveLowWater, value);
        assert_eq!(client.option(SocketOption::ReceiveLowWater).unwrap(), kept.into());
    }
}

#[test]
fn notsent_lowat_bounds_what_has_never_left() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    set(&client, SocketOption::NotSentLowWater, 4096);
    pair.wire.cut.set(true);
    let mut sent = fill(&pair, &client);
    // A probe of the tail takes something new with it (RFC 8985).
    pair.pass_both(millis(50));
    sent += fill(&pair, &client);
    let unsent = client.info().unwrap().unsent;
    assert!(unsent <= 4096 && unsent > 2000, "{unsent}");
    assert_eq!(sent, client.unsent().unwrap(), "far below SO_SNDBUF");
    assert!(sent < 21_000, "{sent}");
    assert!(!ready(&client).contains(PollFlags::OUT));
    set(&client, SocketOption::SendTimeout, Some(millis(100)));
    assert_eq!(errno(client.send(b"x", NONE)), libc::EAGAIN);
    pair.wire.cut.set(false);
    pair.pass_both(secs(5));
    assert!(ready(&client).contains(PollFlags::OUT));
    assert_eq!(read_all(&accepted).len(), sent);
    set(&client, SocketOption::NotSentLowWater, -1);
    assert_eq!(client.option(SocketOption::NotSentLowWater).unwrap(), 0.into());
    pair.wire.cut.set(true);
    assert_eq!(fill(&pair, &client), 256 << 10, "off");
}

#[test]
fn siocinq_and_siocoutq_count_octets() {
    let pair = Pair::new();
    let listener = pair.listener();
    let (client, accepted) = pair.connect(&listener);
    assert_eq!((client.unread().unwrap(), client.unsent().unwrap()), (0, 0));
    pair.wire.cut.set(true);
    client.send(&[7; 5000], NONE).unwrap();
    assert_eq!(client.unsent().unwrap(), 5000);
    pair.wire.cut.set(false);
    pair.pass_both(secs(3));
    assert_eq!((client.unsent().unwrap(), accepted.unread().unwrap()), (0, 5000));
    accepted.recv(&mut [0; 1000], NONE).unwrap();
    assert_eq!(accepted.unread().unwrap(), 4000);

    for socket in [pair.stream(), pair.client_socket(Domain::V4, Type::Datagram)] {
        assert_eq!((socket.unread().unwrap(), socket.unsent().unwrap()), (0, 0));
    }
    assert_eq!(errno(listener.unread()), libc::EINVAL);
    assert_eq!(errno(listener.unsent()), libc::EINVAL);

    let (client, socket) = pair.datagrams();
    for len in [300, 200] {
        client.send_to(&vec![7; len], server(5000), NONE).unwrap();
    }
    pair.settle();
    assert_eq!(socket.unread().unwrap(), 300, "of the next datagram");
    socket.recv(&mut [0; 1000], NONE).unwrap();
    assert_eq!(socket.unread().unwrap(), 200);
}

#[test]
fn a_read_that_opens_the_window_says_so() {
    let pair = Pair::new();
    let listener = pair.listener();
    set(&listener, SocketOption::ReceiveBuffer, 8000);
    let (client, accepted) = pair.connect(&listener);
    let sent = fill(&pair, &client);
    pair.pass_both(millis(300));
    pair.seen();
    let start = pair.now();
    let mut received = read_all(&accepted).len();
    pair.settle();
    let update = pair.seen();
    assert!(update.iter().any(|packet| packet.from == Side::Server && packet.at == start));
    assert!(!lens(&update).is_empty(), "and the peer goes on at once");
    assert!(pair.now() == start && start < Instant::from_secs(10));
    for _ in 0..200 {
        received += read_all(&accepted).len();
        pair.pass_both(millis(300));
    }
    assert_eq!(received, sent);
}
