//! A stack on borrowed memory (`StaticMemory`) works end to end: handshake, data both ways, loss,
//! out-of-order data, UDP, ICMP, TIME-WAIT, and every slot comes back.

use std::time::Duration;

use minitcp_proto::{Config, Instant, RecvError, RxMeta, Seed, Stack, State, StaticMemory, Usage};

struct Wire {
    now: Instant,
    number: u32,
}

impl Wire {
    /// Carries everything in both directions; every seventh packet is lost.
    fn run<'m>(&mut self, a: &mut Stack<'m>, b: &mut Stack<'m>) {
        let mut packet = [0; 1500];
        for _ in 0..20 {
            for turn in [true, false] {
                let (from, to) = if turn { (&mut *a, &mut *b) } else { (&mut *b, &mut *a) };
                while let Some(transmit) = from.poll_transmit(self.now) {
                    let len = transmit.copy_to(&mut packet).unwrap();
                    self.number += 1;
                    if !self.number.is_multiple_of(7) {
                        to.handle_packet(self.now, &packet[..len], RxMeta::default());
                    }
                }
            }
            self.now += Duration::from_millis(50);
            a.handle_timeout(self.now);
            b.handle_timeout(self.now);
        }
    }
}

#[test]
fn borrowed_memory_end_to_end() {
    let (mut ours, mut theirs) = (StaticMemory::<4, 64>::new(), StaticMemory::<4, 64>::new());
    let config = |last: u8| Config::new([10, 0, 0, last], 24);
    let mut a = Stack::new(config(1), ours.lend(), Seed::from_u64(1));
    let mut b = Stack::new(config(2), theirs.lend(), Seed::from_u64(2));
    let mut wire = Wire { now: Instant::ZERO, number: 0 };
    let address = "10.0.0.2:80".parse().unwrap();
    let listener = b.listen(address, 2).unwrap();
    let socket = b.udp_bind("10.0.0.2:53".parse().unwrap()).unwrap();
    let client_socket = a.udp_bind("10.0.0.1:0".parse().unwrap()).unwrap();
    for round in 0..20_u8 {
        let id = a.connect(wire.now, address, None).unwrap();
        let mut left = 20_000_usize;
        let mut got = 0;
        let mut accepted = None;
        let mut turns = 0;
        while got < 20_000 {
            if left > 0 {
                let chunk = [round; 3000];
                left -= a.connection(id).unwrap().send(&chunk[..left.min(3000)]).unwrap();
            }
            let _ = a.udp_send(client_socket, "10.0.0.2:53".parse().unwrap(), &[round; 100]);
            wire.run(&mut a, &mut b);
            accepted = accepted.or_else(|| b.accept(listener));
            let mut out = [0; 4096];
            while let Some(connection) = accepted {
                match b.connection(connection).unwrap().recv(&mut out) {
                    Ok(len) => {
                        assert!(out[..len].iter().all(|octet| *octet == round));
                        got += len;
                    }
                    Err(RecvError::WouldBlock) => break,
                    Err(RecvError::Closed) => panic!("closed"),
                }
            }
            while b.udp_recv(socket, &mut out).is_some() {}
            turns += 1;
            assert!(turns < 1_000, "stalled in round {round}");
        }
        a.connection(id).unwrap().close();
        b.connection(accepted.unwrap()).unwrap().close();
        wire.run(&mut a, &mut b);
        assert_eq!(a.connection(id).map(|connection| connection.state()), None::<State>);
    }
    for _ in 0..150 {
        wire.run(&mut a, &mut b);
    }
    let idle = Usage { udp_sockets: 1, ..Usage::default() };
    assert_eq!(a.usage(), idle);
    assert_eq!(b.usage(), Usage { listeners: 1, ..idle });
}
