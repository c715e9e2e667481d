//! The traits of the `futures` crate.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use crate::aio::TcpStream;
use crate::runtime::Runtime;
use futures_io::{AsyncRead, AsyncWrite};

impl<R: Runtime> AsyncRead for TcpStream<R> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        out: &mut [u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_read(&self, cx, out)
    }
}

impl<R: Runtime> AsyncWrite for TcpStream<R> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        data: &[u8],
    ) -> Poll<io::Result<usize>> {
        Self::poll_write(&self, cx, data)
    }

    /// Nothing to do: what was written is on its way.
    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_close(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.close_writing())
    }
}
