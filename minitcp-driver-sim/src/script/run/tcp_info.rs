//! `struct tcp_info` of <linux/tcp.h>: what the stack knows, and what the packets tell.

use minitcp_proto::Info;

use super::fd::Kind;
use super::flow::Flow;
use super::inbound::{Subject, World};

impl World {
    /// A field of the connection that the packets of the script belong to.
    pub(super) fn tcp_info(&mut self, name: &str) -> Result<i128, String> {
        let Subject::Flow(subject) = self.subject else {
            return Err("there is no connection to ask".to_owned());
        };
        let mut ids = self.fds.iter().filter_map(|fd| match fd.kind {
            Kind::Connection { id, flow, .. } if flow == subject => Some(id),
            Kind::Fresh { .. } | Kind::Listener { .. } | Kind::Connection { .. } => None,
            Kind::Udp { .. } | Kind::Epoll { .. } => None,
        });
        let id = ids.next_back().ok_or("the program has no such connection")?;
        let connection = self.host.stack().connection(id);
        let info = connection.and_then(|connection| connection.info());
        let info = info.ok_or("the stack has no such connection")?;
        // What has left counts, also while the script has not come to it.
        let mut flow = self.flows[subject].clone();
        let ends = flow.inbound.reversed();
        let left = self.host.sent.iter().filter(|sent| sent.packet.ends == ends);
        left.for_each(|sent| flow.on_sent(&sent.packet));
        let mtu = self.host.config().mtu;
        let now = self.host.instant();
        let millis = |then| i128::try_from(now.since(then).as_millis()).unwrap_or(i128::MAX);
        Ok(match name {
            "tcpi_pmtu" => mtu.into(),
            "tcpi_last_data_sent" => millis(info.last_sent),
            "tcpi_last_ack_recv" => millis(info.last_received),
            "tcpi_last_data_recv" => {
                i128::from(now.as_nanos().saturating_sub(flow.last_data) / 1_000_000)
            }
            _ => match of_stack(name, &info).or_else(|| of_packets(name, &info, &flow)) {
                Some(value) => value,
                None => return Err(format!("the stack has no {name}")),
            },
        })
    }
}

/// What the stack says of a connection, in the units of Linux.
fn of_stack(name: &str, info: &Info) -> Option<i128> {
    let segments = |octets: u32| i128::from(octets / u32::from(info.mss.max(1)));
    Some(match name {
        "tcpi_state" => info.state.linux_number().into(),
        "tcpi_ca_state" if info.timeouts > 0 => 4,
        "tcpi_ca_state" => {
            if info.is_recovering {
                3
            } else {
                0
            }
        }
        "tcpi_retransmits" | "tcpi_backoff" => info.timeouts.into(),
        "tcpi_probes" => info.keepalive_probes.saturating_add(info.window_probes).into(),
        "tcpi_snd_wscale" => info.snd_wscale.into(),
        "tcpi_rcv_wscale" => info.rcv_wscale.into(),
        "tcpi_rto" => info.rto_micros.into(),
        "tcpi_snd_mss" => info.mss.into(),
        "tcpi_advmss" => info.local_mss.into(),
        "tcpi_rtt" => info.srtt_micros.unwrap_or(0).into(),
        "tcpi_rttvar" => info.rttvar_micros.into(),
        // Linux has this number for "none yet".
        "tcpi_snd_ssthresh" if info.ssthresh == u32::MAX => 0x7fff_ffff,
        "tcpi_snd_ssthresh" => segments(info.ssthresh),
        "tcpi_snd_cwnd" => segments(info.cwnd),
        "tcpi_total_retrans" => info.retransmits.into(),
        "tcpi_notsent_bytes" => info.unsent.into(),
        "tcpi_snd_wnd" => info.snd_wnd.into(),
        "tcpi_rcv_wnd" => info.rcv_wnd.into(),
        // Linux no longer counts these.
        "tcpi_fackets" => 0,
        _ => return None,
    })
}

/// What the packets of a conversation say; counted on the wire, SYNs included.
fn of_packets(name: &str, info: &Info, flow: &Flow) -> Option<i128> {
    let count = |number: usize| i128::try_from(number).unwrap_or(i128::MAX);
    Some(match name {
        "tcpi_options" => flow.agreed_options().into(),
        "tcpi_unacked" => count(flow.segments_beyond(info.snd_una.0)),
        "tcpi_bytes_received" => flow.received(info.rcv_nxt.0).into(),
        "tcpi_bytes_acked" => {
            let isn = flow.local_isn().unwrap_or(info.snd_una.0);
            let acked = info.snd_una.0.wrapping_sub(isn).saturating_sub(1);
            i128::from(acked).min(count(flow.written_len()))
        }
        "tcpi_segs_in" => flow.received_segments.all.into(),
        "tcpi_data_segs_in" => flow.received_segments.with_data.into(),
        "tcpi_segs_out" => flow.sent_segments.all.into(),
        "tcpi_data_segs_out" => flow.sent_segments.with_data.into(),
        "tcpi_bytes_sent" => flow.sent_segments.octets.into(),
        "tcpi_bytes_retrans" => {
            i128::from(flow.sent_segments.octets) - i128::from(flow.sent_once())
        }
        _ => return None,
    })
}
