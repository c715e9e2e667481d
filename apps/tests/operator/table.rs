//! Every program and subcommand of `apps`, and with which arguments it is tried.

/// One program, or one subcommand.
pub(crate) struct Program {
    /// The words of its command line, the program first.
    pub(crate) name: &'static str,
    /// With these it does its job, and prints something.
    pub(crate) runs: &'static str,
    pub(crate) end: End,
    /// Who has to be there, or what.
    pub(crate) needs: Needs,
    /// With these it goes on until SIGINT; then its status, and what it has printed.
    pub(crate) long: (&'static str, i32, &'static str),
    /// A mistake of typing, and what was meant.
    pub(crate) mistyped: (&'static str, &'static str),
    /// What it refuses before it begins, and the word that is wrong.
    pub(crate) bad: &'static [(&'static str, &'static str)],
    /// Files that are not there or cannot be written, and the status; empty: it knows no files.
    pub(crate) files: &'static [(&'static str, i32)],
    /// What may not be done without privilege; `None`: it needs none.
    pub(crate) privileged: Option<&'static str>,
    /// With these it speaks IPv6; `None`: it knows no addresses.
    pub(crate) ipv6: Option<&'static str>,
}

/// When a program ends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum End {
    /// When its work is done.
    ByItself,
    /// When it is told to; it serves this port until then, of this address.
    BySignal(&'static str),
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Needs {
    Nothing,
    /// A network of its own, with a device or two.
    Network,
    /// `minitcp bench server --kernel`.
    BenchServer,
    /// An echo on port 7 of the kernel.
    Echo,
    /// Files that other programs make of these arguments of `minitcp`.
    Files(&'static [&'static str]),
}

pub(crate) const PROGRAMS: [Program; 10] = [
    Program {
        name: "chat_server",
        runs: "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --trace",
        end: End::BySignal("10.9.0.2:8080"),
        needs: Needs::Network,
        long: ("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --trace", 0, "[TCP ] state"),
        mistyped: ("--trase", "--trace"),
        bad: &[
            ("--addr lots", "lots"),
            ("--port 65536", "65536"),
            ("--prefix 129", "129"),
            ("--prefix 33", "33"),
            ("--addr 127.0.0.1", "127.0.0.1"),
            ("--addr 10.9.0.2 --kernel-addr 10.9.0.2", "its own"),
            ("--addr fd00::2 --kernel-addr 10.9.0.1", "both IPv6"),
        ],
        files: &[(
            "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --pcap /nowhere/chat.pcap",
            1,
        )],
        privileged: Some("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1"),
        ipv6: Some("--tun tunA --addr fd00:9::2 --kernel-addr fd00:9::1"),
    },
    Program {
        name: "chat_client",
        runs: "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --server 10.9.0.1 --port 7",
        end: End::ByItself,
        needs: Needs::Echo,
        long: (
            "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --server 10.9.0.1 --port 7",
            0,
            "good morning",
        ),
        mistyped: ("--sever 10.9.0.1", "--server"),
        bad: &[("--server lots", "lots"), ("--port x", "x")],
        files: &[(
            "--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --pcap /nowhere/chat.pcap",
            1,
        )],
        privileged: Some("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1"),
        ipv6: Some(
            "--tun tunA --addr fd00:9::2 --kernel-addr fd00:9::1 --server fd00:9::1 --port 7",
        ),
    },
    Program {
        name: "minitcp demo",
        runs: "--in-memory",
        end: End::ByItself,
        needs: Needs::Nothing,
        long: ("", 1, "interrupted: "),
        mistyped: ("--in-memroy", "--in-memory"),
        bad: &[("--in-memory=much", "much"), ("now", "now")],
        files: &[],
        privileged: None, // It says so, and goes on in memory.
        ipv6: None,
    },
    Program {
        name: "minitcp bench server",
        runs: "--kernel --addr 127.0.0.1",
        end: End::BySignal("127.0.0.1:5005"),
        needs: Needs::Network,
        long: ("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1", 0, "listening on port 5005"),
        mistyped: ("--kernle", "--kernel"),
        bad: &[("--kernel --port x", "x"), ("--tun t --addr lots", "lots"), ("--tun t", "--addr")],
        files: &[],
        privileged: Some("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1"),
        ipv6: Some("--tun tunA --addr fd00:9::2 --kernel-addr fd00:9::1"),
    },
    Program {
        name: "minitcp bench client",
        runs: "--kernel --to 127.0.0.1 --bytes 1M",
        end: End::ByItself,
        needs: Needs::BenchServer,
        long: ("--kernel --to 127.0.0.1 --time 60s --echo", 1, "round trips: "),
        mistyped: ("--kernel --to 127.0.0.1 --ecko", "--echo"),
        bad: &[
            ("--kernel --to lots", "lots"),
            ("--kernel --to 10.0.0.1 --time 0", "longer than 0"),
            ("--kernel --to 10.0.0.1 -P 0", "0"),
        ],
        files: &[],
        privileged: Some("--tun tunA --addr 10.9.0.2 --kernel-addr 10.9.0.1 --to 10.9.0.1"),
        ipv6: Some("--tun tunA --addr fd00:9::2 --kernel-addr fd00:9::1 --to fd00:9::1 --bytes 1M"),
    },
    Program {
        name: "minitcp bench-server",
        runs: "--tun tunA --addr 10.9.0.2",
        end: End::BySignal(""),
        needs: Needs::Network,
        long: ("--tun tunA --addr 10.9.0.2 --threads", 0, "tunA: 10.9.0.2 serves ports"),
        mistyped: ("--tun t --addr 10.9.0.2 --thread", "--threads"),
        bad: &[("--tun t --addr lots", "lots"), ("--tun t --addr 10.9.0.2 --queues 0", "0")],
        files: &[],
        privileged: Some("--tun tunA --addr 10.9.0.2"),
        ipv6: Some("--tun tunA --addr fd00:9::2"),
    },
    Program {
        name: "minitcp pkt",
        runs: "--show SCRIPTS/rfc9293-close/passive.pkt",
        end: End::ByItself,
        needs: Needs::Nothing,
        // MANY times the same script.
        long: ("--quiet MANY", 1, "interrupted after "),
        mistyped: ("--shwo x.pkt", "--show"),
        bad: &[("-o frob=1 x.pkt", "frob"), ("-D ack=1 x.pkt", "ack=1"), ("--seed x y.pkt", "x")],
        files: &[("missing.pkt", 2)],
        privileged: None,
        ipv6: Some("-o ip_version=ipv6 SCRIPTS/rfc5461/net-unreachable.pkt"),
    },
    Program {
        name: "minitcp replay",
        runs: "small.journal",
        end: End::ByItself,
        needs: Needs::Files(&[
            "sim --bytes 100K --addr fd00::1 --record small.journal",
            "sim --bytes 200M --link clean --buffer 256K --record large.journal",
        ]),
        long: ("large.journal --pcap run.pcapng", 1, "interrupted: the same up to line "),
        mistyped: ("small.journal --pacp x", "--pcap"),
        bad: &[("small.journal --pcap x --pcap-at client", "client"), ("--json", "JOURNAL")],
        files: &[("missing.journal", 2), ("small.journal --pcap /nowhere/x.pcapng", 1)],
        privileged: None,
        ipv6: Some("small.journal"),
    },
    Program {
        name: "minitcp sim",
        runs: "--bytes 10K",
        end: End::ByItself,
        needs: Needs::Nothing,
        long: ("--bytes 1000G", 1, "computed in "),
        mistyped: ("--los 10%", "--loss"),
        bad: &[
            ("--loss 101%", "101%"),
            ("--link isdn", "isdn"),
            ("--addr ::1", "::1"),
            ("--mtu 100", "100"),
        ],
        files: &[
            ("--bytes 10K --record /nowhere/x", 1),
            ("--bytes 10K --pcap /nowhere/x", 1),
            ("--bytes 10K --pcap whole.pcapng --record /dev/full", 1),
            ("--bytes 10K --record whole.journal --pcap /dev/full", 1),
        ],
        privileged: None,
        ipv6: Some("--bytes 10K --addr fd00::1"),
    },
    Program {
        name: "minitcp swarm",
        runs: "--seeds 1",
        end: End::ByItself,
        needs: Needs::Nothing,
        long: ("--seeds 1000000000", 1, "interrupted"),
        mistyped: ("--seedz 1", "--seeds"),
        bad: &[("--seeds x", "x"), ("--reduce everything", "everything")],
        files: &[("--seeds 1 --record /nowhere/x", 1)],
        privileged: None,
        ipv6: None,
    },
];
