//! Options that tell, or that let pass: and the values that none takes.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Congestion, Instant, State};
use minitcp_sockets::{Domain, MsgFlags, OptionValue, PollFlags, SocketOption, Type};

use crate::support::{NONE, Pair, Side, addr, errno, lens, millis, ready, secs, server, set};

#[test]
fn error_is_read_and_cleared() {
    let pair = Pair::new();
    let client = pair.stream();
    client.set_nonblocking(true).unwrap();
    assert_eq!(errno(client.connect(server(80))), libc::EINPROGRESS);
    assert_eq!(client.option(SocketOption::Error).unwrap(), 0.into());
    pair.settle();
    assert_eq!(client.option(SocketOption::Error).unwrap(), libc::ECONNREFUSED.into());
    assert_eq!(client.option(SocketOption::Error).unwrap(), 0.into());
    // It was told once: the stream is over, and only `connect` starts anew.
    assert_eq!(client.recv(&mut [0; 8], NONE).unwrap(), 0);
    assert_eq!(errno(client.send(b"x", NONE)), libc::EPIPE);
    assert_eq!(errno(client.connect(server(80))), libc::ECONNABORTED);
    assert_eq!(errno(client.connect(server(80))), libc::EINPROGRESS);
}

#[test]
fn type_domain_and_protocol() {
    let pair = Pair::new();
    for (domain, kind, expected) in [
        (Domain::V4, Type::Stream, [libc::AF_INET, libc::SOCK_STREAM, libc::IPPROTO_TCP]),
        (Domain::V6, Type::Stream, [libc::AF_INET6, libc::SOCK_STREAM, libc::IPPROTO_TCP]),
        (Domain::V4, Type::Datagram, [libc::AF_INET, libc::SOCK_DGRAM, libc::IPPROTO_UDP]),
        (Domain::V6, Type::Datagram, [libc::AF_INET6, libc::SOCK_DGRAM, libc::IPPROTO_UDP]),
    ] {
        let socket = pair.client_socket(domain, kind);
        let told = [SocketOption::Domain, SocketOption::Type, SocketOption::Protocol]
            .map(|option| socket.option(option).unwrap());
        assert_eq!(told, expected.map(OptionValue::Int));
    }
}

#[test]
fn acceptconn_is_true_of_listeners() {
    let pair = Pair::new();
    let listener = pair.server_socket(Domain::V4, Type::Stream);
    let accepts = || listener.option(SocketOption::AcceptConn).unwrap();
    assert_eq!(accepts(), false.into());
    listener.bind(server(80)).unwrap();
    assert_eq!(accepts(), false.into());
    listener.listen(1).unwrap();
    assert_eq!(accepts(), true.into());
    let (_client, accepted) = pair.connect(&listener);
    assert_eq!(accepted.option(SocketOption::AcceptConn).unwrap(), false.into());
}

#[test]
fn broadcast_lets_datagrams_go_to_all() {
    let pair = Pair::new();
    let (client, _) = pair.datagrams();
    for to in ["10.0.0.255", "255.255.255.255"] {
        let to = addr(to, 9);
        set(&client, SocketOption::Broadcast, false);
        assert_eq!(errno(client.send_to(b"x", to, NONE)), libc::EACCES);
        assert_eq!(errno(client.connect(to)), libc::EACCES);
        assert!(pair.seen().is_empty());
        set(&client, SocketOption::Broadcast, true);
        client.send_to(b"all", to, NONE).unwrap();
        let seen = pair.seen();
        assert_eq!((lens(&seen), seen[0].to), (vec![3], to.ip()));
    }
}

#[test]
fn info_tells_of_the_connection() {
    let pair = Pair::new();
    let (client, accepted) = pair.connected();
    client.send(&[7; 3000], NONE).unwrap();
    pair.pass_both(millis(100));
    let OptionValue::Info(info) = client.option(SocketOption::Info).unwrap() else { panic!() };
    assert_eq!(info, client.info().unwrap());
    assert_eq!((info.state, info.mss, info.snd_una), (State::Established, 1448, info.snd_nxt));
    assert!(info.srtt_micros.is_some() && info.cwnd >= 14_480, "{info:?}");
    assert_eq!(accepted.info().unwrap().unread, 3000);
    assert_eq!(accepted.info().unwrap().rcv_nxt, info.snd_nxt);
    assert_eq!(errno(pair.stream().option(SocketOption::Info)), libc::ENOTCONN);
}

#[test]
fn congestion_names_the_controller_that_paces_the_start() {
    let pair = Pair::new();
    let listener = pair.listener();
    let reno = OptionValue::Congestion(Congestion::NewReno);
    let client = pair.stream();
    let cubic = OptionValue::Congestion(Congestion::Cubic);
    assert_eq!(client.option(SocketOption::Congestion).unwrap(), cubic);
    set(&client, SocketOption::Congestion, reno);
    assert_eq!(client.option(SocketOption::Congestion).unwrap(), reno);
    client.connect(server(80)).unwrap();
    let (_accepted, _) = listener.accept().unwrap();
    pair.settle();
    pair.seen();
    pair.wire.cut.set(true);
    client.send(&[7; 100_000], MsgFlags::DONTWAIT).unwrap();
    pair.settle();
    // RFC 6928, then one segment for the timeout (RFC 5681 §3.1).
    assert_eq!(lens(&pair.seen()), [1448; 10]);
    pair.pass_both(millis(1200));
    assert_eq!(client.info().unwrap().cwnd, 1448);
}

#[test]
fn defer_accept_waits_for_data() {
    let pair = Pair::new();
    let listener = pair.listener();
    listener.set_nonblocking(true).unwrap();
    set(&listener, SocketOption::DeferAccept, 5);
    let client = pair.stream();
    client.connect(server(80)).unwrap();
    pair.settle();
    assert_eq!(errno(listener.accept()), libc::EAGAIN);
    assert_eq!(ready(&listener), PollFlags::empty());
    client.send(b"GET", NONE).unwrap();
    pair.settle();
    assert_eq!(ready(&listener), PollFlags::IN);
    let (accepted, _) = listener.accept().unwrap();
    assert_eq!(accepted.unread().unwrap(), 3);
    // One that has nothing to say is asked once more, and then accepted.
    let silent = pair.stream();
    silent.connect(server(80)).unwrap();
    pair.seen();
    pair.pass_both(secs(4));
    assert_eq!(errno(listener.accept()), libc::EAGAIN);
    pair.pass_both(secs(2));
    let sent = pair.sent_by(Side::Server);
    let again: Vec<_> = sent.iter().filter(|p| p.flags() == Flags::SYN | Flags::ACK).collect();
    assert_eq!(again[0].at, Instant::from_secs(5));
    listener.accept().expect("the period is over");
}

/// Options with values that are out of their ranges, and one that is in.
fn ranges() -> Vec<(SocketOption, Vec<i32>, i32)> {
    use SocketOption as O;
    vec![
        (O::ReceiveBuffer, vec![0, -1, i32::MIN], 1),
        (O::SendBuffer, vec![0, -1], i32::MAX),
        (O::KeepIdle, vec![0, 32_768, -1], 32_767),
        (O::KeepInterval, vec![0, 32_768, -1], 1),
        (O::KeepCount, vec![0, 128, -1], 127),
        (O::MaxSegment, vec![87, 32_768, -1, 1], 88),
        (O::UserTimeout, vec![-1], 0),
        (O::DeferAccept, vec![-1], 1),
        (O::NotSentLowWater, vec![-2], 1),
        (O::HopLimit, vec![0, 256, -2], 255),
        (O::TrafficClass, vec![-1, 256], 255),
    ]
}

#[test]
fn values_out_of_range_are_invalid() {
    let pair = Pair::new();
    let (client, _accepted) = pair.connected();
    for socket in [pair.stream(), client] {
        for (option, bad, good) in ranges() {
            let before = socket.option(option).unwrap();
            for value in bad {
                let result = socket.set_option(option, value.into());
                assert_eq!(errno(result), libc::EINVAL, "{option:?} {value}");
            }
            assert_eq!(socket.option(option).unwrap(), before, "{option:?} is as it was");
            set(&socket, option, good);
        }
    }
}

#[test]
fn values_of_the_wrong_kind_are_invalid() {
    let pair = Pair::new();
    let socket = pair.client_socket(Domain::V6, Type::Stream);
    use SocketOption as O;
    let time = OptionValue::Time(Some(Duration::from_secs(1)));
    for flag in [
        O::ReuseAddress,
        O::ReusePort,
        O::KeepAlive,
        O::Broadcast,
        O::NoDelay,
        O::Cork,
        O::QuickAck,
        O::V6Only,
    ] {
        assert_eq!(errno(socket.set_option(flag, time)), libc::EINVAL, "{flag:?}");
        set(&socket, flag, 1); // As in C.
        assert_eq!(socket.option(flag).unwrap(), true.into());
    }
    for (number, _, _) in ranges() {
        assert_eq!(errno(socket.set_option(number, true.into())), libc::EINVAL, "{number:?}");
    }
    for other in [O::ReceiveTimeout, O::SendTimeout, O::Linger, O::Congestion, O::ReceiveLowWater] {
        assert_eq!(errno(socket.set_option(other, true.into())), libc::EINVAL, "{other:?}");
    }
}

#[test]
fn what_is_not_supported_says_so() {
    let pair = Pair::new();
    use SocketOption as O;
    let (stream, datagram) = (pair.stream(), pair.client_socket(Domain::V4, Type::Datagram));
    for option in [O::Error, O::Type, O::Domain, O::Protocol, O::AcceptConn] {
        for socket in [&stream, &datagram] {
            assert_eq!(errno(socket.set_option(option, 1.into())), libc::ENOPROTOOPT, "{option:?}");
        }
    }
    assert_eq!(errno(stream.set_option(O::Info, 1.into())), libc::ENOPROTOOPT);
    for option in [
        O::KeepIdle,
        O::KeepInterval,
        O::KeepCount,
        O::NoDelay,
        O::Cork,
        O::QuickAck,
        O::MaxSegment,
        O::UserTimeout,
        O::Info,
        O::Congestion,
        O::DeferAccept,
        O::NotSentLowWater,
    ] {
        assert_eq!(errno(datagram.option(option)), libc::ENOPROTOOPT, "{option:?}");
        assert_eq!(errno(datagram.set_option(option, 1.into())), libc::ENOPROTOOPT, "{option:?}");
    }
    // As Linux, though it means nothing there.
    set(&datagram, O::KeepAlive, true);
    assert_eq!(datagram.option(O::KeepAlive).unwrap(), true.into());
}

#[test]
fn options_go_by_the_numbers_of_linux() {
    let pair = Pair::new();
    let (client, _server) = pair.connected();
    let set = |level, name, octets: &[u8]| {
        let option = SocketOption::from_linux(level, name, Domain::V4).unwrap();
        client.set_option(option, option.decode(octets).unwrap()).unwrap();
        let now = pair.now() + Duration::from_millis(70);
        option.encode(client.option(option).unwrap(), now)
    };
    let seven = 7_i32.to_ne_bytes();
    assert_eq!(set(libc::IPPROTO_TCP, libc::TCP_KEEPCNT, &seven), seven);
    assert_eq!(set(libc::IPPROTO_IP, libc::IP_TTL, &[9]), 9_i32.to_ne_bytes());
    assert_eq!(SocketOption::NoDelay.to_linux(Domain::V6), Some((libc::IPPROTO_TCP, 1)));

    // `struct tcp_info`, by the offsets of <linux/tcp.h>.
    let info = client.info().unwrap();
    let now = info.last_received.max(info.last_sent) + Duration::from_millis(70);
    let octets = SocketOption::Info.encode(client.option(SocketOption::Info).unwrap(), now);
    let word = |at: usize| u32::from_ne_bytes(octets[at..at + 4].try_into().unwrap());
    assert_eq!(
        octets[..6],
        [1, 0, 0, 0, 0, 7],
        "established, all is well; timestamps, SACK, scaling"
    );
    assert_eq!(octets[6], info.snd_wscale | info.rcv_wscale << 4);
    assert_eq!((word(16), word(84)), (info.mss.into(), info.local_mss.into()));
    assert!(word(44).min(word(56)) == 70 && word(44).max(word(56)) >= 70, "ages");
    assert_eq!((word(100), word(228), word(232)), (0, info.snd_wnd, info.rcv_wnd));
}
