//! An unmodified hyper, server and client.

use std::convert::Infallible;

use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response, StatusCode, client, server};
use hyper_util::rt::TokioIo;
use minitcp_sockets::aio::{TcpListener, TcpStream};

use crate::addr;
use crate::cable::{SERVER, pair};

async fn answer(request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let path = request.uri().path().to_owned();
    let body = request.into_body().collect().await.unwrap().to_bytes();
    let mut response = Response::new(match path.as_str() {
        "/echo" => Full::new(body),
        "/hello" => Full::new(Bytes::from_static(b"hello")),
        _ => Full::default(),
    });
    if !matches!(path.as_str(), "/echo" | "/hello") {
        *response.status_mut() = StatusCode::NOT_FOUND;
    }
    Ok(response)
}

async fn serve(listener: TcpListener) {
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        tokio::spawn(async move {
            let connection = server::conn::http1::Builder::new();
            connection.serve_connection(TokioIo::new(stream), service_fn(answer)).await.unwrap();
        });
    }
}

#[tokio::test]
async fn requests_over_a_connection_that_is_kept() {
    let pair = pair();
    let listener = TcpListener::bind(&pair.server, addr(SERVER, 80)).unwrap();
    tokio::spawn(serve(listener));
    let stream = TcpStream::connect(&pair.client, addr(SERVER, 80)).await.unwrap();
    let (mut sender, connection) =
        client::conn::http1::handshake(TokioIo::new(stream)).await.unwrap();
    let connection = tokio::spawn(connection);

    let large = Bytes::from(vec![b'x'; 1 << 20]);
    for (path, body, status, expected) in [
        ("/hello", Bytes::new(), StatusCode::OK, Bytes::from_static(b"hello")),
        ("/echo", large.clone(), StatusCode::OK, large),
        ("/nothing", Bytes::new(), StatusCode::NOT_FOUND, Bytes::new()),
    ] {
        let request = Request::post(path).header("host", SERVER).body(Full::new(body)).unwrap();
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), status, "{path}");
        let body = response.into_body().collect().await.unwrap().to_bytes();
        assert!(body == expected, "{path}");
    }
    drop(sender);
    connection.await.unwrap().unwrap();
}
