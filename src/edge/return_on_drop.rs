//! A stream that returns to its owner when it is dropped. The HTTP/2 library drops its stream
//! although bytes are unread; with this wrapper the connection can then be closed like any other.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// The stream while the library has it.
pub(super) struct ReturnOnDrop<S>(Option<(S, oneshot::Sender<S>)>);

/// Returns the wrapper, and the receiver that gets `stream` once the wrapper is dropped.
pub(super) fn return_on_drop<S>(stream: S) -> (ReturnOnDrop<S>, oneshot::Receiver<S>) {
    let (sender, receiver) = oneshot::channel();
    (ReturnOnDrop(Some((stream, sender))), receiver)
}

impl<S: Unpin> ReturnOnDrop<S> {
    fn stream(self: Pin<&mut Self>) -> io::Result<Pin<&mut S>> {
        let inner = self.get_mut().0.as_mut();
        let (stream, _) = inner.ok_or(io::ErrorKind::NotConnected)?;
        Ok(Pin::new(stream))
    }
}

impl<S> Drop for ReturnOnDrop<S> {
    fn drop(&mut self) {
        if let Some((stream, sender)) = self.0.take() {
            // If the receiver is gone, the stream is dropped here.
            _ = sender.send(stream);
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReturnOnDrop<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.stream()?.poll_read(cx, buffer)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReturnOnDrop<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.stream()?.poll_write_vectored(cx, bytes)
    }

    fn is_write_vectored(&self) -> bool {
        self.0
            .as_ref()
            .is_some_and(|(stream, _)| stream.is_write_vectored())
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.stream()?.poll_shutdown(cx)
    }
}
