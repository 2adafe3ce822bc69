//! Drives a connection, and closes it when it is idle, at shutdown, and if its client exceeds its
//! limits.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::observed::{ObservedStream, SharedObserver};
use super::observer::Events;
use super::stream::{self, RequestEnd};
use crate::base::rejection::Rejection;
use crate::base::shutdown::{GRACE_PERIOD, Shutdown};
use crate::edge::handshake::Stream;
use crate::edge::limit::ConnectionPermit;
use crate::edge::return_on_drop::ReturnOnDrop;
use crate::observe::metrics::Metrics;
use crate::proxy::exchange::Exchange;

pub(super) type Io = ObservedStream<ReturnOnDrop<Stream>>;
type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// A connection after the preface of its client.
pub(super) struct Session {
    exchange: Exchange,
    observer: SharedObserver,
    connection: Connection<Io, Bytes>,
    streams: JoinSet<RequestEnd>,
    /// Requests so far, including refused ones.
    number: u64,
    block_since: Option<Instant>,
    phase: Phase,
    /// When this phase began.
    phase_since: Instant,
    /// When the last request ended.
    idle_since: Instant,
    /// Whether the client may be in the middle of sending.
    unread: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Phase {
    Open,
    /// The client has received GOAWAY; the streams that it has opened are still answered.
    GoingAway,
    /// Only the last frames are still to be written.
    Closing,
}

impl Session {
    pub(super) fn new(
        exchange: Exchange,
        observer: SharedObserver,
        connection: Connection<Io, Bytes>,
    ) -> Self {
        let now = Instant::now();
        Self {
            exchange,
            observer,
            connection,
            streams: JoinSet::new(),
            number: 0,
            block_since: None,
            phase: Phase::Open,
            phase_since: now,
            idle_since: now,
            unread: false,
        }
    }

    /// Serves until the connection closes. Returns `true` if the client may be in the middle of
    /// sending.
    pub(super) async fn run(mut self, permit: &ConnectionPermit, shutdown: &Shutdown) -> bool {
        self.drive(permit, shutdown).await;
        self.unread
    }

    async fn drive(&mut self, permit: &ConnectionPermit, shutdown: &Shutdown) {
        let mut shutdown = pin!(shutdown.begun());
        let mut evicted = pin!(permit.evicted());
        let mut timer = pin!(sleep_until(self.phase_since));
        let mut idle = None;
        loop {
            if !self.streams.is_empty() {
                idle = None;
            } else if idle.is_none() {
                idle = Some(permit.idle(Instant::now()));
            }
            let deadline = self.deadline();
            if let Some(deadline) = deadline.filter(|deadline| *deadline != timer.deadline()) {
                timer.as_mut().reset(deadline);
            }
            let open = self.phase == Phase::Open;
            tokio::select! {
                (accepted, events) = next(&mut self.connection, &self.observer, self.block_since) => {
                    if let Some(events) = events {
                        self.handle(events);
                    }
                    match accepted {
                        Poll::Ready(Some(Ok((request, respond)))) => self.accept(request, respond),
                        Poll::Ready(Some(Err(_))) => {
                            self.unread = true;
                            return;
                        }
                        Poll::Ready(None) => return,
                        Poll::Pending => {}
                    }
                }
                Some(joined) = self.streams.join_next() => {
                    if self.streams.is_empty() {
                        self.idle_since = Instant::now();
                    }
                    self.request_ended(joined);
                }
                () = &mut evicted, if open && idle.is_some() => self.go_away(),
                () = &mut shutdown, if open => self.go_away(),
                () = &mut timer, if deadline.is_some() => if self.on_deadline() { return },
            }
        }
    }

    /// Returns the next deadline: of a header block, of an idle client, or of a client that
    /// received GOAWAY. Requests have deadlines of their own.
    fn deadline(&self) -> Option<Instant> {
        let timeouts = &self.exchange.generation.timeouts;
        let idle_since = self.streams.is_empty().then_some(self.idle_since);
        match self.phase {
            Phase::Open => {
                let timeout = match self.number {
                    0 => timeouts.request_head,
                    _ => timeouts.keep_alive,
                };
                let idle = idle_since.map(|since| since + timeout);
                let block = self.block_since.map(|since| since + timeouts.request_head);
                block.into_iter().chain(idle).min()
            }
            Phase::GoingAway => idle_since.map(|since| since.max(self.phase_since) + GRACE_PERIOD),
            Phase::Closing => Some(self.phase_since + GRACE_PERIOD),
        }
    }

    /// Handles a deadline. Returns `true` if the connection must be dropped.
    fn on_deadline(&mut self) -> bool {
        let timeout = self.exchange.generation.timeouts.request_head;
        match self.phase {
            Phase::Open
                if self
                    .block_since
                    .is_some_and(|since| since.elapsed() >= timeout) =>
            {
                self.close_with(Rejection::HeadTimeout);
            }
            Phase::Open => self.go_away(),
            Phase::GoingAway => self.close(Reason::NO_ERROR),
            Phase::Closing => return true,
        }
        false
    }

    /// Starts a task for a request that the library has returned from `accept`.
    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if !self.observer.accepted(respond.stream_id().as_u32()) {
            // The library has reset the request in the meantime, which is counted.
            return;
        }
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase == Phase::GoingAway && self.phase_since.elapsed() > GRACE_PERIOD {
            // The client received GOAWAY long ago.
            respond.send_reset(Reason::REFUSED_STREAM);
            if !self.exchange.charge_refusal() {
                self.close(Reason::ENHANCE_YOUR_CALM);
            }
            return;
        }
        self.number += 1;
        self.exchange.renew();
        let exchange = self.exchange.clone();
        self.streams
            .spawn(stream::serve(exchange, self.number, request, respond));
        if self.exchange.outdated {
            self.go_away();
        }
    }

    fn request_ended(&mut self, joined: Result<RequestEnd, JoinError>) {
        match outcome(joined, &self.exchange.process.metrics) {
            RequestEnd::Answered => {}
            RequestEnd::Last => self.go_away(),
            // A reset is charged like a refused request; otherwise resets would bypass the rate
            // limits.
            RequestEnd::Reset
                if self.phase != Phase::Closing && !self.exchange.charge_refusal() =>
            {
                self.close_with(Rejection::Http2Limit);
            }
            RequestEnd::Reset => {}
        }
    }

    fn handle(&mut self, events: Events) {
        self.block_since = events.block_since;
        for rejection in events.refused {
            self.record_refusal(rejection);
        }
        if let Some(rejection) = events.close_reason {
            self.close_with(rejection);
        }
    }

    /// Closes the connection because of `rejection`, which is recorded.
    fn close_with(&mut self, rejection: Rejection) {
        self.record_refusal(rejection);
        self.close(match rejection {
            Rejection::MalformedHead => Reason::PROTOCOL_ERROR,
            _ => Reason::ENHANCE_YOUR_CALM,
        });
    }

    /// Records a refusal to which the proxy sends no response.
    fn record_refusal(&mut self, rejection: Rejection) {
        self.number += 1;
        if !self.exchange.record_refusal(self.number, rejection) {
            self.close(Reason::ENHANCE_YOUR_CALM);
        }
    }

    /// Sends GOAWAY. The streams that the client has opened are still answered.
    fn go_away(&mut self) {
        if self.phase == Phase::Open {
            (self.phase, self.phase_since) = (Phase::GoingAway, Instant::now());
            self.connection.graceful_shutdown();
        }
    }

    /// Sends GOAWAY with `reason` and closes the connection.
    fn close(&mut self, reason: Reason) {
        if self.phase != Phase::Closing {
            (self.phase, self.phase_since) = (Phase::Closing, Instant::now());
            self.unread |= reason != Reason::NO_ERROR;
            self.observer.set_closing();
            self.connection.abrupt_shutdown(reason);
        }
    }
}

/// Drives the connection until a request arrives, the connection closes, or an event occurs.
async fn next(
    connection: &mut Connection<Io, Bytes>,
    observer: &SharedObserver,
    block_since: Option<Instant>,
) -> (Poll<Accepted>, Option<Events>) {
    poll_fn(|cx| {
        let accepted = connection.poll_accept(cx);
        let events = observer.events(block_since);
        match accepted.is_pending() && events.is_none() {
            true => Poll::Pending,
            false => Poll::Ready((accepted, events)),
        }
    })
    .await
}

/// A panic ends only its own request; the library resets the stream.
fn outcome(joined: Result<RequestEnd, JoinError>, metrics: &Metrics) -> RequestEnd {
    joined.unwrap_or_else(|error| {
        if error.is_panic() {
            metrics.panics.inc();
        }
        RequestEnd::Answered
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
        assert_eq!(outcome(joined, &metrics), RequestEnd::Answered);
        assert_eq!(metrics.panics.get(), 1);
    }
}
