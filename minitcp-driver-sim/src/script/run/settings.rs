//! How is a script to be run?

use crate::script::options::ScriptOption;

/// How to run scripts.
#[derive(Clone, Debug)]
pub struct Settings {
    /// Options that prevail over those of the script.
    pub options: Vec<ScriptOption>,
    /// Shell commands, which a simulation cannot run, are skipped instead of refused: nothing that
    /// they would have changed is checked then.
    pub ignore_shell: bool,
    /// Seeds the stack.
    pub seed: u64,
    /// The report has the packets as octets.
    pub keep_packets: bool,
    /// The most packets and timeouts that a script may cause, so that every run ends.
    pub max_steps: u64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            options: Vec::new(),
            ignore_shell: false,
            seed: 1,
            keep_packets: false,
            max_steps: 1_000_000,
        }
    }
}
