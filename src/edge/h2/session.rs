//! Drives a connection and ends it: when it is idle, at shutdown, and where its client uses it
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
use super::stream::{self, Ended};
use crate::base::rejection::Rejection;
use crate::base::shutdown::{FAREWELL, Shutdown};
use crate::observe::metrics::Metrics;
use crate::proxy::exchange::Exchange;

pub(super) type Io = ObservedStream<ReturnOnDrop<Stream>>;
type Accepted = Option<Result<(Request<RecvStream>, SendResponse<Bytes>), h2::Error>>;

/// A connection whose client has greeted.
pub(super) struct Session {
    exchange: Exchange,
    observed: SharedObserver,
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
            quiet_since: now,
            broken: false,
        }
    }

    /// Serves to the end. True where the client may be in the middle of sending.
    pub(super) async fn run(mut self, permit: &ConnectionPermit, shutdown: &Shutdown) -> bool {
        self.drive(permit, shutdown).await;
        self.broken
    }

    async fn drive(&mut self, permit: &ConnectionPermit, shutdown: &Shutdown) {
        let mut shutdown = pin!(shutdown.begun());
        let mut make_room = pin!(permit.ended());
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
                        self.learn(events);
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
                () = &mut make_room, if open && idle.is_some() => self.leave(),
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
        if !self.observed.handed_out(respond.stream_id().as_u32()) {
            // Reset by the library in the meantime, and counted.
            return;
        }
        if self.phase == Phase::Closing {
            return;
        }
        if self.phase == Phase::Leaving && self.since.elapsed() > FAREWELL {
            // It was told long ago.
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
            self.leave();
        }
    }

    fn ended(&mut self, joined: Result<Ended, JoinError>) {
        match outcome(joined, &self.exchange.process.metrics) {
            Ended::Answered => {}
            Ended::Last => self.leave(),
            // A reset costs what a refused request does: else it would be a way around the rates.
            Ended::Reset if self.phase != Phase::Closing && !self.exchange.charge_refusal() => {
                self.abuse(Rejection::Http2Limit);
            }
            Ended::Reset => {}
        }
    }

    fn learn(&mut self, events: Events) {
        self.block_since = events.block_since;
        for rejection in events.refused {
            self.refused(rejection);
        }
        if let Some(rejection) = events.ending {
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
        if !self.exchange.record_refusal(self.number, rejection) {
            self.close(Reason::ENHANCE_YOUR_CALM);
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
            self.observed.end();
            self.connection.abrupt_shutdown(reason);
        }
    }
}

/// Drives the connection until there is a request, an end or news.
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
