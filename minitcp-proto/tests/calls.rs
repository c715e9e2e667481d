//! Does the observer hear of every call that an application makes? A run can be replayed from its
//! calls only if none escapes.

use core::net::SocketAddr;

use minitcp_proto::{Call, Config, Instant, Limits, Memory, Observer, Seed, Stack, Trace};

/// What drivers call, and what only looks.
const NO_CALLS: &[&str] = &[
    "handle_packet",
    "handle_timeout",
    "poll_transmit",
    "poll_event",
    "observer_mut",
    // Lends the memory of a stack to be.
    "lend",
    // Hands a connection out, whose own methods tell.
    "connection",
    // Tells by `connect_with`.
    "connect",
];

/// Every public method that can change a stack tells of itself, or is one of [`NO_CALLS`].
#[test]
fn no_call_escapes() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src/stack");
    let mut silent = Vec::new();
    let mut telling = 0;
    for file in std::fs::read_dir(folder).unwrap() {
        let text = std::fs::read_to_string(file.unwrap().path()).unwrap();
        for method in text.split("    pub fn ").skip(1) {
            let name = method.split(['(', '<']).next().unwrap();
            let signature = method.split('{').next().unwrap();
            let body = method.split("\n    }\n").next().unwrap();
            let changes = ["&mut self", "(self)", "(mut self)"];
            if !changes.iter().any(|receiver| signature.contains(receiver)) {
                continue;
            }
            if body.contains(".report(") {
                telling += 1;
            } else if !NO_CALLS.contains(&name) {
                silent.push(name.to_owned());
            }
        }
    }
    assert!(telling >= 22, "only {telling} found: is this test looking?");
    assert!(silent.is_empty(), "these change a stack and tell nobody: {silent:?}");
}

#[derive(Default)]
struct Names(Vec<String>);

impl Observer for Names {
    const ENABLED: bool = false;
    fn trace(&mut self, _now: Instant, _trace: &Trace) {}
    fn call(&mut self, call: &Call<'_>) {
        self.0.push(format!("{call:?}").split([' ', '{']).next().unwrap().to_owned());
    }
}

#[test]
fn each_call_is_told_once() {
    let config = Config::new([10, 0, 0, 1], 24);
    let memory = Memory::allocate(&Limits::default());
    let mut stack = Stack::with_observer(config, memory, Seed::from_u64(1), Names::default());
    let peer: SocketAddr = "10.0.0.2:80".parse().unwrap();
    let listener = stack.listen("10.0.0.1:80".parse().unwrap(), 1).unwrap();
    let options = stack.listener_options(listener).unwrap();
    assert!(stack.set_listener_options(listener, &options));
    assert_eq!(stack.accept(listener), None, "nobody waits: nothing to tell");
    stack.close_listener(listener);
    let id = stack.connect(Instant::ZERO, peer, None).unwrap();
    let mut connection = stack.connection(id).unwrap();
    assert_eq!(connection.send(b"hello"), Ok(5));
    connection.close();
    let udp = stack.udp_bind("0.0.0.0:0".parse().unwrap()).unwrap();
    stack.udp_send(udp, peer, b"hello").unwrap();
    stack.udp_close(udp);
    let told = stack.observer().0.join(" ");
    let expected = "Listen SetListenerOptions CloseListener Connect Send Close UdpBind UdpSend \
                    UdpClose";
    assert_eq!(told, expected);
}
