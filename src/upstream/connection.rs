//! An HTTP/1.1 connection to the upstream, and one request at a time on it.
//!
//! Our own instead of hyper's client: that runs each connection as a task and hands requests,
//! answers and bodies over by channels, which cost as much as all the rest of a short request. Here
//! who asks reads the answer.

use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::Method;
use tokio::io::{AsyncReadExt, AsyncWrite};
use tokio::time::Instant;
use tokio_rustls::client::TlsStream;

use super::head::{self, Head, Length};
use super::pool::IdleConnections;
use super::wire::{Passed, Wire};
use super::{Failure, Outgoing};

/// A connection with no request on it, or with one.
pub(super) struct Connection {
    /// Boxed, for connections move between the pool and those who use them.
    stream: Box<TlsStream<Wire>>,
    /// Arrived and not used yet.
    input: BytesMut,
    /// Not its first request.
    pub(super) reused: bool,
    pub(super) opened: Instant,
    pub(super) idle_since: Instant,
}

/// Why a request got no head of an answer.
pub(super) enum NoHead {
    /// The connection failed, or ended.
    Io(io::Error),
    /// What came is no answer.
    Answer(Failure),
}

/// Room for the head and the body of most answers: a CertRep is 2 to 5 KB.
const SHORT: usize = 8 << 10;
/// Idle for less than this time, there is load.
const RECENT: Duration = Duration::from_millis(5);
/// Most of a long body that is read at a time.
const PIECE: usize = 32 << 10;

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

    /// What has passed on its socket so far.
    pub(super) fn passed(&self) -> Passed {
        self.stream.get_ref().0.passed()
    }

    /// Whether nothing has come since its last answer. The runtime has just heard what came before
    /// this request did; only under little load, where it costs nothing, the socket is asked too.
    pub(super) fn is_quiet(&self, now: Instant) -> bool {
        let wire = self.stream.get_ref().0;
        let is_recent = now - self.idle_since < RECENT;
        (is_recent && wire.seems_quiet()) || wire.is_quiet()
    }

    /// Writes `request` and reads the head of its answer; both at a time, for a server may answer a
    /// long request before all of it has arrived, and read the rest no more.
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
                    // What it said before it closed may tell why.
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

    /// Reads once, at most `wanted` bytes. 0 where the server has closed.
    fn poll_fill(&mut self, cx: &mut Context<'_>, wanted: usize) -> Poll<io::Result<usize>> {
        self.input.reserve(wanted);
        pin!(self.stream.read_buf(&mut self.input)).poll(cx)
    }
}

/// Writes all that is left of `unsent`, down to the socket.
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

/// The body of an answer as it comes. At its end the connection goes back to the pool; dropped
/// before, it closes the connection.
pub struct Incoming {
    /// Until the end.
    connection: Option<Connection>,
    left: Length,
    keep_alive: bool,
    idle: Option<Arc<IdleConnections>>,
}

impl Incoming {
    pub(super) fn new(
        connection: Connection,
        left: Length,
        keep_alive: bool,
        idle: Option<Arc<IdleConnections>>,
    ) -> Self {
        Self {
            connection: Some(connection),
            left,
            keep_alive,
            idle,
        }
    }

    /// The next bytes, never empty; none at the end. Trailers are not passed on: no answer of SCEP
    /// has one.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(Ok(None));
            };
            let input = &mut connection.input;
            let data = match &mut self.left {
                Length::Left(left) => {
                    let piece = input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece as u64;
                    let (data, ended) = (input.split_to(piece).freeze(), *left == 0);
                    if ended {
                        self.ended();
                    }
                    data
                }
                Length::Chunks(chunks) => {
                    let mut data = BytesMut::new();
                    let ended = chunks.decode(input, &mut data);
                    if ended.map_err(|_| io::Error::other("its chunks are malformed"))? {
                        self.ended();
                    }
                    data.freeze()
                }
                Length::UntilClosed => input.split().freeze(),
            };
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
            let Some(connection) = &mut self.connection else {
                continue;
            };
            if ready!(connection.poll_fill(cx, self.left.next_piece()))? == 0 {
                match self.left {
                    Length::UntilClosed => self.connection = None,
                    Length::Left(_) | Length::Chunks(_) => {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }

    /// Whether the last byte has been handed on. An end that is not announced is seen later.
    pub fn is_end(&self) -> bool {
        self.connection.is_none()
    }

    /// How much is still to come, where that is known.
    pub fn left(&self) -> Option<u64> {
        match self.left {
            _ if self.is_end() => Some(0),
            Length::Left(left) => Some(left),
            Length::Chunks(_) | Length::UntilClosed => None,
        }
    }

    /// The next request may have the connection, if there is nothing on it that nobody asked for.
    fn ended(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        // What TLS has deciphered and nobody has read makes it want no more.
        let surplus = !connection.input.is_empty() || !connection.stream.get_ref().1.wants_read();
        if let (true, false, Some(idle)) = (self.keep_alive, surplus, &self.idle) {
            connection.input = BytesMut::new();
            idle.put(connection);
        }
    }
}

impl Length {
    /// How much to read at a time.
    fn next_piece(&self) -> usize {
        match self {
            Self::Left(left) => usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE)),
            Self::Chunks(_) | Self::UntilClosed => PIECE,
        }
    }
}
