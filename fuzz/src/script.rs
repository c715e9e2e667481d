//! Packet scripts: nothing panics, what parses prints to text that parses to the same script, and
//! every run ends.

use minitcp_driver_sim::script::{self, run::Settings};

/// Few, because a script can ask for a day of retransmissions in one line.
const MAX_STEPS: u64 = 2_000;

/// Takes `data` for the text of a script, and runs it if it is one.
pub fn script(data: &[u8]) {
    let Ok(parsed) = script::parse("fuzz.pkt", data) else { return };
    let printed = parsed.to_string();
    let again = match script::parse("printed.pkt", printed.as_bytes()) {
        Ok(again) => again,
        Err(error) => panic!("{error}\n{printed}"),
    };
    assert_eq!(again, parsed, "{printed}");
    let settings = Settings { max_steps: MAX_STEPS, ignore_shell: true, ..Settings::default() };
    let outcomes = [&parsed, &again].map(|script| script::run::run("fuzz.pkt", script, &settings));
    let [first, second] = outcomes.map(|outcome| outcome.map_err(|failure| failure.message));
    assert_eq!(first, second, "{printed}");
}
