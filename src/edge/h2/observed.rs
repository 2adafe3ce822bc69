//! The stream below the library, with an observer of the frames that pass.

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
    observed: SharedObserver,
}

/// The observer of one connection. Clones share it.
#[derive(Clone)]
pub(super) struct SharedObserver(Arc<Mutex<FrameObserver>>);

impl SharedObserver {
    pub(super) fn new() -> Self {
        Self(Arc::new(Mutex::new(FrameObserver::new())))
    }

    /// Records that the library has handed out this request. Returns `false` if it has refused the
    /// request already.
    pub(super) fn handed_out(&self, stream: u32) -> bool {
        self.observer().close(stream).is_some()
    }

    /// Returns `None` if nothing has happened. A header block counts if it is another one than
    /// `block_since`.
    pub(super) fn events(&self, block_since: Option<Instant>) -> Option<Events> {
        self.observer().events(block_since)
    }

    /// Records that a known error closes the connection.
    pub(super) fn end(&self) {
        self.observer().ended = true;
    }

    fn observer(&self) -> MutexGuard<'_, FrameObserver> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<S> ObservedStream<S> {
    pub(super) fn new(stream: S, observed: SharedObserver) -> Self {
        Self { stream, observed }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ObservedStream<S> {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.observed.observer().ended {
            // The task of the connection has seen the events, or sees them when this returns.
            return Poll::Pending;
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.stream).poll_read(cx, buffer))?;
        this.observed.observer().receive(&buffer.filled()[before..]);
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
        this.observed.observer().send(&bytes[..written]);
        Poll::Ready(Ok(written))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = ready!(Pin::new(&mut this.stream).poll_write_vectored(cx, slices))?;
        let (mut observer, mut left) = (this.observed.observer(), written);
        for slice in slices {
            let sent = left.min(slice.len());
            observer.send(&slice[..sent]);
            left -= sent;
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
