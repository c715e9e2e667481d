//! The parser of packet scripts: nothing panics, and what parses prints to text that parses to the
//! same script.

use minitcp_driver_sim::script;

/// Takes `data` for the text of a script.
pub fn script(data: &[u8]) {
    let Ok(parsed) = script::parse("fuzz.pkt", data) else { return };
    let printed = parsed.to_string();
    match script::parse("printed.pkt", printed.as_bytes()) {
        Ok(again) => assert_eq!(again, parsed, "{printed}"),
        Err(error) => panic!("{error}\n{printed}"),
    }
}
