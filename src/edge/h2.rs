//! An HTTP/2 connection: the library speaks the protocol, the same gate judges the requests.
//!
//! Each request is a task of its own. This one drives the connection, and ends it: when it is
//! idle, at shutdown, and where a client uses it beyond its limits.

mod allowance;
pub mod frames;
mod head;
mod ledger;
mod stream;
mod watch;

use std::future::{pending, poll_fn};
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use h2::server::{Builder, Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::net::TcpStream;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until, timeout};
use tokio_rustls::server::TlsStream;

use self::ledger::News;
use self::stream::Ended;
use self::watch::{Watch, Watched};
use super::connection;
use super::lent::{Lent, lend};
use super::slots::Slot;
use crate::config::Limits;
use crate::exchange::Exchange;
use crate::metrics::Metrics;
use crate::rejection::Rejection;
use crate::shutdown::Shutdown;

/// Requests at a time on one connection: what clients take for granted before they have read the
/// SETTINGS (RFC 9113 §6.5.2); fewer, and their first burst is refused in part.
const STREAMS: u32 = 100;
/// Body bytes that may arrive before they are read, of one request and of all together.
const WINDOW: u32 = 64 << 10;
const WINDOW_OF_ALL: u32 = 1 << 20;
/// Answer bytes in the library's hands, a stream.
const UNSENT: usize = 64 << 10;
/// Streams that the client may reset before they are looked at (rapid reset, CVE-2023-44487), and
/// those that it may have reset by errors of its own (CVE-2025-8671).
const RESETS: usize = 20;
const RESETS_BY_ERRORS: usize = 64;
/// How long a client that is told to go away may take to say that it has heard, and then to take
/// what is written.
const FAREWELL: Duration = Duration::from_secs(2);

pub(super) async fn serve(
    exchange: Exchange,
    stream: TlsStream<TcpStream>,
    slot: Slot,
    shutdown: Shutdown,
) {
    let (lent, back) = lend(stream);
    // Boxed: connections of HTTP/1 need not have room for it.
    let broken = Box::pin(Session::run(exchange, lent, &slot, &shutdown)).await;
    if let Ok(stream) = back.await {
        // A client that is told to go away may be in the middle of sending.
        connection::Connection::new(stream).close(broken).await;
    }
}

type Io = Watched<Lent<TlsStream<TcpStream>>>;
type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

struct Session {
    exchange: Exchange,
    watch: Watch,
    connection: Connection<Io, Bytes>,
    streams: JoinSet<Ended>,
    /// Requests so far, refused ones included.
    number: u64,
    block_since: Option<Instant>,
    phase: Phase,
    /// Of this phase.
    since: Instant,
    /// When the last request ended.
    quiet_since: Instant,
    broken: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client is told to open no more streams; those that it has are answered.
    Leaving,
    /// All that is left is to write the last frames.
    Closing,
}

impl Session {
    /// Serves to the end. True where the client may be in the middle of sending.
    async fn run(
        exchange: Exchange,
        stream: Lent<TlsStream<TcpStream>>,
        slot: &Slot,
        shutdown: &Shutdown,
    ) -> bool {
        let watch = Watch::new();
        let io = Watched::new(stream, watch.clone());
        let handshake = builder(&exchange.generation.limits).handshake(io);
        let greeting = timeout(exchange.generation.timeouts.request_head, handshake);
        let idle = slot.idle();
        let connection = tokio::select! {
            greeted = greeting => match greeted {
                Ok(Ok(connection)) => connection,
                Ok(Err(error)) if error.is_io() => return false,
                Ok(Err(_)) => {
                    exchange.was_refused(1, Rejection::MalformedHead);
                    return true;
                }
                Err(_) => return false,
            },
            () = idle.ended() => return false,
            // Nothing is to be finished, and a client that does not even greet would hold this up.
            () = shutdown.begun() => return false,
        };
        drop(idle);
        let now = Instant::now();
        let mut session = Self {
            exchange,
            watch,
            connection,
            streams: JoinSet::new(),
            number: 0,
            block_since: None,
            phase: Phase::Open,
            since: now,
            quiet_since: now,
            broken: false,
        };
        session.drive(slot, shutdown).await;
        session.broken
    }

    async fn drive(&mut self, slot: &Slot, shutdown: &Shutdown) {
        let mut shutdown = pin!(shutdown.begun());
        let mut timer = pin!(sleep_until(self.since));
        let mut idle = None;
        loop {
            if !self.streams.is_empty() {
                idle = None;
            } else if idle.is_none() {
                idle = Some(slot.idle());
            }
            let make_room = async {
                match &idle {
                    Some(idle) => idle.ended().await,
                    None => pending().await,
                }
            };
            let deadline = self.deadline();
            if let Some(deadline) = deadline.filter(|deadline| *deadline != timer.deadline()) {
                timer.as_mut().reset(deadline);
            }
            let open = self.phase == Phase::Open;
            tokio::select! {
                (accepted, news) = next(&mut self.connection, &self.watch, self.block_since) => {
                    if let Some(news) = news {
                        self.learn(news);
                    }
                    match accepted {
                        Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                        Poll::Ready(Some(Err(_))) => {
                            self.broken = true;
                            return;
                        }
                        Poll::Ready(None) => return,
                        Poll::Pending => {}
                    }
                }
                Some(ended) = self.streams.join_next() => {
                    if self.streams.is_empty() {
                        self.quiet_since = Instant::now();
                    }
                    self.ended(ended);
                }
                () = make_room, if open => self.leave(),
                () = &mut shutdown, if open => self.leave(),
                () = &mut timer, if deadline.is_some() => if self.late() { return },
            }
        }
    }

    /// When patience ends: with a header block, with an idle client, with one that is to leave.
    /// Requests have deadlines of their own.
    fn deadline(&self) -> Option<Instant> {
        let timeouts = &self.exchange.generation.timeouts;
        let quiet = self.streams.is_empty().then_some(self.quiet_since);
        match self.phase {
            Phase::Open => {
                let patience = match self.number {
                    0 => timeouts.request_head,
                    _ => timeouts.keep_alive,
                };
                let idle = quiet.map(|since| since + patience);
                let block = self.block_since.map(|since| since + timeouts.request_head);
                block.into_iter().chain(idle).min()
            }
            Phase::Leaving => quiet.map(|since| since.max(self.since) + FAREWELL),
            Phase::Closing => Some(self.since + FAREWELL),
        }
    }

    /// True where the connection is to be dropped.
    fn late(&mut self) -> bool {
        let patience = self.exchange.generation.timeouts.request_head;
        match self.phase {
            Phase::Open
                if self
                    .block_since
                    .is_some_and(|since| since.elapsed() >= patience) =>
            {
                self.abuse(Rejection::HeadTimeout);
            }
            Phase::Open => self.leave(),
            Phase::Leaving => self.close(Reason::NO_ERROR),
            Phase::Closing => return true,
        }
        false
    }

    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if !self.watch.handed_out(respond.stream_id().as_u32()) {
            // Reset by the library in the meantime, and counted.
            return;
        }
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase == Phase::Leaving && self.since.elapsed() > FAREWELL {
            // It was told long ago.
            respond.send_reset(Reason::REFUSED_STREAM);
            return;
        }
        self.number += 1;
        let exchange = self.exchange.clone();
        self.streams
            .spawn(stream::serve(exchange, self.number, request, respond));
    }

    fn ended(&mut self, joined: Result<Ended, JoinError>) {
        match outcome(joined, &self.exchange.process.metrics) {
            Ended::Answered => {}
            Ended::Last => self.leave(),
            // A reset costs what a refused request does: else it would be a way around the rates.
            Ended::Reset if self.phase != Phase::Closing && !self.exchange.pays() => {
                self.abuse(Rejection::Http2Limit);
            }
            Ended::Reset => {}
        }
    }

    fn learn(&mut self, news: News) {
        self.block_since = news.block_since;
        for rejection in news.refused {
            self.refused(rejection);
        }
        if let Some(rejection) = news.ending {
            self.abuse(rejection);
        }
    }

    fn abuse(&mut self, rejection: Rejection) {
        self.refused(rejection);
        self.close(match rejection {
            Rejection::MalformedHead => Reason::PROTOCOL_ERROR,
            _ => Reason::ENHANCE_YOUR_CALM,
        });
    }

    /// What was refused without an answer of ours.
    fn refused(&mut self, rejection: Rejection) {
        self.number += 1;
        if !self.exchange.was_refused(self.number, rejection) {
            self.leave();
        }
    }

    fn leave(&mut self) {
        if self.phase == Phase::Open {
            (self.phase, self.since) = (Phase::Leaving, Instant::now());
            self.connection.graceful_shutdown();
        }
    }

    fn close(&mut self, reason: Reason) {
        if self.phase != Phase::Closing {
            (self.phase, self.since) = (Phase::Closing, Instant::now());
            self.broken |= reason != Reason::NO_ERROR;
            self.watch.end();
            self.connection.abrupt_shutdown(reason);
        }
    }
}

fn builder(limits: &Limits) -> Builder {
    let mut builder = Builder::new();
    let list = u32::try_from(limits.head_bytes + limits.uri_bytes).unwrap_or(u32::MAX);
    builder
        .max_concurrent_streams(STREAMS)
        .max_header_list_size(list)
        .max_frame_size(16 << 10)
        .initial_window_size(WINDOW)
        .initial_connection_window_size(WINDOW_OF_ALL)
        .max_send_buffer_size(UNSENT)
        .max_pending_accept_reset_streams(RESETS)
        .max_local_error_reset_streams(Some(RESETS_BY_ERRORS));
    builder
}

/// Drives the connection until there is a request, an end or news.
async fn next(
    connection: &mut Connection<Io, Bytes>,
    watch: &Watch,
    block_since: Option<Instant>,
) -> (Poll<Accepted>, Option<News>) {
    poll_fn(|cx| {
        let accepted = connection.poll_accept(cx);
        let news = watch.news(block_since);
        match accepted.is_pending() && news.is_none() {
            true => Poll::Pending,
            false => Poll::Ready((accepted, news)),
        }
    })
    .await
}

/// A panic ends its own request; the library resets the stream.
fn outcome(joined: Result<Ended, JoinError>, metrics: &Metrics) -> Ended {
    joined.unwrap_or_else(|error| {
        if error.is_panic() {
            metrics.panics.inc();
        }
        Ended::Answered
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    #[allow(clippy::panic, reason = "what this is about")]
    async fn a_panic_in_a_request_is_counted() {
        let (metrics, mut streams) = (Metrics::new().unwrap(), JoinSet::new());
        streams.spawn(async { panic!("a defect") });
        let joined = streams.join_next().await.unwrap();
        assert_eq!(outcome(joined, &metrics), Ended::Answered);
        assert_eq!(metrics.panics.get(), 1);
    }
}
