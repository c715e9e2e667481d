//! The table of states against RFC 9293 §3.3.2, Figure 5, and against docs/state_machine.md: all
//! legal transitions and no other.

use minitcp_proto::Cause::*;
use minitcp_proto::State::*;
use minitcp_proto::{Cause, State};

/// Figure 5 with its notes, arrow by arrow. Where the figure has one arrow for two segments in
/// one (SYN-SENT "rcv SYN,ACK", FIN-WAIT-1 "rcv FIN ACK of FIN"), the first is a cause of its own
/// and the second is the two arrows one after the other, in the order of the steps of §3.10.7.4.
const FIGURE_5: &[(State, Cause, State)] = &[
    (Closed, PassiveOpen, Listen),
    (Closed, ActiveOpen, SynSent),
    (Listen, ReceiveSyn, SynRcvd),
    (Listen, ActiveOpen, SynSent), // "SEND"
    (Listen, Close, Closed),
    (SynSent, Close, Closed),
    (SynSent, ReceiveSyn, SynRcvd),
    (SynSent, ReceiveSynAck, Established),
    (SynRcvd, ReceiveAckOfSyn, Established),
    (SynRcvd, Close, FinWait1),
    (SynRcvd, ReturnToListen, Listen), // note 1: "rcv RST" after a passive OPEN
    (Established, Close, FinWait1),
    (Established, ReceiveFin, CloseWait),
    (FinWait1, ReceiveAckOfFin, FinWait2),
    (FinWait1, ReceiveFin, Closing),
    (FinWait2, ReceiveFin, TimeWait),
    (CloseWait, Close, LastAck),
    (Closing, ReceiveAckOfFin, TimeWait),
    (LastAck, ReceiveAckOfFin, Closed),
    (TimeWait, TimeWaitExpired, Closed),
    // §3.10.7.4, eighth step: a FIN in SYN-RECEIVED.
    (SynRcvd, ReceiveFin, CloseWait),
    // Note 3: a reset, an ABORT (§3.10.5) or the user timeout (§3.10.8) from any state but CLOSED.
    (Listen, Abort, Closed),
    (SynSent, Abort, Closed),
    (SynRcvd, Abort, Closed),
    (Established, Abort, Closed),
    (FinWait1, Abort, Closed),
    (FinWait2, Abort, Closed),
    (CloseWait, Abort, Closed),
    (Closing, Abort, Closed),
    (LastAck, Abort, Closed),
    (TimeWait, Abort, Closed),
];

fn every_pair() -> impl Iterator<Item = (State, Cause)> {
    State::ALL.into_iter().flat_map(|from| Cause::ALL.into_iter().map(move |cause| (from, cause)))
}

#[test]
fn the_table_is_figure_5_and_nothing_else() {
    for (from, cause) in every_pair() {
        let mut expected = FIGURE_5.iter().filter(|row| (row.0, row.1) == (from, cause));
        let to = expected.next().map(|row| row.2);
        assert!(expected.next().is_none(), "{from} {cause:?} is listed twice");
        assert_eq!(from.next(cause), to, "{from} on {cause:?}");
    }
}

#[test]
fn all_lists_everything_once() {
    for (index, state) in State::ALL.iter().enumerate() {
        assert!(!State::ALL[..index].contains(state), "{state} twice");
        assert_eq!(State::ALL.iter().filter(|other| other.name() == state.name()).count(), 1);
    }
    for (index, cause) in Cause::ALL.iter().enumerate() {
        assert!(!Cause::ALL[..index].contains(cause), "{cause:?} twice");
    }
    assert_eq!(State::ALL.len(), 11, "RFC 9293 §3.3.2");
    let used = |cause: &Cause| FIGURE_5.iter().any(|row| row.1 == *cause);
    assert!(Cause::ALL.iter().all(used), "a cause that causes nothing");
}

#[test]
fn every_state_can_be_reached_and_left() {
    let mut reached = vec![Closed];
    let mut index = 0;
    while let Some(&from) = reached.get(index) {
        for to in Cause::ALL.into_iter().filter_map(|cause| from.next(cause)) {
            if !reached.contains(&to) {
                reached.push(to);
            }
        }
        index += 1;
    }
    assert_eq!(reached.len(), State::ALL.len());
}

/// What the states allow, by the RFC's own lists.
#[test]
fn what_the_states_allow() {
    for state in State::ALL {
        // §3.3.2: synchronized is what comes after both SYNs are acknowledged.
        let synchronized = !matches!(state, Closed | Listen | SynSent | SynRcvd);
        assert_eq!(state.is_synchronized(), synchronized, "{state}");
        // §3.10.2: SEND is queued or sent in these, an error in the others.
        let may_send = [SynSent, SynRcvd, Established, CloseWait].contains(&state);
        assert_eq!(state.may_send(), may_send, "{state}");
        // §3.10.7.4, seventh step: text is taken in these. (In SYN-RECEIVED the fifth step leads
        // to ESTABLISHED first.)
        let may_receive = [SynRcvd, Established, FinWait1, FinWait2].contains(&state);
        assert_eq!(state.may_receive(), may_receive, "{state}");
    }
}

// --- docs/state_machine.md ---

const DOCUMENT: &str = include_str!("../../docs/state_machine.md");

/// The rows of the table: from, cause, to, section, function.
fn documented() -> Vec<[&'static str; 5]> {
    let is_row = |line: &&str| line.starts_with("| ") && line.contains('`') && line.contains('§');
    let rows = DOCUMENT.lines().filter(is_row).map(|line| {
        let cells: Vec<_> = line.trim_matches('|').split('|').map(str::trim).collect();
        cells.try_into().unwrap_or_else(|_| panic!("five cells: {line}"))
    });
    rows.collect()
}

fn state_named(name: &str) -> State {
    let found = State::ALL.into_iter().find(|state| state.name() == name);
    found.unwrap_or_else(|| panic!("no state is called {name}"))
}

fn cause_named(name: &str) -> Cause {
    let found = Cause::ALL.into_iter().find(|cause| format!("`{cause:?}`") == name);
    found.unwrap_or_else(|| panic!("no cause is called {name}"))
}

#[test]
fn the_document_says_what_the_code_does() {
    let mut rows: Vec<_> = documented()
        .into_iter()
        .map(|[from, cause, to, ..]| (state_named(from), cause_named(cause), state_named(to)))
        .collect();
    for row in &rows {
        assert_eq!(row.0.next(row.1), Some(row.2), "documented, but not so: {row:?}");
    }
    for (from, cause) in every_pair() {
        if let Some(to) = from.next(cause) {
            let at = rows.iter().position(|row| *row == (from, cause, to));
            rows.remove(at.unwrap_or_else(|| panic!("not documented: {from} {cause:?} {to}")));
        }
    }
    assert!(rows.is_empty(), "documented twice: {rows:?}");
}

/// Each row names its section and a function that exists in the file it names.
#[test]
fn the_document_names_sections_and_functions_that_exist() {
    for [from, cause, _, section, functions] in documented() {
        assert!(section.contains('§'), "{from} {cause}: {section}");
        for function in functions.split(", ") {
            let (file, name) = function
                .trim_matches('`')
                .rsplit_once("::")
                .unwrap_or_else(|| panic!("{from} {cause}: {function}"));
            let path = format!("{}/src/{}.rs", env!("CARGO_MANIFEST_DIR"), file.replace("::", "/"));
            let source = std::fs::read_to_string(&path).unwrap_or_else(|_| panic!("no {path}"));
            assert!(source.contains(&format!("fn {name}")), "no {name} in {path}");
        }
    }
}
