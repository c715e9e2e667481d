//! `struct tcp_info`, as Linux has it in `<linux/tcp.h>`: what MiniTCP knows, else zero.

use minitcp_proto::{Info, Instant};

/// Octets up to and with `tcpi_rcv_wnd`.
const SIZE: usize = 236;

/// `now` is the time of the net, for the ages in it.
pub(super) fn encode(info: &Info, now: Instant) -> Vec<u8> {
    let segment = u32::from(info.mss).max(1);
    let age = |then| u32::try_from(now.since(then).as_millis()).unwrap_or(u32::MAX);
    let rtt = info.srtt_micros.unwrap_or(0);
    let threshold = match info.ssthresh {
        u32::MAX => INFINITE_THRESHOLD,
        octets => octets / segment,
    };
    let mut octets = vec![0; SIZE];
    octets[0] = info.state.linux_number();
    octets[1] = phase(info); // tcpi_ca_state
    octets[2] = info.timeouts; // tcpi_retransmits
    octets[3] = info.keepalive_probes.max(info.window_probes); // tcpi_probes
    octets[4] = info.timeouts; // tcpi_backoff
    octets[5] = options(info); // tcpi_options
    octets[6] = bit_fields(info.snd_wscale, info.rcv_wscale);
    for (at, value) in [
        (8, info.rto_micros),                   // tcpi_rto
        (16, segment),                          // tcpi_snd_mss
        (24, info.in_flight.div_ceil(segment)), // tcpi_unacked, segments
        (44, age(info.last_sent)),              // tcpi_last_data_sent, ms
        (56, age(info.last_received)),          // tcpi_last_ack_recv, ms
        (68, rtt),                              // tcpi_rtt, µs
        (72, info.rttvar_micros),               // tcpi_rttvar, µs
        (76, threshold),                        // tcpi_snd_ssthresh, segments
        (80, info.cwnd / segment),              // tcpi_snd_cwnd, segments
        (84, info.local_mss.into()),            // tcpi_advmss
        (100, info.retransmits),                // tcpi_total_retrans, segments
        (144, info.unsent),                     // tcpi_notsent_bytes
        (228, info.snd_wnd),                    // tcpi_snd_wnd
        (232, info.rcv_wnd),                    // tcpi_rcv_wnd
    ] {
        octets[at..at + 4].copy_from_slice(&value.to_ne_bytes());
    }
    octets
}

/// Linux's `TCP_CA_…`: open, recovering after a fast retransmit, or after a timeout.
const fn phase(info: &Info) -> u8 {
    match (info.timeouts > 0, info.is_recovering) {
        (true, _) => 4,
        (false, true) => 3,
        (false, false) => 0,
    }
}

/// What the SYNs agreed on: Linux's `TCPI_OPT_TIMESTAMPS`, `TCPI_OPT_SACK`, `TCPI_OPT_WSCALE` and
/// `TCPI_OPT_ECN`.
fn options(info: &Info) -> u8 {
    let scales = info.snd_wscale | info.rcv_wscale > 0;
    u8::from(info.timestamps)
        | u8::from(info.sack) << 1
        | u8::from(scales) << 2
        | u8::from(info.ecn) << 3
}

/// `tcpi_snd_wscale : 4, tcpi_rcv_wscale : 4`, in the order in which C compilers fill them.
const fn bit_fields(snd_wscale: u8, rcv_wscale: u8) -> u8 {
    match cfg!(target_endian = "little") {
        true => snd_wscale & 15 | rcv_wscale << 4,
        false => snd_wscale << 4 | rcv_wscale & 15,
    }
}

/// Linux's `TCP_INFINITE_SSTHRESH`.
const INFINITE_THRESHOLD: u32 = 0x7fff_ffff;
