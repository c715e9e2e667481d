//! What a trace says: whose segment it is, and windows in octets (RFC 7323 §2.3).

use minitcp_proto::wire::tcp::Flags;

use crate::common::{Peer, config_with, seg};

/// The last line that has `words`, without the time, and what follows `key` in it.
fn last<'a>(p: &'a Peer, words: &str, key: &str) -> (&'a str, &'a str) {
    let lines = &p.stack.observer().lines;
    let line = lines.iter().rfind(|line| line.contains(words));
    let line = line.unwrap_or_else(|| panic!("no {words} in {lines:#?}"));
    let (_, behind) = line.split_once(key).unwrap_or_else(|| panic!("no {key} in {line}"));
    (line.split_once(' ').unwrap().1, behind.split(' ').next().unwrap())
}

fn window<'a>(p: &'a Peer, words: &str) -> &'a str {
    last(p, words, "win=").1
}

#[test]
fn windows_are_in_octets_but_for_those_of_syns() {
    let mut p = Peer::listening(config_with(|c| c.receive_buffer = 1 << 20));
    p.send(seg().syn().mss(1460).ws(7).win(1000));
    p.expect_syn(Flags::SYN | Flags::ACK);
    assert_eq!((window(&p, "recv  SYN"), window(&p, "send  SYN,ACK")), ("1000", "65535"));
    p.send(seg().seq(2_000_000).ack(1).win(1001)); // Out of the window of a handshake.
    assert_eq!(window(&p, "recv  ACK"), "128128");
    let acked = window(&p, "send  ACK").to_owned();
    assert!(acked.parse::<u32>().unwrap().is_multiple_of(32) && acked != "2048", "{acked}");
    p.take_raw_all();
    p.send(seg().ack(1).win(1000));
    assert_eq!(window(&p, "recv  ACK"), "128000");
    p.id = p.stack.accept(p.listener.unwrap());
    p.close();
    p.expect(seg().fin().ack(1));
    p.send(seg().fin().ack(2).win(999));
    assert_eq!(window(&p, "recv  FIN,ACK"), "127872");
    let open = (1_u32 << 20) - 31 * 1024;
    assert_eq!(window(&p, "send  ACK"), open.to_string());
    p.take_raw_all();
    p.send(seg().fin().ack(2).win(998));
    let line = last(&p, "recv  FIN,ACK", "state=");
    assert_eq!((line.1, window(&p, "recv  FIN,ACK")), ("TIME_WAIT", "127744"));
    let (line, state) = last(&p, "send  ACK", "state=");
    assert_eq!(
        (state, window(&p, "send  ACK")),
        ("TIME_WAIT", open.to_string().as_str()),
        "{line}"
    );
    p.take_raw_all();
}

#[test]
fn two_connections_can_be_told_apart() {
    let p = Peer::accepted();
    let lines = &p.stack.observer().lines;
    assert!(lines[0].ends_with("[TCP ] state CLOSED -> LISTEN  10.0.0.2:80"), "{lines:#?}");
    let [ours, theirs] = ["10.0.0.2:80", "10.0.0.1:"];
    for (words, sign) in
        [("recv  SYN", "<-"), ("send  SYN,ACK", "->"), ("state LISTEN -> SYN_RCVD", "-")]
    {
        let line = lines.iter().find(|line| line.contains(words)).unwrap();
        assert!(line.contains(&format!("  {ours} {sign} {theirs}")), "{line}");
    }
}
