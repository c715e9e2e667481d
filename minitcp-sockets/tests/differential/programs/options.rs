//! Options: defaults, values that are refused, and what accepted sockets inherit.

use std::time::Duration;

use minitcp_sockets::{OptionValue, SocketOption, Type};

use crate::programs::Program;
use crate::world::{At, Bench};

pub(crate) const PROGRAMS: &[Program] = &[
    ("defaults of a stream socket", stream_defaults),
    ("defaults of a datagram socket", datagram_defaults),
    ("flags are set and cleared", flags),
    ("numbers at their bounds", bounds),
    ("options of TCP on a datagram socket", misplaced),
    ("IPV6_V6ONLY on an IPv4 socket", v6_only),
    ("times to wait", times),
    ("options of an accepted socket", inherited),
];

fn stream_defaults(b: &mut Bench) {
    let socket = b.stream(At::Client);
    for option in [
        SocketOption::Type,
        SocketOption::AcceptConn,
        SocketOption::ReuseAddress,
        SocketOption::ReusePort,
        SocketOption::Broadcast,
        SocketOption::KeepAlive,
        SocketOption::KeepIdle,
        SocketOption::KeepInterval,
        SocketOption::KeepCount,
        SocketOption::NoDelay,
        SocketOption::Cork,
        SocketOption::UserTimeout,
        SocketOption::HopLimit,
        SocketOption::TrafficClass,
        SocketOption::Linger,
        SocketOption::ReceiveTimeout,
        SocketOption::SendTimeout,
        SocketOption::MaxSegment,
    ] {
        b.get(&socket, option);
    }
}

fn datagram_defaults(b: &mut Bench) {
    let socket = b.datagram(At::Client);
    for option in [
        SocketOption::Type,
        SocketOption::AcceptConn,
        SocketOption::ReuseAddress,
        SocketOption::ReusePort,
        SocketOption::Broadcast,
        SocketOption::KeepAlive,
        SocketOption::HopLimit,
        SocketOption::TrafficClass,
        SocketOption::Linger,
        SocketOption::ReceiveTimeout,
        SocketOption::SendTimeout,
    ] {
        b.get(&socket, option);
    }
}

fn flags(b: &mut Bench) {
    let socket = b.stream(At::Client);
    for option in [
        SocketOption::ReuseAddress,
        SocketOption::ReusePort,
        SocketOption::Broadcast,
        SocketOption::KeepAlive,
        SocketOption::NoDelay,
        SocketOption::Cork,
    ] {
        for on in [true, false] {
            b.set(&socket, option, on);
            b.get(&socket, option);
        }
    }
}

fn bounds(b: &mut Bench) {
    let socket = b.stream(At::Client);
    for (option, values) in [
        (SocketOption::KeepIdle, &[0, 1, 32_767, 32_768][..]),
        (SocketOption::KeepInterval, &[0, 1, 32_767, 32_768]),
        (SocketOption::KeepCount, &[0, 1, 127, 128]),
        (SocketOption::UserTimeout, &[-1, 0, 1, i32::MAX]),
        (SocketOption::HopLimit, &[-2, 0, 1, 255, 256, -1]),
        (SocketOption::TrafficClass, &[0, 8, 255]),
        (SocketOption::MaxSegment, &[87, 88, 32_767, 32_768]),
    ] {
        for value in values {
            b.set(&socket, option, *value);
            b.get(&socket, option);
        }
    }
}

fn misplaced(b: &mut Bench) {
    let socket = b.datagram(At::Client);
    b.set(&socket, SocketOption::NoDelay, true);
    b.set(&socket, SocketOption::Cork, true);
    b.set(&socket, SocketOption::KeepIdle, 10);
    b.get(&socket, SocketOption::NoDelay);
    b.get(&socket, SocketOption::KeepCount);
    b.set(&socket, SocketOption::KeepAlive, true);
    b.get(&socket, SocketOption::KeepAlive);
}

fn v6_only(b: &mut Bench) {
    for kind in [Type::Stream, Type::Datagram] {
        let socket = b.world.open(At::Client, kind);
        b.set(&socket, SocketOption::V6Only, true);
        b.get(&socket, SocketOption::V6Only);
    }
}

fn times(b: &mut Bench) {
    let socket = b.stream(At::Client);
    for option in [SocketOption::ReceiveTimeout, SocketOption::SendTimeout] {
        for time in [Some(Duration::from_millis(1500)), None] {
            b.set(&socket, option, time);
            b.get(&socket, option);
        }
    }
    for time in [Some(Duration::from_secs(3)), Some(Duration::ZERO), None] {
        b.set(&socket, SocketOption::Linger, time);
        b.get(&socket, SocketOption::Linger);
    }
}

fn inherited(b: &mut Bench) {
    let set: [(SocketOption, OptionValue); 7] = [
        (SocketOption::KeepAlive, true.into()),
        (SocketOption::NoDelay, true.into()),
        (SocketOption::KeepIdle, 77.into()),
        (SocketOption::HopLimit, 33.into()),
        (SocketOption::Linger, Some(Duration::from_secs(2)).into()),
        (SocketOption::ReceiveTimeout, Some(Duration::from_secs(9)).into()),
        (SocketOption::UserTimeout, 5000.into()),
    ];
    let (listener, addr) = b.listener(4);
    for (option, value) in set {
        b.set(&listener, option, value);
    }
    let client = b.stream(At::Client);
    b.connect(&client, addr);
    let accepted = b.accept(&listener).unwrap();
    for (option, _) in set {
        b.get(&accepted, option);
    }
    b.get(&accepted, SocketOption::AcceptConn);
    b.get(&accepted, SocketOption::ReuseAddress);
    // Otherwise closing would wait for two seconds.
    b.set(&accepted, SocketOption::Linger, None::<Duration>);
}
