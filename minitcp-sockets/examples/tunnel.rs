//! HTTP through a tunnel: hyper over sockets of two stacks, whose packets are datagrams of UDP.

use std::{convert::Infallible, net::UdpSocket};

use http_body_util::{BodyExt as _, Empty, Full};
use hyper::{Request, Response, body::Bytes, client, server, service::service_fn};
use hyper_util::rt::TokioIo;
use minitcp_proto::{Config, Limits, Memory, Seed, Stack};
use minitcp_sockets::aio::{TcpListener, TcpStream};
use minitcp_sockets::{ThreadedNet, driver::PacketDriver};

type Failure = Box<dyn std::error::Error + Send + Sync>;

/// A host whose network is at the other end of `tunnel`; a real one takes its seed from the system.
fn host(last: u8, tunnel: UdpSocket) -> std::io::Result<ThreadedNet> {
    let config = Config::new([10, 9, 0, last], 24);
    let stack = Stack::new(config, Memory::allocate(&Limits::default()), Seed::from_u64(1));
    ThreadedNet::new(stack, PacketDriver::over(tunnel)?)
}

#[tokio::main]
#[cfg_attr(test, test)]
async fn main() -> Result<(), Failure> {
    let (here, there) = (UdpSocket::bind("127.0.0.1:0")?, UdpSocket::bind("127.0.0.1:0")?);
    here.connect(there.local_addr()?)?;
    there.connect(here.local_addr()?)?;
    let (here, there) = (host(1, here)?, host(2, there)?);

    let listener = TcpListener::bind(&there, "10.9.0.2:80".parse()?)?;
    tokio::spawn(async move {
        let stream = TokioIo::new(listener.accept().await?.0);
        let greet = |_| async { Ok::<_, Infallible>(Response::new(Full::<Bytes>::from("hello"))) };
        let served =
            server::conn::http1::Builder::new().serve_connection(stream, service_fn(greet));
        Ok::<_, Failure>(served.await?)
    });
    let stream = TokioIo::new(TcpStream::connect(&here, "10.9.0.2:80".parse()?).await?);
    let (mut requests, connection) = client::conn::http1::handshake(stream).await?;
    tokio::spawn(connection);
    let request = Request::get("/").header("host", "10.9.0.2").body(Empty::<Bytes>::new())?;
    let answer = requests.send_request(request).await?.into_body().collect().await?.to_bytes();
    assert_eq!(answer, "hello");
    Ok(())
}
