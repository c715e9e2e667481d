//! Does a lower layer never name a higher one, and no file one that names it?

use super::arrows::Crate;
use super::{complain, report, root};

/// The layers of minitcp-proto from the ground up. A file may name its own line and lower ones;
/// of `store` and `wire`, which share a line, neither names the other.
const CORE: &[&[&str]] = &[
    &["time", "seq", "secret", "config", "options", "error", "stats"],
    &["store", "wire"],
    &["ids"],
    &["call"],
    &["tcp::congestion", "tcp::receive", "tcp::send", "tcp", "observe"],
    &["stack"],
    &["driver"],
];

/// Inside `tcp`, likewise: the halves of a connection know nothing of what composes them.
const CORE_TCP: &[&[&str]] = &[
    &["tcp::congestion", "tcp::receive"],
    &["tcp::send"],
    &[
        "tcp::state",
        "tcp::timers",
        "tcp::path",
        "tcp::isn",
        "tcp::time_wait",
        "tcp::settings",
        "tcp::patience",
        "tcp::sources",
        "tcp::acceptance",
        "tcp::timestamps",
        "tcp::repair",
    ],
    &["tcp::context"],
    &["tcp::outgoing"],
    &[
        "tcp::connection",
        "tcp::heed",
        "tcp::recovery",
        "tcp::handshake",
        "tcp::output",
        "tcp::timeout",
        "tcp::input",
        "tcp::screening",
        "tcp::user",
        "tcp::keepalive",
        "tcp::configure",
        "tcp::icmp",
        "tcp::info",
    ],
];

/// The floors of minitcp-driver-sim from the ground up, likewise.
const SIMULATOR: &[&[&str]] = &[
    &["ids", "chance", "hash", "edit", "pause", "outbox"],
    &["link"],
    &["capture", "check"],
    &["journal::text"],
    &["network"],
    &["programs"],
    &["journal"],
    &["swarm", "script"],
];

/// The floors of apps: what several programs need, what serves and asks, and the commands.
const APPS: &[&[&str]] = &[
    &[
        "address",
        "capture",
        "cli",
        "file",
        "hosts",
        "interrupt",
        "net_ns",
        "out",
        "seed",
        "stats",
        "trace",
        "units",
    ],
    &["chat", "bench"],
    &["bench_server", "bench_threads", "demo", "pkt", "replay", "sim", "swarm"],
];

/// The line of `layers` that `module` stands on, and its name there: the longest that fits.
fn layer<'l>(layers: &[&[&'l str]], module: &str) -> Option<(usize, &'l str)> {
    let named = |name: &&str| module == *name || module.starts_with(&format!("{name}::"));
    layers
        .iter()
        .enumerate()
        .flat_map(|(level, names)| names.iter().map(move |name| (level, *name)))
        .filter(|(_, name)| named(name))
        .max_by_key(|(_, name)| name.len())
}

/// Every arrow from a lower line of `layers` to a higher one, and between `store` and `wire`.
fn upwards(found: &Crate, layers: &[&[&str]]) -> Vec<String> {
    let mut complaints = Vec::new();
    for arrow in &found.arrows {
        let ends = [&arrow.from, &arrow.to].map(|module| layer(layers, module));
        let [Some((own_level, own_name)), Some((level, name))] = ends else { continue };
        let siblings = own_name != name
            && [own_name, name].iter().all(|name| ["store", "wire"].contains(name));
        if level > own_level || siblings {
            let what = format!("{own_name} -> {name}");
            complaints.push(complain(found.source(&arrow.from), arrow.line, &what));
        }
    }
    complaints
}

/// Every arrow of every circle.
fn around(found: &Crate) -> Vec<String> {
    let mut complaints = Vec::new();
    for circle in found.circles() {
        complaints.push(format!("a circle of files: {}", circle.join(", ")));
        let within = |module: &String| circle.contains(&module.as_str());
        for arrow in found.arrows.iter().filter(|arrow| within(&arrow.from) && within(&arrow.to)) {
            let what = format!("{} -> {}", arrow.from, arrow.to);
            complaints.push(complain(found.source(&arrow.from), arrow.line, &what));
        }
    }
    complaints.dedup();
    complaints
}

#[test]
fn a_lower_layer_never_names_a_higher_one() {
    for (name, floors, arrows) in [
        ("minitcp-proto", &[CORE, CORE_TCP][..], 500),
        ("minitcp-driver-sim", &[SIMULATOR], 300),
        ("apps", &[APPS], 60),
    ] {
        let found = Crate::read(&root().join(name));
        let count = found.arrows.len();
        assert!(count > arrows, "{name}: only {count} arrows found: is this test looking?");
        report(floors.iter().flat_map(|floors| upwards(&found, floors)).collect());
    }
}

#[test]
fn every_file_of_the_simulator_and_of_apps_has_a_floor() {
    for (name, floors) in [("minitcp-driver-sim", SIMULATOR), ("apps", APPS)] {
        let found = Crate::read(&root().join(name));
        let lost =
            found.modules().filter(|module| !module.is_empty() && layer(floors, module).is_none());
        report(
            lost.map(|module| complain(found.source(module), 1, "stands on no floor")).collect(),
        );
    }
}

#[test]
fn no_file_of_the_simulator_or_of_apps_names_one_that_names_it() {
    let all = ["minitcp-driver-sim", "apps"];
    report(all.iter().flat_map(|name| around(&Crate::read(&root().join(name)))).collect());
}
