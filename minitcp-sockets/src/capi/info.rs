//! `struct tcp_info`, as Linux has it in `<linux/tcp.h>`: what MiniTCP knows, else zero.

use minitcp_proto::{Info, State};

/// Octets up to and with `tcpi_rcv_wnd`.
const SIZE: usize = 236;

pub(super) fn encode(info: &Info) -> Vec<u8> {
    let segment = u32::from(info.mss).max(1);
    let flight = info.snd_nxt.since(info.snd_una);
    let rtt = info.srtt_micros.unwrap_or(0);
    let threshold = match info.ssthresh {
        u32::MAX => INFINITE_THRESHOLD,
        octets => octets / segment,
    };
    let mut octets = vec![0; SIZE];
    octets[0] = state(info.state);
    octets[2] = info.timeouts; // tcpi_retransmits
    octets[3] = info.keepalive_probes; // tcpi_probes
    octets[4] = info.timeouts; // tcpi_backoff
    for (at, value) in [
        (8, info.rto_micros),           // tcpi_rto
        (16, segment),                  // tcpi_snd_mss
        (24, flight.div_ceil(segment)), // tcpi_unacked, segments
        (68, rtt),                      // tcpi_rtt, µs
        (72, info.rttvar_micros),       // tcpi_rttvar, µs
        (76, threshold),                // tcpi_snd_ssthresh, segments
        (80, info.cwnd / segment),      // tcpi_snd_cwnd, segments
        (144, info.unsent),             // tcpi_notsent_bytes
        (228, info.snd_wnd),            // tcpi_snd_wnd
        (232, info.rcv_wnd),            // tcpi_rcv_wnd
    ] {
        octets[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    octets
}

/// Linux's `TCP_INFINITE_SSTHRESH`.
const INFINITE_THRESHOLD: u32 = 0x7fff_ffff;

/// Linux's numbers.
const fn state(state: State) -> u8 {
    match state {
        State::Established => 1,
        State::SynSent => 2,
        State::SynRcvd => 3,
        State::FinWait1 => 4,
        State::FinWait2 => 5,
        State::TimeWait => 6,
        State::Closed => 7,
        State::CloseWait => 8,
        State::LastAck => 9,
        State::Listen => 10,
        State::Closing => 11,
    }
}
