//! What `minitcp sim` tells of flows that share a link: figures, rows of numbers, a picture.
//!
//! To accept a change of the picture in docs/loss-recovery.md:
//! `UPDATE=1 cargo test -p minitcp-apps --test sim`.

mod common;

use std::collections::HashSet;
use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use common::{Scratch, field, text};

fn sim(args: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_minitcp")).arg("sim").args(args).output().unwrap()
}

/// Runs it, and returns what it printed.
fn succeeds(args: &[&str]) -> String {
    let output = sim(args);
    assert!(output.status.success(), "{args:?}: {}{}", text(&output.stdout), text(&output.stderr));
    text(&output.stdout)
}

fn split(line: &str) -> Vec<&str> {
    line.split_whitespace().collect()
}

/// A link that loses by chance and whose queue overflows.
const BAD_LINK: &str = "--rtt 40ms --rate 20M --queue 64K --loss 0.02 --seed 7";

#[test]
fn flows_share_a_link_and_all_arrives() {
    let line = "--flows 6 --bytes 300K --congestion cubic,reno --rate 20M --stagger 50ms";
    let printed = succeeds(&split(line));
    for (number, name) in (1..).zip(["cubic", "reno"].repeat(3)) {
        let start = format!("flow {number:>3}, {name:<5} ");
        let own = printed.lines().find(|line| line.starts_with(&start)).expect(&printed);
        assert!(own.contains("307200 of 307200 bytes in "), "{own}");
    }
    let json = succeeds(&[split(line), vec!["--json"]].concat());
    assert_eq!(field(&json, "success"), "true");
    assert_eq!(field(&json, "received"), "1843200");
    let goodputs: Vec<f64> = json
        .split("\"flow_goodput_bytes_per_second\":")
        .skip(1)
        .map(|rest| rest.split('}').next().unwrap().parse().unwrap())
        .collect();
    assert_eq!(goodputs.len(), 6);
    let sum: f64 = goodputs.iter().sum();
    let squares: f64 = goodputs.iter().map(|goodput| goodput * goodput).sum();
    let index: f64 = field(&json, "jain").parse().unwrap();
    assert!((index - sum * sum / (6.0 * squares)).abs() < 1e-5, "{json}");
    assert_eq!(field(&json, "goodput_bytes_per_second").parse::<f64>(), Ok(sum));
    assert!(printed.contains(&format!("Jain's index {index:.3}")), "{printed}");
    let of_sum = |name: &str| {
        let line = printed.lines().find(|line| line.starts_with(&format!("{name}: ")));
        let line = line.expect(&printed);
        assert!(line.contains(" % for 3 flows, "), "{line}");
        line.split([' ', '%']).nth(1).unwrap().parse::<f64>().unwrap()
    };
    assert!((of_sum("cubic") + of_sum("reno") - 100.0).abs() < 0.11, "{printed}");
}

/// With a time, flows send until then, and together no more than the link takes.
#[test]
fn a_run_ends_at_its_time() {
    let args = split("--flows 3 --time 5s --rate 10M --rtt 20ms --json");
    let json = succeeds(&args);
    let received: f64 = field(&json, "received").parse().unwrap();
    assert!((5_000_000.0..=6_250_000.0).contains(&received), "{json}");
    // An octet that cannot arrive in time is none.
    let output = sim(&split("--time 10ms --rtt 200ms --json"));
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(field(&text(&output.stdout), "success"), "false");
}

#[test]
fn what_cannot_be_is_refused() {
    for (args, status, culprit) in [
        ("--flows 0", 2, "--flows"),
        ("--flows 2000", 2, "--flows"),
        ("--congestion cubic,vegas", 2, "vegas"),
        ("--time 5", 2, "--time"),
        ("--plot-flow 1", 2, "--plot"),
        ("--plot /dev/null --flows 2 --plot-flow 3", 1, "2 flows"),
        ("--csv /nowhere/at/all", 1, "/nowhere/at/all"),
        ("--plot /nowhere/at/all", 1, "/nowhere/at/all"),
    ] {
        let output = sim(&split(args));
        let complaint = text(&output.stderr);
        assert_eq!(output.status.code(), Some(status), "{args}: {complaint}");
        assert!(complaint.contains(culprit) && complaint.lines().count() == 1, "{complaint}");
    }
}

#[test]
fn watching_a_run_changes_nothing() {
    let [csv, plot] = ["watched.csv", "watched.svg"].map(Scratch::new);
    let line = split("--flows 3 --bytes 200K --loss 0.02 --rate 20M --json");
    let seen = ["--csv", csv.name(), "--plot", plot.name(), "--plot-flow", "2"];
    assert_eq!(succeeds(&[line.clone(), seen.to_vec()].concat()), succeeds(&line));
}

/// The names stand above the numbers, and the numbers are what happened.
#[test]
fn a_csv_has_a_row_for_each_change() {
    let file = Scratch::new("series.csv");
    let line = format!("--bytes 300K --flows 2 {BAD_LINK} --json --csv {}", file.name());
    let json = succeeds(&split(&line));
    let csv = fs::read_to_string(&file.0).unwrap();
    let mut lines = csv.lines();
    let names = "time_s,flow,cwnd,ssthresh,srtt_us,min_rtt_us,in_flight,lost,sacked,\
                 retransmitted_segments,snd_una,snd_nxt,right_edge,queue,queue_drops,link_losses";
    assert_eq!(lines.next(), Some(names));
    let column = |name: &str| names.split(',').position(|known| known == name).unwrap();
    let rows: Vec<Vec<Option<f64>>> =
        lines.map(|line| line.split(',').map(|field| field.parse().ok()).collect()).collect();
    assert!(rows.len() > 200 && rows.iter().all(|row| row.len() == 16), "{csv}");
    let at = |row: &[Option<f64>], name: &str| row[column(name)];
    for pair in rows.windows(2) {
        assert!(at(&pair[0], "time_s") <= at(&pair[1], "time_s"), "{pair:?}");
    }
    let last: Vec<_> = (1..=2)
        .map(|flow| rows.iter().rfind(|row| at(row, "flow") == Some(f64::from(flow))).unwrap())
        .collect();
    for row in &rows {
        let value = |name| at(row, name).unwrap();
        assert_eq!(value("snd_nxt") - value("snd_una"), value("in_flight"), "{row:?}");
        assert!(value("lost") + value("sacked") <= value("in_flight"), "{row:?}");
        assert!(value("right_edge") >= value("snd_una") && value("queue") <= 65_536.0, "{row:?}");
        assert!(at(row, "srtt_us").is_none_or(|srtt| srtt > 39_999.0), "{row:?}");
        assert!(at(row, "min_rtt_us").is_none_or(|least| least > 39_999.0), "{row:?}");
    }
    let sum = |name| last.iter().map(|row| at(row, name).unwrap()).sum::<f64>();
    let retransmissions: f64 = field(&json, "retransmissions").parse().unwrap();
    assert!((1.0..=retransmissions).contains(&sum("retransmitted_segments")), "{last:?}");
    // The SYN, the octets and the FIN.
    assert!(last.iter().all(|row| at(row, "snd_nxt") == Some(307_202.0)), "{last:?}");
    assert!(rows.iter().any(|row| at(row, "lost") > Some(0.0) && at(row, "ssthresh").is_some()));
    assert!(rows.iter().any(|row| at(row, "sacked") > Some(0.0)));
    assert!(at(&rows[0], "ssthresh").is_none() && at(&rows[0], "srtt_us").is_none());
    let drops = rows.iter().filter_map(|row| at(row, "queue_drops")).fold(0.0, f64::max);
    let losses = rows.iter().filter_map(|row| at(row, "link_losses")).fold(0.0, f64::max);
    let lost: f64 = field(&json, "lost").parse().unwrap();
    assert!(drops > 0.0 && losses > 0.0 && drops + losses <= lost, "{drops} {losses} {lost}");
}

/// Every element is closed, in order, attributes are quoted, and each name stands once in it.
fn assert_is_xml(text: &str) {
    let mut open = Vec::new();
    for piece in text.split('<').skip(1) {
        let (tag, after) = piece.split_once('>').unwrap_or_else(|| panic!("no end: {piece}"));
        assert!(!after.contains('>') && !after.contains('&'), "not escaped: {after}");
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name), "in {tag}");
            continue;
        }
        let (inner, is_empty) = tag.strip_suffix('/').map_or((tag, false), |inner| (inner, true));
        let (name, attributes) = inner.split_once(' ').unwrap_or((inner, ""));
        let parts: Vec<&str> = attributes.split('"').collect();
        assert!(parts.len() % 2 == 1 && parts.last().unwrap().is_empty(), "quotes in {tag}");
        let names = parts.iter().step_by(2).filter(|part| !part.is_empty());
        let mut seen = HashSet::new();
        for attribute in names {
            let attribute = attribute.trim_start().strip_suffix('=').expect(tag);
            assert!(seen.insert(attribute), "{attribute} twice in {tag}");
        }
        if !is_empty {
            open.push(name);
        }
    }
    assert!(open.is_empty(), "left open: {open:?}");
}

/// How many shapes of this class are in the picture's panels, not in its legend.
fn drawn(svg: &str, class: &str) -> usize {
    let panels = svg.split("<g clip-path").skip(1).filter_map(|rest| rest.split("</g>").next());
    let start = format!("<path class=\"{class}\" d=\"");
    panels
        .flat_map(|panel| panel.split(&start).skip(1))
        .map(|path| path.split('"').next().unwrap().matches('M').count())
        .sum()
}

#[test]
fn a_plot_has_every_sign_and_says_what_it_means() {
    let file = Scratch::new("signs.svg");
    let line = format!("--bytes 300K --flows 2 --congestion reno,cubic {BAD_LINK} --json");
    let json = succeeds(&[split(&line), vec!["--plot", file.name()]].concat());
    let svg = fs::read_to_string(&file.0).unwrap();
    assert_is_xml(&svg);
    assert!(!svg.contains("http://www.w3.org/1999/xlink") && !svg.contains("href"), "needs others");
    // A bar is a line and two ticks; there are 213 segments of 1448 octets at most, the SYN and
    // perhaps a FIN of its own.
    assert!((3 * 213..3 * 216).contains(&drawn(&svg, "sent")), "{}", drawn(&svg, "sent"));
    for class in ["again", "lost", "ack", "edge", "sack", "cwnd", "ssthresh", "srtt", "min"] {
        assert!(drawn(&svg, class) > 0, "nothing drawn as {class}");
    }
    assert_eq!((drawn(&svg, "queue"), drawn(&svg, "o0"), drawn(&svg, "o1")), (1, 0, 1));
    let again = drawn(&svg, "again") / 3;
    assert!(again > 0 && again <= field(&json, "retransmissions").parse().unwrap(), "{again}");
    for meaning in [
        "segment, first to last octet",
        "sent again",
        "lost by the link",
        "acknowledged",
        "duplicate ACK",
        "peer's window",
        "SACK block",
        "cwnd, other cubic",
        "ssthresh",
        "round-trip time, ms",
        "link's queue, kB",
        "number of octet, kB",
        "time, ms",
        "flow 1 of 2, reno",
        "prefers-color-scheme:dark",
        ">R</text>",
        ">S</text>",
    ] {
        assert!(svg.contains(meaning), "{meaning} is not said");
    }
}

/// A hundred thousand packets, and a file that can be looked at.
#[test]
fn a_plot_of_a_long_run_is_bounded() {
    let file = Scratch::new("long.svg");
    let line = "--time 20s --flows 8 --rate 50M --loss 0.001 --seed 2";
    succeeds(&[split(line), vec!["--plot", file.name()]].concat());
    let svg = fs::read_to_string(&file.0).unwrap();
    assert_is_xml(&svg);
    assert!((20_000..2_000_000).contains(&svg.len()), "{} octets", svg.len());
}

/// The command in docs/loss-recovery.md draws the picture beside it, on every machine.
#[test]
fn the_picture_in_the_docs_is_what_its_command_draws() {
    let docs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs");
    let page = fs::read_to_string(docs.join("loss-recovery.md")).unwrap();
    let (_, command) = page.split_once("--bin minitcp -- sim ").expect("a command");
    let (args, name) = command.lines().next().unwrap().split_once(" --plot ").expect("a plot");
    let picture = docs.join("..").join(name.trim());
    let file = Scratch::new("docs.svg");
    succeeds(&[split(args), vec!["--plot", file.name()]].concat());
    let svg = fs::read_to_string(&file.0).unwrap();
    assert!(svg.len() < 150_000, "{} octets", svg.len());
    if std::env::var_os("UPDATE").is_some() {
        fs::create_dir_all(picture.parent().unwrap()).unwrap();
        fs::write(&picture, &svg).unwrap();
    }
    let committed = fs::read_to_string(&picture).unwrap_or_default();
    assert!(
        committed == svg,
        "{} has changed; if that is meant, see the command at the top of this file",
        picture.display()
    );
}
