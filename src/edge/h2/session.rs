//! Drives a connection, and closes it when it is idle, at shutdown, and if its client uses it
//! beyond its limits.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use bytes::Bytes;
use h2::server::{Connection, SendResponse};
use h2::{Reason, RecvStream};
use http::Request;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Instant, sleep_until};

use super::super::handshake::Stream;
use super::super::limit::ConnectionPermit;
use super::super::return_on_drop::ReturnOnDrop;
use super::observed::{ObservedStream, SharedObserver};
use super::observer::Events;
use super::stream::{self, RequestEnd};
use crate::base::rejection::Rejection;
use crate::base::shutdown::{GRACE_PERIOD, Shutdown};
use crate::observe::metrics::Metrics;
use crate::proxy::exchange::Exchange;

pub(super) type Io = ObservedStream<ReturnOnDrop<Stream>>;
type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// A connection after the preface of its client.
pub(super) struct Session {
    exchange: Exchange,
    observed: SharedObserver,
    connection: Connection<Io, Bytes>,
    streams: JoinSet<RequestEnd>,
    /// Requests so far, including refused ones.
    number: u64,
    block_since: Option<Instant>,
    phase: Phase,
    /// When this phase began.
    since: Instant,
    /// When the last request ended.
    idle_since: Instant,
    broken: bool,
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
        observed: SharedObserver,
        connection: Connection<Io, Bytes>,
    ) -> Self {
        let now = Instant::now();
        Self {
            exchange,
            observed,
            connection,
            streams: JoinSet::new(),
            number: 0,
            block_since: None,
            phase: Phase::Open,
            since: now,
            idle_since: now,
            broken: false,
        }
    }

    /// Serves until the connection closes. Returns `true` if the client may be in the middle of
    /// sending.
    pub(super) async fn run(mut self, permit: &ConnectionPermit, shutdown: &Shutdown) -> bool {
        self.drive(permit, shutdown).await;
        self.broken
    }

    async fn drive(&mut self, permit: &ConnectionPermit, shutdown: &Shutdown) {
        let mut shutdown = pin!(shutdown.begun());
        let mut make_room = pin!(permit.evicted());
        let mut timer = pin!(sleep_until(self.since));
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
                (accepted, events) = next(&mut self.connection, &self.observed, self.block_since) => {
                    if let Some(events) = events {
                        self.process(events);
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
                Some(request_ended) = self.streams.join_next() => {
                    if self.streams.is_empty() {
                        self.idle_since = Instant::now();
                    }
                    self.request_ended(request_ended);
                }
                () = &mut make_room, if open && idle.is_some() => self.go_away(),
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
                let limit = match self.number {
                    0 => timeouts.request_head,
                    _ => timeouts.keep_alive,
                };
                let idle = idle_since.map(|since| since + limit);
                let block = self.block_since.map(|since| since + timeouts.request_head);
                block.into_iter().chain(idle).min()
            }
            Phase::GoingAway => idle_since.map(|since| since.max(self.since) + GRACE_PERIOD),
            Phase::Closing => Some(self.since + GRACE_PERIOD),
        }
    }

    /// Handles a deadline. Returns `true` if the connection must be dropped.
    fn on_deadline(&mut self) -> bool {
        let limit = self.exchange.generation.timeouts.request_head;
        match self.phase {
            Phase::Open
                if self
                    .block_since
                    .is_some_and(|since| since.elapsed() >= limit) =>
            {
                self.close_with(Rejection::HeadTimeout);
            }
            Phase::Open => self.go_away(),
            Phase::GoingAway => self.close(Reason::NO_ERROR),
            Phase::Closing => return true,
        }
        false
    }

    fn accept(&mut self, request: Request<RecvStream>, mut respond: SendResponse<Bytes>) {
        if !self.observed.handed_out(respond.stream_id().as_u32()) {
            // The library has reset the request in the meantime, and it is counted.
            return;
        }
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase == Phase::GoingAway && self.since.elapsed() > GRACE_PERIOD {
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
            // A reset is charged like a refused request; otherwise it would be a way around the
            // rates.
            RequestEnd::Reset
                if self.phase != Phase::Closing && !self.exchange.charge_refusal() =>
            {
                self.close_with(Rejection::Http2Limit);
            }
            RequestEnd::Reset => {}
        }
    }

    fn process(&mut self, events: Events) {
        self.block_since = events.block_since;
        for rejection in events.refused {
            self.refused(rejection);
        }
        if let Some(rejection) = events.ending {
            self.close_with(rejection);
        }
    }

    fn close_with(&mut self, rejection: Rejection) {
        self.refused(rejection);
        self.close(match rejection {
            Rejection::MalformedHead => Reason::PROTOCOL_ERROR,
            _ => Reason::ENHANCE_YOUR_CALM,
        });
    }

    /// Records a request that was refused without a response of the proxy.
    fn refused(&mut self, rejection: Rejection) {
        self.number += 1;
        if !self.exchange.record_refusal(self.number, rejection) {
            self.close(Reason::ENHANCE_YOUR_CALM);
        }
    }

    fn go_away(&mut self) {
        if self.phase == Phase::Open {
            (self.phase, self.since) = (Phase::GoingAway, Instant::now());
            self.connection.graceful_shutdown();
        }
    }

    fn close(&mut self, reason: Reason) {
        if self.phase != Phase::Closing {
            (self.phase, self.since) = (Phase::Closing, Instant::now());
            self.broken |= reason != Reason::NO_ERROR;
            self.observed.end();
            self.connection.abrupt_shutdown(reason);
        }
    }
}

/// Drives the connection until there is a request, its end, or an event.
async fn next(
    connection: &mut Connection<Io, Bytes>,
    observed: &SharedObserver,
    block_since: Option<Instant>,
) -> (Poll<Accepted>, Option<Events>) {
    poll_fn(|cx| {
        let accepted = connection.poll_accept(cx);
        let events = observed.events(block_since);
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
