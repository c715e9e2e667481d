//! What is worth knowing when a run is over, for people and as JSON.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use minitcp_driver_sim::{LinkStats, Network, NodeId, Outcome, Recorder, jain};
use minitcp_proto::{Congestion, Drop, Stats};

/// What a run costs: time on a processor where Linux tells it, else time.
#[derive(Clone, Copy)]
pub(super) struct Cost {
    wall: Duration,
    began: Instant,
    processor: Option<Duration>,
}

impl Cost {
    pub(super) fn begin() -> Self {
        Self { wall: Duration::ZERO, began: Instant::now(), processor: processor_time() }
    }

    fn end(self) -> Self {
        let spent = self.processor.zip(processor_time()).map(|(from, to)| to.saturating_sub(from));
        Self { wall: self.began.elapsed(), processor: spent, ..self }
    }

    fn computing(&self) -> Duration {
        self.processor.filter(|spent| *spent > Duration::ZERO).unwrap_or(self.wall)
    }
}

/// What this thread has had so far: others may have kept it waiting meanwhile.
fn processor_time() -> Option<Duration> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat").ok()?;
    text.split_whitespace().next()?.parse().ok().map(Duration::from_nanos)
}

/// How one flow ended, and who controlled it.
#[derive(Clone, Copy)]
pub(super) struct FlowEnd {
    pub(super) congestion: Congestion,
    pub(super) outcome: Outcome,
}

impl FlowEnd {
    fn goodput(&self) -> u64 {
        self.outcome.goodput().unwrap_or(0)
    }
}

/// How all of them ended.
pub(super) struct Endings {
    pub(super) flows: Vec<FlowEnd>,
    pub(super) is_success: bool,
    pub(super) is_interrupted: bool,
}

/// All of it.
pub(super) struct Report {
    flows: Vec<FlowEnd>,
    is_success: bool,
    is_interrupted: bool,
    links: LinkStats,
    hosts: [Stats; 2],
    packet_hash: u64,
    steps: u64,
    cost: Cost,
}

impl Report {
    pub(super) fn new(
        network: &Network<Recorder>,
        nodes: [NodeId; 2],
        endings: Endings,
        cost: Cost,
    ) -> Self {
        Self {
            flows: endings.flows,
            is_success: endings.is_success,
            is_interrupted: endings.is_interrupted,
            links: network.stats().clone(),
            hosts: nodes.map(|node| network.stack(node).stats().clone()),
            packet_hash: network.packet_hash(),
            steps: network.steps(),
            cost: cost.end(),
        }
    }

    fn sum(&self, counter: impl Fn(&Stats) -> u64) -> u64 {
        self.hosts.iter().map(counter).sum()
    }

    fn goodputs(&self) -> Vec<u64> {
        self.flows.iter().map(FlowEnd::goodput).collect()
    }

    /// Why hosts threw packets away, and how many.
    fn drops(&self) -> Vec<(Drop, u64)> {
        let [client, server] = &self.hosts;
        let both = client.drops().zip(server.drops());
        both.map(|((reason, ours), (_, theirs))| (reason, ours + theirs))
            .filter(|(_, count)| *count > 0)
            .collect()
    }

    /// What each controller's flows have together, if there are several controllers: its name, how
    /// many flows, and octets a second.
    fn shares(&self) -> Vec<(&'static str, usize, u64)> {
        let share = |controller: &Congestion| {
            let own = self.flows.iter().filter(|flow| flow.congestion == *controller);
            let goodput = own.clone().map(FlowEnd::goodput).sum();
            (controller.name(), own.count(), goodput)
        };
        let mut shares: Vec<_> = Congestion::ALL.iter().map(share).collect();
        shares.retain(|(_, count, _)| *count > 0);
        if shares.len() > 1 { shares } else { Vec::new() }
    }

    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    pub(super) fn text(&self) -> String {
        let mut lines = Vec::new();
        let interrupted = if self.is_interrupted { "interrupted: " } else { "" };
        match self.flows.as_slice() {
            [flow] => {
                lines.push(format!("{interrupted}{}", flow.outcome));
                if let Some(goodput) = flow.outcome.goodput() {
                    lines.push(format!("goodput {} Mbit/s", megabits(goodput)));
                }
            }
            _ => {
                lines.extend((!interrupted.is_empty()).then(|| "interrupted".to_owned()));
                lines.extend(self.flow_lines());
            }
        }
        lines.push(format!("links: {}", self.links));
        let drops = self.drops();
        let reasons: Vec<_> =
            drops.iter().map(|(reason, count)| format!("{count} {reason}")).collect();
        let reasons = match reasons.is_empty() {
            true => String::new(),
            false => format!(" ({})", reasons.join(", ")),
        };
        lines.push(format!(
            "hosts: {} retransmissions, {} timeouts, {} fast retransmits, {} packets dropped\
             {reasons}",
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            drops.iter().map(|(_, count)| count).sum::<u64>(),
        ));
        let reductions = self.sum(|stats| stats.ecn_reductions);
        if reductions > 0 {
            let echoes = self.sum(|stats| stats.ecn_echoes_in);
            lines.push(format!("ECN: {reductions} windows reduced for {echoes} echoes"));
        }
        lines.push(format!("all packets: hash {:016x}", self.packet_hash));
        let (seconds, wall) = (self.cost.computing().as_secs_f64(), self.cost.wall.as_secs_f64());
        let mut cost = format!("computed in {seconds:.3} s on one processor ({wall:.3} s in all)");
        if seconds > 0.0 {
            let [packets, events] =
                [self.links.packets, self.steps].map(|count| count as f64 / seconds);
            let _never_fails = write!(cost, ": {packets:.0} packets/s, {events:.0} events/s");
        }
        lines.push(cost);
        lines.join("\n")
    }

    /// A line for each of several flows, their sum, and what controllers have of it.
    #[expect(clippy::cast_precision_loss, reason = "for people to read")]
    fn flow_lines(&self) -> Vec<String> {
        let goodputs = self.goodputs();
        let sum: u64 = goodputs.iter().sum();
        let percent = |goodput: u64| goodput as f64 * 100.0 / sum.max(1) as f64;
        let mut lines = Vec::new();
        for (number, (flow, goodput)) in self.flows.iter().zip(&goodputs).enumerate() {
            lines.push(format!(
                "flow {:>3}, {:<5} {:>10} Mbit/s {:>5.1} %  {}",
                number + 1,
                flow.congestion.name(),
                megabits(*goodput),
                percent(*goodput),
                flow.outcome,
            ));
        }
        let index = jain(&goodputs);
        lines.push(format!("sum {} Mbit/s, Jain's index {index:.3}", megabits(sum)));
        for (name, count, goodput) in self.shares() {
            let (all, each) = (percent(goodput), goodput / u64::try_from(count).unwrap_or(1));
            lines.push(format!(
                "{name}: {all:.1} % for {count} flows, {} Mbit/s each",
                megabits(each)
            ));
        }
        lines
    }

    /// Numbers, and strings of hexadecimal digits and plain words: nothing needs escaping.
    pub(super) fn json(&self) -> String {
        let all = |number: fn(&Outcome) -> u64| {
            self.flows.iter().map(|flow| number(&flow.outcome)).fold(0, u64::saturating_add)
        };
        let outcomes = || self.flows.iter().map(|flow| flow.outcome);
        let elapsed = outcomes().map(|outcome| outcome.elapsed).max().unwrap_or_default();
        let broken = outcomes().find_map(|outcome| outcome.broken);
        let broken = broken.map_or("null".to_owned(), |reason| format!("\"{reason}\""));
        let goodputs: Vec<u64> = outcomes().filter_map(|outcome| outcome.goodput()).collect();
        let goodput = match goodputs.is_empty() {
            true => "null".to_owned(),
            false => goodputs.iter().sum::<u64>().to_string(),
        };
        let drops: Vec<_> =
            self.drops().iter().map(|(reason, count)| format!("\"{reason}\":{count}")).collect();
        format!(
            "{{\"success\":{},\"interrupted\":{},\"sent\":{},\"received\":{},\
             \"seconds\":{},\
             \"goodput_bytes_per_second\":{goodput},\"broken\":{broken},\
             \"content_hash\":\"{:016x}\",\
             \"packets\":{},\"lost\":{},\"duplicated\":{},\"corrupted\":{},\"held_back\":{},\
             \"retransmissions\":{},\"timeouts\":{},\"fast_retransmits\":{},\
             \"ecn_reductions\":{},\
             \"dropped\":{{{}}},\"packet_hash\":\"{:016x}\",\"jain\":{:.6},\"flows\":[{}]}}",
            self.is_success,
            self.is_interrupted,
            all(|outcome| outcome.sent),
            all(|outcome| outcome.received),
            elapsed.as_secs_f64(),
            outcomes().fold(0, |hash, outcome| hash ^ outcome.received_hash),
            self.links.packets,
            self.links.lost_in_all(),
            self.links.duplicated,
            self.links.corrupted,
            self.links.held_back,
            self.sum(|stats| stats.retransmitted_segments),
            self.sum(|stats| stats.timeouts),
            self.sum(|stats| stats.fast_retransmits),
            self.sum(|stats| stats.ecn_reductions),
            drops.join(","),
            self.packet_hash,
            jain(&self.goodputs()),
            self.flows.iter().map(flow_json).collect::<Vec<_>>().join(","),
        )
    }
}

fn flow_json(flow: &FlowEnd) -> String {
    let Outcome { received, elapsed, .. } = flow.outcome;
    format!(
        "{{\"congestion\":\"{}\",\"flow_received\":{received},\"flow_seconds\":{},\
         \"flow_goodput_bytes_per_second\":{}}}",
        flow.congestion.name(),
        elapsed.as_secs_f64(),
        flow.goodput(),
    )
}

#[expect(clippy::cast_precision_loss, reason = "for people to read")]
fn megabits(octets_per_second: u64) -> String {
    format!("{:.3}", octets_per_second as f64 * 8.0 / 1e6)
}
