//! Resets, SYNs and ACKs at every edge of the window, in every state that has one, over both IP
//! versions: RFC 5961 §3 and §4, RFC 9293 §3.10.7.4.

use minitcp_driver_sim::script::options::ScriptOption;
use minitcp_driver_sim::script::{self, run::Settings};

/// A way to a state: the lines after the handshake, and SND.NXT and RCV.NXT there.
struct Walk {
    state: &'static str,
    lines: &'static str,
    snd_nxt: u32,
    rcv_nxt: u32,
}

const WALKS: [Walk; 8] = [
    Walk { state: "ESTABLISHED", lines: "", snd_nxt: 1, rcv_nxt: 1 },
    Walk {
        state: "FIN-WAIT-1",
        lines: "+0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n",
        snd_nxt: 2,
        rcv_nxt: 1,
    },
    Walk {
        state: "FIN-WAIT-2",
        lines: "+0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n\
                +.01 < . 1:1(0) ack 2 win 9000\n",
        snd_nxt: 2,
        rcv_nxt: 1,
    },
    Walk {
        state: "CLOSING",
        lines: "+0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n\
                +.01 < F. 1:1(0) ack 1 win 9000\n+0 > . 2:2(0) ack 2\n",
        snd_nxt: 2,
        rcv_nxt: 2,
    },
    Walk {
        state: "TIME-WAIT by FIN-WAIT-2",
        lines: "+0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n\
                +.01 < . 1:1(0) ack 2 win 9000\n\
                +.01 < F. 1:1(0) ack 2 win 9000\n+0 > . 2:2(0) ack 2\n",
        snd_nxt: 2,
        rcv_nxt: 2,
    },
    Walk {
        state: "TIME-WAIT by CLOSING",
        lines: "+0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 1\n\
                +.01 < F. 1:1(0) ack 1 win 9000\n+0 > . 2:2(0) ack 2\n\
                +.01 < . 2:2(0) ack 2 win 9000\n",
        snd_nxt: 2,
        rcv_nxt: 2,
    },
    Walk {
        state: "CLOSE-WAIT",
        lines: "+0 < F. 1:1(0) ack 1 win 9000\n+0 > . 1:1(0) ack 2\n",
        snd_nxt: 1,
        rcv_nxt: 2,
    },
    Walk {
        state: "LAST-ACK",
        lines: "+0 < F. 1:1(0) ack 1 win 9000\n+0 > . 1:1(0) ack 2\n\
                +0 shutdown(3, SHUT_WR) = 0\n+0 > F. 1:1(0) ack 2\n",
        snd_nxt: 2,
        rcv_nxt: 2,
    },
];

/// RCV.WND in all of these states: the peer has no window scale, and nothing is unread.
const WINDOW: u32 = 65_535;

/// The first five are the edges of the window from outside and inside, the last half way round.
fn edges(rcv_nxt: u32) -> [(&'static str, u32, bool); 6] {
    [
        ("one below", rcv_nxt - 1, false),
        ("left edge", rcv_nxt, true),
        ("one beyond the left edge", rcv_nxt + 1, true),
        ("right edge", rcv_nxt + WINDOW - 1, true),
        ("one beyond", rcv_nxt + WINDOW, false),
        ("half way round", rcv_nxt + (1 << 31), false),
    ]
}

/// Plays `lines` in the state that `walk` leads to, over both IP versions.
fn play(walk: &Walk, edge: &str, lines: &str) {
    let text = format!(
        "--exact\n--timestamps=0\n\
         0 socket(..., SOCK_STREAM, IPPROTO_TCP) = 3\n\
         +0 fcntl(3, F_SETFL, O_RDWR|O_NONBLOCK) = 0\n\
         +0 connect(3, ..., ...) = -1 EINPROGRESS (Operation now in progress)\n\
         +0 > S 0:0(0) <...>\n\
         +.01 < S. 0:0(0) ack 1 win 9000 <mss 1000>\n+0 > . 1:1(0) ack 1\n{}{lines}",
        walk.lines
    );
    for version in ["ipv4", "ipv6"] {
        let name = format!("{} {edge} {version}", walk.state);
        let script = script::parse(&name, text.as_bytes()).unwrap_or_else(|e| panic!("{e}"));
        let option = ScriptOption::new("ip_version", Some(version)).unwrap();
        let settings = Settings { options: vec![option], ..Settings::default() };
        if let Err(failure) = script::run::run(&name, &script, &settings) {
            panic!("{failure}\n{text}");
        }
    }
}

/// What tells that the connection is there: an octet from before the window is acknowledged.
fn is_alive(walk: &Walk) -> String {
    let (snd, rcv) = (walk.snd_nxt, walk.rcv_nxt);
    let old = rcv - 1;
    format!("+.05 < . {old}:{rcv}(1) ack {snd} win 9000\n+0 > . {snd}:{snd}(0) ack {rcv}\n")
}

/// R5961-1, R5961-2, R5961-3: a reset counts at exactly RCV.NXT, is challenged elsewhere in the
/// window, and is nothing outside.
#[test]
fn resets() {
    for walk in &WALKS {
        let (snd, rcv) = (walk.snd_nxt, walk.rcv_nxt);
        for (edge, seq, is_inside) in edges(rcv) {
            for flags in ["R".to_owned(), format!("R. {seq}:{seq}(0) ack {snd}")] {
                let numbers = if flags == "R" { format!(" {seq}:{seq}(0)") } else { String::new() };
                let reset = format!("+.1 < {flags}{numbers} win 0\n");
                let then = if seq == rcv {
                    // Nobody is here any more.
                    format!("+.05 < . {rcv}:{rcv}(0) ack {snd} win 9000\n+0 > R {snd}:{snd}(0)\n")
                } else if is_inside {
                    format!("+0 > . {snd}:{snd}(0) ack {rcv}\n")
                } else {
                    is_alive(walk)
                };
                play(walk, edge, &(reset + &then));
            }
        }
    }
}

/// R5961-4: a SYN is challenged, wherever it lies.
#[test]
fn syns() {
    for walk in &WALKS {
        let (snd, rcv) = (walk.snd_nxt, walk.rcv_nxt);
        for (edge, seq, _) in edges(rcv) {
            for ack in [String::new(), format!(". {seq}:{seq}(0) ack {snd}")] {
                let numbers = if ack.is_empty() { format!(" {seq}:{seq}(0)") } else { ack };
                let syn = format!("+.1 < S{numbers} win 9000 <mss 1000>\n");
                play(walk, edge, &format!("{syn}+0 > . {snd}:{snd}(0) ack {rcv}\n"));
            }
        }
    }
}

/// R9293-7: text outside the window is answered with where we are; R9293-24: without an ACK
/// nothing counts.
#[test]
fn text() {
    for walk in &WALKS {
        let (snd, rcv) = (walk.snd_nxt, walk.rcv_nxt);
        for (edge, seq, is_inside) in edges(rcv) {
            let end = seq + 1;
            let bare = format!("+.1 < - {seq}:{end}(1) win 9000\n");
            if is_inside {
                play(walk, edge, &(bare + &is_alive(walk)));
                continue;
            }
            let text = format!("+.1 < . {seq}:{end}(1) ack {snd} win 9000\n");
            play(walk, edge, &format!("{text}+0 > . {snd}:{snd}(0) ack {rcv}\n"));
        }
    }
}
