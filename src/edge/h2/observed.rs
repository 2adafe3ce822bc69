//! The stream below the HTTP/2 library, with an observer of the frames that pass.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

use super::observer::{Events, FrameObserver};

/// A stream whose frames are observed.
pub(super) struct ObservedStream<S> {
    stream: S,
    observer: SharedObserver,
}

/// The observer of one connection. Clones share it.
#[derive(Clone)]
pub(super) struct SharedObserver(Arc<Mutex<FrameObserver>>);

impl SharedObserver {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(FrameObserver::new())))
    }

    /// Records that the library has returned this request from `accept`. Returns `false` if it has
    /// refused the request since.
    pub(super) fn accepted(&self, stream: u32) -> bool {
        self.lock().remove_pending(stream).is_some()
    }

    /// Returns what has happened since the last call, or `None` if nothing has. The beginning or the
    /// end of a header block counts, which is the case if the block is not that of `block_since`.
    pub(super) fn events(&self, block_since: Option<Instant>) -> Option<Events> {
        self.lock().events(block_since)
    }

    /// Records that the session closes the connection for an error that it knows.
    pub(super) fn set_closing(&self) {
        self.lock().closing = true;
    }

    fn lock(&self) -> MutexGuard<'_, FrameObserver> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> ObservedStream<S> {
    pub(super) fn new(stream: S, observer: SharedObserver) -> Self {
        Self { stream, observer }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.observer.lock().closing {
            // The task of the connection has received the events, or receives them when this returns.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.observer.lock().receive(&buffer.filled()[before..]);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ObservedStream<S> {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write(cx, bytes))?;
        this.observer.lock().send(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        let (mut observer, mut remaining) = (this.observer.lock(), written);
        for slice in slices {
            let sent = remaining.min(slice.len());
            observer.send(&slice[..sent]);
            remaining -= sent;
        }
        Poll::Ready(Ok(written))
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().stream).poll_shutdown(cx)
    }
}
