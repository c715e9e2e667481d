//! Buffers that grow by themselves: as the path needs, while the application keeps up, and within
//! what memory allows.

use std::time::Duration;

use minitcp_proto::wire::tcp::Flags;
use minitcp_proto::{Config, ConnectionId, Limits, TcpOptions};

use crate::common::{Pair, Peer, config_with, limits};

const KIB: u32 = 1 << 10;
const MIB: u32 = 1 << 20;

fn with_pool(mib: usize) -> Limits {
    Limits { buffer_bytes: mib << 20, ..limits() }
}

/// A client that sends, and a server that reads, 100 ms apart.
struct Talk {
    pair: Pair,
    client: ConnectionId,
    server: ConnectionId,
}

impl Talk {
    fn new(tweak: impl Fn(&mut Config), limits: &Limits) -> Self {
        let mut pair = Pair::with(tweak, limits, 50);
        let (_, client, server) = pair.open();
        Self { pair, client, server }
    }

    /// In each millisecond at most `sent` octets are sent and `read` are read; how many in all.
    fn run(&mut self, millis: u32, sent: usize, read: usize) -> usize {
        let mut total = 0;
        let mut room = vec![0; 64 << 10];
        for _ in 0..millis {
            let mut left = sent;
            while left > 0 {
                let most = left.min(room.len());
                let taken = self.pair.client.connection(self.client).unwrap().send(&room[..most]);
                left -= taken.unwrap();
                if taken.unwrap() < most {
                    break;
                }
            }
            let mut left = read;
            while left > 0 {
                let most = left.min(room.len());
                let mut server = self.pair.server.connection(self.server).unwrap();
                let Ok(count) = server.recv(&mut room[..most]) else { break };
                (left, total) = (left - count, total + count);
            }
            self.pair.run_for(Duration::from_millis(1));
        }
        total
    }

    /// The client's send buffer and the server's receive buffer, and what they say of growing.
    fn options(&mut self) -> [TcpOptions; 2] {
        let client = self.pair.client.connection(self.client).unwrap().options();
        [client, self.pair.server.connection(self.server).unwrap().options()]
    }

    fn sizes(&mut self) -> (u32, u32) {
        let [client, server] = self.options();
        (client.send_buffer, server.receive_buffer)
    }

    fn fix(&mut self, change: impl Fn(&mut TcpOptions)) {
        let [mut client, mut server] = self.options();
        change(&mut client);
        change(&mut server);
        self.pair.client.connection(self.client).unwrap().set_options(&client).unwrap();
        self.pair.server.connection(self.server).unwrap().set_options(&server).unwrap();
    }
}

/// Two seconds of a path without a bottleneck are enough for 16 MiB, with or without timestamps. A
/// window of them is offered, and nothing is held once all was read.
#[test]
fn buffers_grow_while_the_application_reads() {
    for timestamps in [true, false] {
        let mut talk = Talk::new(|c| c.timestamps = timestamps, &with_pool(64));
        assert_eq!(talk.sizes(), (256 * KIB, 256 * KIB));
        talk.run(2000, usize::MAX, usize::MAX);
        assert_eq!(talk.sizes(), (16 * MIB, 16 * MIB), "timestamps {timestamps}");
        let offered = talk.pair.client.connection(talk.client).unwrap().info().unwrap().snd_wnd;
        assert!(offered >= 12_500_000, "1 Gbit/s over 100 ms needs more than {offered}");
        talk.run(500, 0, usize::MAX);
        assert_eq!(talk.pair.server.usage().buffer_bytes, 0);
        assert_eq!(talk.pair.client.usage().buffer_bytes, 0);
    }
}

#[test]
fn no_buffer_grows_beyond_its_bound() {
    let bounds = |c: &mut Config| {
        (c.largest_receive_buffer, c.largest_send_buffer) = (1_000_000, 600_000);
    };
    let mut talk = Talk::new(bounds, &with_pool(64));
    talk.run(1500, usize::MAX, usize::MAX);
    assert_eq!(talk.sizes(), (600_000, 1_000_000));
    let mut talk = Talk::new(|c| c.fix_buffers(100_000, 200_000), &with_pool(64));
    talk.run(1500, usize::MAX, usize::MAX);
    assert_eq!(talk.sizes(), (200_000, 100_000));
}

/// What the reader cannot use, or the sender does not need, is not held ready.
#[test]
fn who_is_slow_needs_no_larger_buffer() {
    for (sent, read) in [(usize::MAX, 300), (300, usize::MAX)] {
        let mut talk = Talk::new(|_| {}, &with_pool(64));
        talk.run(3000, sent, read);
        assert_eq!(talk.sizes().1, 256 * KIB, "{sent}, {read}");
    }
    let mut talk = Talk::new(|_| {}, &with_pool(64));
    talk.run(3000, 300, usize::MAX);
    assert_eq!(talk.sizes(), (256 * KIB, 256 * KIB));
}

/// As on Linux (`SO_RCVBUF`, `SO_SNDBUF`), each for itself.
#[test]
fn what_the_application_has_chosen_stays() {
    let mut talk = Talk::new(|_| {}, &with_pool(64));
    talk.fix(|options| options.tune_receive_buffer = false);
    talk.run(1000, usize::MAX, usize::MAX);
    assert_eq!(talk.sizes().1, 256 * KIB);
    talk.fix(|options| (options.tune_receive_buffer, options.tune_send_buffer) = (true, false));
    let (send_buffer, _) = talk.sizes();
    talk.run(1000, usize::MAX, usize::MAX);
    assert!(talk.sizes().1 > 256 * KIB);
    assert_eq!(talk.sizes().0, send_buffer);
}

/// An empty pool lends a quarter of itself to one connection, and less when others have some.
#[test]
fn who_grows_leaves_memory_to_others() {
    for (mib, largest) in [(1, 256 * KIB), (2, 512 * KIB), (8, 2 * MIB)] {
        let mut talk = Talk::new(|_| {}, &with_pool(mib));
        talk.run(1500, usize::MAX, usize::MAX);
        let (send, receive) = talk.sizes();
        assert!(send <= largest && receive <= largest, "{mib} MiB: {send}, {receive}");
        assert!(mib == 1 || receive > 256 * KIB, "{mib} MiB: {receive}");
    }
    // Somebody else holds a quarter of the pool of 4 MiB.
    let mut talk = Talk::new(|_| {}, &with_pool(4));
    let (listener, pair) = ("10.0.0.2:81".parse().unwrap(), &mut talk.pair);
    let hog = pair.server.listen(listener, 1).unwrap();
    let now = pair.now;
    pair.client.connect(now, listener, None).unwrap();
    pair.run_for(Duration::from_secs(1));
    let hog = pair.server.accept(hog).unwrap();
    let options = TcpOptions { send_buffer: MIB, ..pair.server.config().tcp_options() };
    pair.server.connection(hog).unwrap().set_options(&options).unwrap();
    let len = pair.server.connection(hog).unwrap().send(&vec![0; MIB as usize]);
    assert_eq!(len, Ok(MIB as usize));
    talk.run(1500, usize::MAX, usize::MAX);
    assert!(talk.sizes().1 < MIB, "{:?}", talk.sizes());
}

/// The SYN tells the scale of what the buffer may grow to.
#[test]
fn the_scale_is_that_of_the_largest_buffer() {
    for (largest, scale) in [(16 * MIB, 9), (MIB, 5), (0, 3)] {
        let mut p = Peer::connecting(config_with(|c| {
            c.receive_buffer = 256 * KIB;
            c.largest_receive_buffer = largest;
        }));
        let syn = p.expect_syn(Flags::SYN);
        assert_eq!(syn.options.window_scale, Some(scale), "{largest}");
        assert_eq!(syn.window, Some(u16::MAX));
    }
}

/// The room that is told is the room that there will be.
#[test]
fn room_counts_what_the_buffer_will_grow_to() {
    let mut talk = Talk::new(|_| {}, &with_pool(64));
    talk.run(600, usize::MAX, usize::MAX);
    talk.run(100, 200_000, usize::MAX);
    let mut client = talk.pair.client.connection(talk.client).unwrap();
    let (room, size) = (client.send_room(), client.options().send_buffer);
    assert!(room > 0);
    assert_eq!(client.send(&vec![0; room]), Ok(room));
    assert!(client.options().send_buffer >= size);
    assert_eq!(client.send_room(), 0);
}

/// Whatever the bounds are, octets arrive.
#[test]
fn any_bound_will_do() {
    let sizes = [0, 1, 87, 100_000, u32::MAX];
    for (first, largest) in sizes.into_iter().flat_map(|first| sizes.map(|last| (first, last))) {
        let tweak = |c: &mut Config| {
            (c.receive_buffer, c.largest_receive_buffer) = (first, largest);
            (c.send_buffer, c.largest_send_buffer) = (first, largest);
        };
        let mut talk = Talk::new(tweak, &with_pool(4));
        let arrived = talk.run(1000, 100_000, 300_000);
        let (send, receive) = talk.sizes();
        assert!(arrived > 1, "{first} to {largest}: {arrived}");
        let most = first.max(largest).clamp(1, (1 << 30) - 1);
        assert!(send <= most && receive <= most, "{first} to {largest}: {send}, {receive}");
    }
}
