//! Who agrees on what, by the flags of SYNs.

use super::*;

const NONE: Flags = Flags::empty();
const AE: Flags = Flags::AE;

fn config(ecn: Ecn) -> Config {
    let mut config = Config::new([10, 0, 0, 2], 24);
    config.ecn = ecn;
    config
}

/// R3168-1, R3168-2: all combinations of the flags of the answer, by what our SYN has said.
#[test]
fn only_an_answer_of_ece_alone_agrees_and_only_with_who_has_asked() {
    for ecn in [Ecn::Off, Ecn::Passive, Ecn::Active] {
        let mut notices = Notices::empty();
        let syn = notices.ask(&config(ecn), false);
        assert_eq!(syn, if ecn == Ecn::Active { SETUP } else { NONE });
        for answer in [NONE, Flags::CWR, SETUP, Flags::ECE, AE | SETUP, AE | Flags::ECE] {
            let after = notices.after_syn(Flags::SYN | Flags::ACK | answer);
            let agrees = ecn == Ecn::Active && answer - AE == Flags::ECE;
            assert_eq!(after, if agrees { Notices::AGREED } else { Notices::empty() }, "{answer}");
        }
    }
}

/// R3168-13, R3168-15.
#[test]
fn a_syn_that_goes_again_does_not_ask_and_then_nothing_may_be_marked() {
    let mut notices = Notices::empty();
    assert_eq!(notices.ask(&config(Ecn::Active), false), SETUP);
    assert_eq!(notices.ask(&config(Ecn::Active), true), NONE);
    assert_eq!(notices.ask(&config(Ecn::Active), true), NONE);
    let late = notices.after_syn(Flags::SYN | Flags::ACK | Flags::ECE);
    assert_eq!(late, Notices::HEEDED, "the answer to the first one");
    for answer in [NONE, SETUP] {
        assert_eq!(notices.after_syn(Flags::SYN | Flags::ACK | answer), Notices::empty());
    }
}

#[test]
fn syns_that_cross_agree_if_both_ask_and_both_answer() {
    for (asks, again, theirs, answer, expected) in [
        (Ecn::Active, false, SETUP, Flags::ECE, Notices::AGREED),
        (Ecn::Active, false, SETUP, SETUP, Notices::empty()),
        (Ecn::Active, false, SETUP, NONE, Notices::empty()),
        (Ecn::Active, false, NONE, NONE, Notices::empty()),
        (Ecn::Active, false, Flags::ECE, Flags::ECE, Notices::empty()),
        (Ecn::Active, true, SETUP, Flags::ECE, Notices::HEEDED),
        (Ecn::Passive, false, SETUP, Flags::ECE, Notices::empty()),
    ] {
        let mut notices = Notices::empty();
        notices.ask(&config(asks), false);
        if again {
            notices.ask(&config(asks), true);
        }
        let notices = notices.after_syn(Flags::SYN | theirs);
        assert_eq!(notices.answer() == Flags::ECE, theirs == SETUP && asks == Ecn::Active);
        let last = notices.after_crossing(Flags::SYN | Flags::ACK | answer);
        assert_eq!(last, expected, "{asks:?} {theirs} {answer}");
    }
}
