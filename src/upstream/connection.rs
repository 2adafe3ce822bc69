//! An HTTP/1.1 connection to the upstream, with one request at a time on it.
//!
//! It is written here instead of taken from hyper, because hyper's client runs each connection as a
//! task and passes requests, responses and bodies through channels, which cost as much as
//! everything else in a short request. Here the task that sends the request reads the response.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::BytesMut;
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::head::{self, Head};
use super::wire::{Passed, Wire};
use super::{Failure, Outgoing};

/// A connection with at most one request on it.
pub(super) struct Connection {
    /// Boxed, because connections move between the pool and their users.
    stream: Box<TlsStream<Wire>>,
    /// Bytes that have arrived and are not used yet.
    pub(super) input: BytesMut,
    /// Whether the connection has served a request before.
    pub(super) reused: bool,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
}

/// Why a request received no response head.
pub(super) enum NoHead {
    /// The connection failed or closed.
    Io(io::Error),
    /// The bytes that arrived are not a valid response.
    Answer(Failure),
}

/// Room for the head and the body of most responses: a CertRep is 2 to 5 KB.
const SHORT: usize = 8 << 10;
/// A connection that was idle for a shorter time is under load.
const RECENT: Duration = Duration::from_millis(5);

impl Connection {
    pub(super) fn new(stream: TlsStream<Wire>) -> Self {
        let now = Instant::now();
        Self {
            stream: Box::new(stream),
            input: BytesMut::new(),
            reused: false,
            opened: now,
            idle_since: now,
        }
    }

    /// Returns what has passed on the socket so far.
    pub(super) fn passed(&self) -> Passed {
        self.stream.get_ref().0.passed()
    }

    /// Returns whether nothing has arrived since the last response. The runtime reported what
    /// arrived before this request began. Under little load, where it costs nothing, the socket is
    /// asked too.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let wire = self.stream.get_ref().0;
        let is_recent = now - self.idle_since < RECENT;
        (is_recent && wire.seems_quiet()) || wire.is_quiet()
    }

    /// Returns whether bytes have arrived that nobody has read. TLS does not want to read while it
    /// has decrypted such bytes.
    pub(super) fn has_surplus(&self) -> bool {
        !self.input.is_empty() || !self.stream.get_ref().1.wants_read()
    }

    /// Writes `request` and reads the head of the response. Both happen at the same time, because a
    /// server may answer a long request before all of it has arrived and stop reading it.
    pub(super) async fn ask(&mut self, request: &Outgoing) -> Result<Head, NoHead> {
        let mut slices = request.on_the_wire().map(IoSlice::new);
        let mut unsent = &mut slices[..];
        let mut writing = true;
        let mut failed = None;
        let to_head = request.method == Method::HEAD;
        let answered = poll_fn(|cx| {
            if writing {
                let written = poll_write(Pin::new(&mut *self.stream), cx, &mut unsent);
                writing = written.is_pending();
                if let Poll::Ready(Err(error)) = written {
                    // What the server sent before it closed may say why.
                    failed = Some(error);
                }
            }
            self.poll_head(cx, to_head)
        });
        match (answered.await, failed) {
            (Ok(mut head), failed) => {
                head.keep_alive &= !writing && failed.is_none();
                Ok(head)
            }
            (Err(NoHead::Io(_)), Some(error)) => Err(NoHead::Io(error)),
            (Err(broken), _) => Err(broken),
        }
    }

    fn poll_head(&mut self, cx: &mut Context<'_>, to_head: bool) -> Poll<Result<Head, NoHead>> {
        loop {
            if let Some(head) = head::take(&mut self.input, to_head).map_err(NoHead::Answer)? {
                return Poll::Ready(Ok(head));
            }
            if ready!(self.poll_fill(cx, SHORT)).map_err(NoHead::Io)? == 0 {
                let broken = match head::cut_off(&self.input) {
                    Some(failure) => NoHead::Answer(failure),
                    None => NoHead::Io(io::ErrorKind::UnexpectedEof.into()),
                };
                return Poll::Ready(Err(broken));
            }
        }
    }

    /// Reads once, at most `wanted` bytes. Returns 0 if the server has closed the connection.
    pub(super) fn poll_fill(
        &mut self,
        cx: &mut Context<'_>,
        wanted: usize,
    ) -> Poll<io::Result<usize>> {
        self.input.reserve(wanted);
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }
}

/// Writes the rest of `unsent` to the socket.
fn poll_write(
    mut stream: Pin<&mut TlsStream<Wire>>,
    cx: &mut Context<'_>,
    unsent: &mut &mut [IoSlice<'_>],
) -> Poll<io::Result<()>> {
    while !unsent.is_empty() {
        match ready!(stream.as_mut().poll_write_vectored(cx, unsent))? {
            0 => return Poll::Ready(Err(io::ErrorKind::WriteZero.into())),
            written => IoSlice::advance_slices(unsent, written),
        }
    }
    stream.poll_flush(cx)
}
