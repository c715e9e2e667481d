//! `--plot`: one flow over time, as one SVG that needs nothing else.
//!
//! Above, the time-sequence graph with the signs of tcptrace (S. Ostermann); below, on the same
//! axis of time, windows, round-trip times and the queue. Light or dark, as who looks wants it.

mod axis;
mod legend;
mod marks;
mod panel;

use minitcp_proto::Instant;

use super::seen::{Sample, Sign};
use legend::Look;
use marks::{Marks, Queue, Track};
use panel::{LEFT, Panel, Short, put};

/// Collects what will be drawn, in memory that does not grow with the run.
pub(super) struct Plot {
    heading: String,
    /// The controllers of all flows.
    controllers: Vec<&'static str>,
    /// The flow that is drawn.
    flow: usize,
    /// The end of the time.
    end: u64,
    sent: Marks,
    again: Marks,
    lost: Marks,
    sacked: Marks,
    duplicates: Marks,
    drops: Marks,
    acked: Track,
    right_edge: Track,
    /// Of every flow.
    cwnd: Vec<Track>,
    ssthresh: Track,
    srtt: Track,
    min_rtt: Track,
    queue: Queue,
    last_drops: u64,
}

impl Plot {
    /// Of flow number `flow`, from 0, of those with these controllers.
    pub(super) fn new(heading: String, controllers: Vec<&'static str>, flow: usize) -> Self {
        let marks = Marks::default;
        let track = Track::default;
        Self {
            heading,
            cwnd: vec![track(); controllers.len()],
            controllers,
            flow,
            end: 0,
            sent: marks(),
            again: marks(),
            lost: marks(),
            sacked: marks(),
            duplicates: marks(),
            drops: marks(),
            acked: track(),
            right_edge: track(),
            ssthresh: track(),
            srtt: track(),
            min_rtt: track(),
            queue: Queue::default(),
            last_drops: 0,
        }
    }

    /// A packet of `flow` told something.
    pub(super) fn sign(&mut self, now: Instant, flow: usize, sign: &Sign) {
        let at = now.as_nanos();
        self.end = self.end.max(at);
        if flow != self.flow {
            return;
        }
        match *sign {
            Sign::Sent { from, to, is_again, is_lost } => {
                let marks = if is_again { &mut self.again } else { &mut self.sent };
                marks.push(at, from, to);
                if is_lost {
                    self.lost.push(at, from, to);
                }
            }
            Sign::Acked { ack, right_edge, is_duplicate } => {
                self.acked.push(at, ack);
                self.right_edge.push(at, right_edge);
                if is_duplicate {
                    self.duplicates.push(at, ack, ack);
                }
            }
            Sign::Sacked { from, to } => self.sacked.push(at, from, to),
        }
    }

    /// What the variables of `flow` are.
    pub(super) fn sample(&mut self, now: Instant, flow: usize, sample: &Sample) {
        let at = now.as_nanos();
        if let Some(cwnd) = self.cwnd.get_mut(flow) {
            cwnd.push(at, u64::from(sample.cwnd));
        }
        if std::mem::replace(&mut self.last_drops, sample.queue_drops) < sample.queue_drops {
            self.drops.push(at, sample.queue, sample.queue);
        }
        if flow != self.flow {
            return;
        }
        for (track, value) in [
            (&mut self.ssthresh, sample.ssthresh),
            (&mut self.srtt, sample.srtt_micros),
            (&mut self.min_rtt, sample.min_rtt_micros),
        ] {
            if let Some(value) = value {
                track.push(at, u64::from(value));
            }
        }
    }

    /// What waits for the link, and when all of that will have left.
    pub(super) fn queue(&mut self, now: Instant, octets: u64, ends: Instant) {
        self.queue.push(now.as_nanos(), octets, ends.as_nanos());
    }

    /// The picture.
    pub(super) fn svg(&self) -> String {
        let mut out = String::new();
        let others = match self.controllers.len() {
            1 => String::new(),
            count => format!(", flow {} of {count}", self.flow + 1),
        };
        let heading = format!("{}{others}, {}", self.heading, self.controllers[self.flow]);
        put(
            &mut out,
            format_args!(
                "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 1000 {HEIGHT}\" \
                 width=\"1000\" height=\"{HEIGHT}\" role=\"img\">\n<title>{heading}</title>\n\
                 <style>{STYLE}</style>\n\
                 <rect class=\"paper\" width=\"1000\" height=\"{HEIGHT}\"/>\n\
                 <text x=\"{LEFT}\" y=\"22\" class=\"h\">{heading}</text>\n"
            ),
        );
        self.draw_sequence(&mut out);
        self.draw_windows(&mut out);
        self.draw_times(&mut out);
        self.draw_queue(&mut out);
        out.push_str("</svg>\n");
        out
    }

    fn panel(&self, (name, top, height): (&'static str, f64, f64), most: u64) -> Panel {
        let most = (most + most / 16).max(1);
        Panel { name, top, height, span: self.end, most, units: axis::OCTETS }
    }

    fn draw_sequence(&self, out: &mut String) {
        let bars = self.sent.list().iter().chain(self.again.list());
        let most = bars.map(|mark| mark.high).max().unwrap_or(0);
        let panel = self.panel(SEQUENCE, most);
        panel.frame(out, false);
        panel.open(out, "sequence");
        panel.steps(out, "edge", &self.right_edge, 1);
        panel.steps(out, "ack", &self.acked, 1);
        panel.ticks(out, "ack", &self.duplicates);
        panel.bars(out, "sack", &self.sacked, "S");
        panel.bars(out, "sent", &self.sent, "");
        panel.bars(out, "again", &self.again, "R");
        panel.crosses(out, "lost", &self.lost);
        out.push_str("</g>\n");
        legend::row(
            out,
            42.0,
            &[
                (Look::Bar, "sent", "segment, first to last octet"),
                (Look::Letter("R"), "again", "sent again"),
                (Look::Cross, "lost", "lost by the link"),
                (Look::Line, "edge", "end of the peer's window"),
            ],
        );
        legend::row(
            out,
            58.0,
            &[
                (Look::Line, "ack", "acknowledged"),
                (Look::Tick, "ack", "duplicate ACK"),
                (Look::Letter("S"), "sack", "SACK block, when it came"),
            ],
        );
    }

    fn draw_windows(&self, out: &mut String) {
        let own = &self.cwnd[self.flow];
        let highest = self.cwnd.iter().chain([&self.ssthresh]).map(Track::highest).max();
        let panel = self.panel(WINDOWS, highest.unwrap_or(0));
        panel.frame(out, false);
        panel.open(out, "windows");
        let names = self.names();
        let count = u64::try_from(self.cwnd.len()).unwrap_or(1);
        for (number, track) in self.cwnd.iter().enumerate() {
            if number != self.flow {
                let index = names.iter().position(|name| *name == self.controllers[number]);
                let class = THIN[index.unwrap_or(0) % THIN.len()];
                panel.steps(out, class, track, count.div_ceil(8));
            }
        }
        panel.steps(out, "cwnd", own, 1);
        panel.steps(out, "ssthresh", &self.ssthresh, 1);
        out.push_str("</g>\n");
        let texts: Vec<String> = names.iter().map(|name| format!("cwnd, other {name}")).collect();
        let mut entries = vec![(Look::Line, "cwnd", "cwnd"), (Look::Line, "ssthresh", "ssthresh")];
        if self.controllers.len() > 1 {
            let classes = THIN.iter().cycle();
            entries.extend(
                texts.iter().zip(classes).map(|(text, class)| (Look::Line, *class, text.as_str())),
            );
        }
        legend::row(out, panel.top - 10.0, &entries);
    }

    /// The controllers' names, each once, in the order of the flows.
    fn names(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = Vec::new();
        for name in &self.controllers {
            if !names.contains(name) {
                names.push(name);
            }
        }
        names
    }

    fn draw_times(&self, out: &mut String) {
        let most = self.srtt.highest().max(self.min_rtt.highest());
        let panel = Panel { units: axis::MICROS, ..self.panel(TIMES, most) };
        panel.frame(out, false);
        panel.open(out, "times");
        panel.steps(out, "srtt", &self.srtt, 1);
        panel.steps(out, "min", &self.min_rtt, 1);
        out.push_str("</g>\n");
        let entries =
            [(Look::Line, "srtt", "smoothed"), (Look::Line, "min", "least of the last ones")];
        legend::row(out, panel.top - 10.0, &entries);
    }

    fn draw_queue(&self, out: &mut String) {
        let panel = self.panel(QUEUE, self.queue.track().highest());
        panel.frame(out, true);
        panel.open(out, "queue");
        panel.slopes(out, "queue", self.queue.track());
        panel.crosses(out, "lost", &self.drops);
        out.push_str("</g>\n");
        let entries = [(Look::Line, "queue", "of all flows"), (Look::Cross, "lost", "full: lost")];
        legend::row(out, panel.top - 10.0, &entries);
        let (x, y) = (LEFT, Short(f64::from(HEIGHT) - 8.0));
        let note = "numbers of octets count from the SYN; what falls on one point is drawn once";
        put(out, format_args!("<text x=\"{x}\" y=\"{y}\" class=\"note\">{note}</text>\n"));
    }
}

/// Each panel's name, top and height.
const SEQUENCE: (&str, f64, f64) = ("number of octet", 84.0, 380.0);
const WINDOWS: (&str, f64, f64) = ("windows", 500.0, 130.0);
const TIMES: (&str, f64, f64) = ("round-trip time", 666.0, 100.0);
const QUEUE: (&str, f64, f64) = ("the link's queue", 802.0, 100.0);
const HEIGHT: u32 = 958;
/// The classes of other flows' windows, by controller.
const THIN: [&str; 4] = ["o0", "o1", "o2", "o3"];

const STYLE: &str = "
text{font:11px sans-serif;fill:#1f2328}.h{font-size:14px;font-weight:bold}
.e{text-anchor:end}.m{text-anchor:middle}.l{font-size:9px;stroke:none}.note{fill:#59636e}
path{fill:none;stroke-width:1}.paper{fill:#fff}.grid{stroke:#d8dee4;stroke-width:.6}
.sent{stroke:#1f2328}.again{stroke:#cf222e;stroke-width:1.4}.lost{stroke:#d4570a;stroke-width:1.4}
.ack{stroke:#1a7f37}.edge{stroke:#b08800}.sack{stroke:#8250df;stroke-width:.7}
text.again{fill:#cf222e}text.sack{fill:#8250df}
.cwnd,.srtt,.queue{stroke:#0969da;stroke-width:1.3}
.ssthresh,.min{stroke:#bf3989;stroke-dasharray:5 2}
.o0,.o1,.o2,.o3{stroke-width:.6}
.o0{stroke:#6cb0f5}.o1{stroke:#e09b5d}.o2{stroke:#5fb878}.o3{stroke:#b18ae0}
@media(prefers-color-scheme:dark){
text{fill:#e6edf3}.note{fill:#9198a1}.paper{fill:#0d1117}.grid{stroke:#2b3138}
.sent{stroke:#e6edf3}.again{stroke:#ff7b72}.lost{stroke:#ffa657}
.ack{stroke:#3fb950}.edge{stroke:#e3b341}.sack{stroke:#bc8cff}
text.again{fill:#ff7b72}text.sack{fill:#bc8cff}
.cwnd,.srtt,.queue{stroke:#58a6ff}.ssthresh,.min{stroke:#f778ba}
.o0{stroke:#2f6fb3}.o1{stroke:#a5632a}.o2{stroke:#2f7d46}.o3{stroke:#6e4aa8}
}
";
