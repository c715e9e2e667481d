//! Where MiniTCP differs from Linux, and why.

/// Some lines of a program's log, from `line` on.
#[derive(Debug)]
pub(crate) struct Deviation {
    pub(crate) program: &'static str,
    pub(crate) line: usize,
    /// What Linux and what MiniTCP say.
    pub(crate) results: &'static [(&'static str, &'static str)],
    pub(crate) reason: &'static str,
}

pub(crate) const DEVIATIONS: &[Deviation] = &[
    Deviation {
        program: "a socket without a name",
        line: 11,
        results: &[(r#"poll: ["IN", "OUT", "HUP", "RDHUP"]"#, r#"poll: ["OUT", "HUP"]"#)],
        reason: "POSIX: shutdown has failed with ENOTCONN, so nothing is shut; Linux remembers it",
    },
    Deviation {
        program: "two connections of the same names",
        line: 2,
        results: &[("connect: EADDRNOTAVAIL", "connect: EADDRINUSE")],
        reason: "POSIX has EADDRINUSE for a connection of addresses that are already in use",
    },
    Deviation {
        program: "connect to what cannot be a peer",
        line: 1,
        results: &[
            ("connect: ENETUNREACH", "connect: EADDRNOTAVAIL"),
            ("connect: ECONNREFUSED", "connect: EADDRNOTAVAIL"),
        ],
        reason: "no packet is sent to a broadcast address or to port 0, so nobody can refuse it",
    },
    Deviation {
        program: "bind while the port of one without SO_REUSEADDR is in TIME-WAIT",
        line: 5,
        results: &[("bind: EADDRINUSE", "bind: ()")],
        reason: "TIME-WAIT keeps no options: SO_REUSEADDR of the socket that binds is enough",
    },
    Deviation {
        program: "disconnect",
        line: 2,
        results: &[("getsockname: (true, false)", "getsockname: (false, false)")],
        reason: "Linux still tells the port that connect had chosen, which is not the socket's now",
    },
    Deviation {
        program: "MSG_WAITALL and the end of the stream",
        line: 5,
        results: &[
            (r#"recv: (4, "half")"#, "recv: ECONNRESET"),
            ("recv: ECONNRESET", r#"recv: (0, "")"#),
        ],
        reason: "RFC 9293 §3.10.7.4: a reset flushes what was received and not read",
    },
    Deviation {
        program: "a reset with octets unread",
        line: 2,
        results: &[
            ("FIONREAD: 6", "FIONREAD: 0"),
            (r#"recv: (3, "unr")"#, "recv: ECONNRESET"),
            (r#"recv: (3, "ead")"#, r#"recv: (0, "")"#),
            ("recv: ECONNRESET", r#"recv: (0, "")"#),
        ],
        reason: "RFC 9293 §3.10.7.4: a reset flushes what was received and not read",
    },
    Deviation {
        program: "a datagram that is too long",
        line: 2,
        results: &[("sendto: 1473", "sendto: EMSGSIZE")],
        reason: "the link's MTU is 1500, that of the loopback device 65536; nothing is fragmented",
    },
    Deviation {
        program: "options of TCP on a datagram socket",
        line: 3,
        results: &[
            ("get NoDelay: EOPNOTSUPP", "get NoDelay: ENOPROTOOPT"),
            ("get KeepCount: EOPNOTSUPP", "get KeepCount: ENOPROTOOPT"),
        ],
        reason: "POSIX has ENOPROTOOPT for getsockopt as well as for setsockopt",
    },
    Deviation {
        program: "IPV6_V6ONLY on an IPv4 socket",
        line: 1,
        results: &[("get V6Only: EOPNOTSUPP", "get V6Only: ENOPROTOOPT")],
        reason: "POSIX has ENOPROTOOPT for getsockopt as well as for setsockopt",
    },
    Deviation {
        program: "IPV6_V6ONLY on an IPv4 socket",
        line: 3,
        results: &[("get V6Only: EOPNOTSUPP", "get V6Only: ENOPROTOOPT")],
        reason: "POSIX has ENOPROTOOPT for getsockopt as well as for setsockopt",
    },
];
