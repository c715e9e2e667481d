//! The core as a tokio task: packets by any asynchronous socket, time by `sleep_until`, the
//! application by a channel. As a user-space WireGuard would carry it, the packets go in UDP
//! datagrams over loopback.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant as Clock};

use minitcp_proto::{
    Config, Event, Instant, Limits, Memory, RecvError, RxMeta, Seed, SocketId, Stack,
};
use tokio::net::UdpSocket;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

/// What the application asks of the task that owns the stack: one request, one answer.
struct Fetch {
    from: SocketAddr,
    request: Vec<u8>,
    answer: oneshot::Sender<Vec<u8>>,
}

/// Owns a stack until the tunnel breaks.
async fn host(
    mut stack: Stack<'static>,
    tunnel: UdpSocket,
    mut commands: mpsc::Receiver<Fetch>,
) -> std::io::Result<()> {
    let start = Clock::now();
    let now = || Instant::ZERO + start.elapsed();
    let (mut packet, mut pending, mut open) = (vec![0; 1500], Vec::new(), true);
    loop {
        while let Some(transmit) = stack.poll_transmit(now()) {
            if let Some(len) = transmit.copy_to(&mut packet) {
                tunnel.send(&packet[..len]).await?;
            }
        }
        let deadline = stack.poll_timeout().unwrap_or(now() + Duration::from_secs(60));
        let deadline = tokio::time::Instant::from_std(start + (deadline - Instant::ZERO));
        tokio::select! {
            received = tunnel.recv(&mut packet) => {
                stack.handle_packet(now(), &packet[..received?], RxMeta::default());
            }
            () = sleep_until(deadline) => stack.handle_timeout(now()),
            command = commands.recv(), if open => match command {
                Some(Fetch { from, request, answer }) => {
                    let id = stack.connect(now(), from, None).expect("slots and ports are free");
                    let mut connection = stack.connection(id).expect("just made");
                    connection.send(&request).expect("it is open");
                    pending.push((id, answer, Vec::new()));
                }
                None => open = false,
            },
        }
        serve(&mut stack, &mut pending);
    }
}

type Pending = (minitcp_proto::ConnectionId, oneshot::Sender<Vec<u8>>, Vec<u8>);

/// Gathers the answers to our own requests; reverses what strangers send, and closes.
fn serve(stack: &mut Stack<'static>, pending: &mut Vec<Pending>) {
    while let Some(Event { socket, .. }) = stack.poll_event() {
        if let SocketId::Listener(listener) = socket {
            while stack.accept(listener).is_some() {}
        }
        let SocketId::Connection(id) = socket else { continue };
        let Some(mut connection) = stack.connection(id) else { continue };
        let ours = pending.iter().position(|(waiting, ..)| *waiting == id);
        let (mut data, mut answered) = ([0; 512], false);
        // One event may stand for much: read until there is no more.
        let finished = loop {
            match (connection.recv(&mut data), ours) {
                (Err(RecvError::WouldBlock), _) => break answered,
                (Ok(0) | Err(RecvError::Closed), _) => break true,
                (Ok(len), Some(index)) => pending[index].2.extend(&data[..len]),
                (Ok(len), None) => {
                    data[..len].reverse();
                    answered = connection.send(&data[..len]).is_ok();
                }
            }
        };
        if finished {
            connection.close();
            if let Some((_, answer, text)) = ours.map(|index| pending.swap_remove(index)) {
                answer.send(text).unwrap_or_default(); // Or nobody waits any more.
            }
        }
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> std::io::Result<()> {
    let tunnels = [UdpSocket::bind("127.0.0.1:0").await?, UdpSocket::bind("127.0.0.1:0").await?];
    tunnels[0].connect(tunnels[1].local_addr()?).await?;
    tunnels[1].connect(tunnels[0].local_addr()?).await?;
    let mut commands = Vec::new();
    for (last, tunnel) in (1..).zip(tunnels) {
        let config = Config::new(Ipv4Addr::new(10, 0, 0, last), 24);
        let memory = Memory::allocate(&Limits::default());
        let mut stack = Stack::new(config, memory, Seed::from_u64(last.into()));
        stack.listen(SocketAddr::from(([10, 0, 0, last], 80)), 16).expect("a free port");
        let (sender, receiver) = mpsc::channel(16);
        tokio::spawn(host(stack, tunnel, receiver));
        commands.push(sender);
    }
    let (answer, text) = oneshot::channel();
    let from = SocketAddr::from(([10, 0, 0, 2], 80));
    commands[0].send(Fetch { from, request: b"stressed".into(), answer }).await.expect("it runs");
    let text = timeout(Duration::from_secs(10), text).await?.expect("it runs");
    assert_eq!(text, b"desserts");
    println!("{}", String::from_utf8_lossy(&text));
    Ok(())
}

#[test]
fn runs() {
    main().unwrap();
}
