//! Explicit congestion notification (RFC 3168 §6.1), as far as the packets of one end tell.

use minitcp_proto::wire::ip::ecn::{CE, NOT_ECT};
use minitcp_proto::wire::tcp::{Flags, Segment};

/// What one end has said in its SYNs, and what has come.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Ecn {
    /// A SYN of it has asked.
    asks: bool,
    /// A SYN,ACK of it has agreed.
    agrees: bool,
    /// A SYN of it has done neither.
    declines: bool,
    /// Text came to it in a packet that was marked.
    is_marked: bool,
}

const SETUP: Flags = Flags::ECE.union(Flags::CWR);

impl Ecn {
    /// It sends a segment with this ECN field; `is_new` if none of its text was sent before.
    /// Whether it may.
    pub(super) fn on_sent(
        &mut self,
        peer: Self,
        segment: &Segment<'_>,
        field: u8,
        is_new: bool,
    ) -> bool {
        let said = segment.flags & SETUP;
        if segment.flags.contains(Flags::SYN) {
            let answers = segment.flags.contains(Flags::ACK);
            self.asks |= !answers && said == SETUP;
            self.agrees |= answers && said == Flags::ECE;
            self.declines |= said.is_empty();
            let is_known = match answers {
                true => said.is_empty() || said == Flags::ECE && peer.asks,
                false => said.is_empty() || said == SETUP,
            };
            return is_known && field == NOT_ECT;
        }
        let is_agreed = self.asks && peer.agrees || peer.asks && self.agrees;
        let may_be_marked = is_agreed && !self.declines && is_new && !segment.payload.is_empty();
        // Nobody marks what it sends itself.
        let is_field_right = field == NOT_ECT || may_be_marked && field != CE;
        let is_told = !said.contains(Flags::CWR) || may_be_marked && field != NOT_ECT;
        is_field_right && is_told && (!said.contains(Flags::ECE) || self.is_marked)
    }

    /// A segment has come, with this ECN field.
    pub(super) fn on_arrival(&mut self, segment: &Segment<'_>, field: u8) {
        self.is_marked |= field == CE && !segment.payload.is_empty();
    }
}

#[cfg(test)]
mod tests {
    use minitcp_proto::SeqNum;
    use minitcp_proto::wire::ip::ecn::ECT_0;
    use minitcp_proto::wire::options::Options;

    use super::*;

    fn segment(flags: Flags, payload: &[u8]) -> Segment<'_> {
        let (src_port, dst_port, window, urgent) = (1, 1, 100, 0);
        let (seq, ack, options) = (SeqNum(0), SeqNum(0), Options::NONE);
        Segment { src_port, dst_port, seq, ack, flags, window, urgent, options, payload }
    }

    const TEXT: &[u8] = b"x";
    const NONE: Flags = Flags::empty();

    /// Both ends after SYNs with these flags.
    fn after(syn: Flags, syn_ack: Flags) -> [Ecn; 2] {
        let [mut client, mut server] = [Ecn::default(); 2];
        assert!(client.on_sent(server, &segment(Flags::SYN | syn, &[]), NOT_ECT, true));
        let answer = segment(Flags::SYN | Flags::ACK | syn_ack, &[]);
        assert!(server.on_sent(client, &answer, NOT_ECT, true));
        [client, server]
    }

    #[test]
    fn syns_ask_and_answer_in_one_way_each() {
        for (flags, asks, is_right) in [
            (Flags::SYN, false, true),
            (Flags::SYN | SETUP, false, true),
            (Flags::SYN | Flags::ECE, false, false),
            (Flags::SYN | Flags::CWR, false, false),
            (Flags::SYN | Flags::ACK, true, true),
            (Flags::SYN | Flags::ACK | Flags::ECE, true, true),
            (Flags::SYN | Flags::ACK | Flags::ECE, false, false),
            (Flags::SYN | Flags::ACK | SETUP, true, false),
        ] {
            let peer = Ecn { asks, ..Ecn::default() };
            let sent = |field| Ecn::default().on_sent(peer, &segment(flags, &[]), field, true);
            assert_eq!(sent(NOT_ECT), is_right, "{flags}");
            assert!(!sent(ECT_0));
        }
    }

    #[test]
    fn only_new_text_of_who_agrees_may_be_marked_and_bear_cwr() {
        for (syn, syn_ack, agree) in
            [(SETUP, Flags::ECE, true), (SETUP, NONE, false), (NONE, NONE, false)]
        {
            let [client, server] = after(syn, syn_ack);
            let (ack, cwr) = (Flags::ACK, Flags::ACK | Flags::CWR);
            for (flags, text, field, is_new, is_right) in [
                (ack, TEXT, ECT_0, true, agree),
                (ack, TEXT, CE, true, false),
                (ack, TEXT, ECT_0, false, false),
                (ack, &[], ECT_0, true, false),
                (ack, &[], NOT_ECT, true, true),
                (cwr, TEXT, ECT_0, true, agree),
                (cwr, TEXT, NOT_ECT, true, false),
                (cwr, TEXT, NOT_ECT, false, false),
            ] {
                for (mut own, peer) in [(client, server), (server, client)] {
                    let is_kept = own.on_sent(peer, &segment(flags, text), field, is_new);
                    assert_eq!(is_kept, is_right, "{syn} {syn_ack} {flags} {field} {is_new}");
                }
            }
        }
    }

    #[test]
    fn who_declines_once_may_not_be_marked() {
        let [mut client, server] = after(SETUP, Flags::ECE);
        assert!(client.on_sent(server, &segment(Flags::SYN, &[]), NOT_ECT, false));
        assert!(!client.on_sent(server, &segment(Flags::ACK, TEXT), ECT_0, true));
    }

    #[test]
    fn nobody_echoes_what_has_not_come() {
        let [mut client, server] = after(SETUP, Flags::ECE);
        let echo = segment(Flags::ACK | Flags::ECE, &[]);
        for (text, field, is_right) in
            [(TEXT, ECT_0, false), (&[][..], CE, false), (TEXT, CE, true)]
        {
            client.on_arrival(&segment(Flags::ACK, text), field);
            assert_eq!(client.on_sent(server, &echo, NOT_ECT, true), is_right);
        }
    }
}
