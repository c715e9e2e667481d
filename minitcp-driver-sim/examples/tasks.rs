//! Tasks as a deterministic test: ten clients of an echo server, over a link that loses packets.
use minitcp_driver_sim::{Link, Network, Programs};
use minitcp_proto::Config;
use minitcp_sockets::Net;
use minitcp_sockets::aio::{TcpListener, TcpStream, sleep};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, copy};
use tokio::task::{LocalSet, spawn_local};

fn run(seed: u64) -> u64 {
    let mut programs = Programs::new(Network::new(seed));
    let server = programs.program(Config::new([10, 0, 0, 1], 24), |stack, driver| {
        let net = Net::new(stack, driver);
        let listener = TcpListener::bind(&net, ([10, 0, 0, 1], 7).into()).unwrap();
        let served = net.block_on(LocalSet::new().run_until(async {
            loop {
                let (mut reader, mut writer) = listener.accept().await.unwrap().0.split();
                spawn_local(async move { copy(&mut reader, &mut writer).await });
            }
        }));
        served.unwrap_err(); // "Nothing will ever happen": all clients have gone.
    });
    let clients = programs.program(Config::new([10, 0, 0, 2], 24), |stack, driver| {
        let (net, tasks) = (Net::new(stack, driver), LocalSet::new());
        for number in 0..10 {
            let net = net.clone();
            tasks.spawn_local(async move {
                sleep(&net, Duration::from_millis(30 * number)).unwrap().await.unwrap();
                let mut stream = TcpStream::connect(&net, ([10, 0, 0, 1], 7).into()).await.unwrap();
                stream.write_all(b"hello").await.unwrap();
                stream.read_exact(&mut [0; 5]).await.unwrap();
            });
        }
        net.block_on(tasks).unwrap();
        net.drain(Duration::from_secs(600)).unwrap();
    });
    programs.network().link(server, clients, Link::lossy(0.1));
    programs.run().packet_hash()
}

#[cfg_attr(test, test)]
fn main() {
    assert_eq!(run(7), run(7), "the same seed, the same packets");
    assert_ne!(run(7), run(8));
}
