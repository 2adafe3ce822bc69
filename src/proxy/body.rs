//! The body of a response: a text of the proxy, or the body of NDES, streamed and bounded in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use super::record::Record;
use crate::upstream::{Answer, Incoming, Permit};

/// Dropping it ends the record of the request: only then is it known whether the response is
/// complete.
pub struct Body {
    source: Source,
    record: Option<Box<Record>>,
}

enum Source {
    Own(Option<Bytes>),
    Upstream {
        /// Read before the head was sent to the client.
        first: Option<Bytes>,
        incoming: Incoming,
        deadline: Instant,
        /// Set up if the rest of the body is not there at once.
        late: Option<Pin<Box<Sleep>>>,
        /// Held until the response has ended.
        _permit: Permit,
    },
    Ended,
}

/// Why the body of NDES is incomplete. The client sees a closed connection.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the response body of the upstream did not end in time")]
    Late,
    #[error("the response body of the upstream broke off")]
    Upstream(#[source] io::Error),
}

impl Body {
    pub fn own(bytes: Bytes) -> Self {
        Self {
            source: Source::Own(Some(bytes)),
            record: None,
        }
    }

    /// Returns the response of the upstream, whose body must end by its deadline.
    pub fn upstream(answer: Answer, permit: Permit) -> Response<Self> {
        let (first, deadline) = (answer.first, answer.deadline);
        answer.response.map(|incoming| Self {
            source: Source::Upstream {
                first,
                incoming,
                deadline,
                late: None,
                _permit: permit,
            },
            record: None,
        })
    }

    pub fn recorded(mut self, record: Box<Record>) -> Self {
        self.record = Some(record);
        // HTTP/2 does not poll the body of a response that has none.
        let is_upstream = matches!(self.source, Source::Upstream { .. });
        if is_upstream && http_body::Body::is_end_stream(&self) {
            self.complete();
        }
        self
    }

    /// The last byte was handed on. HTTP/2 does not poll again if the end is known.
    fn complete(&mut self) {
        self.source = Source::Ended;
        if let Some(record) = &mut self.record {
            record.complete();
        }
    }

    /// The client had closed its side of the connection before this response came.
    pub fn client_half_closed(&mut self) {
        if let Some(record) = &mut self.record {
            record.client_half_closed();
        }
    }

    /// The client did not take the piece that was handed on last.
    pub fn not_taken(&mut self) {
        if let Some(record) = &mut self.record {
            record.not_taken();
        }
    }

    async fn read_to_end(mut self) {
        while let Some(Ok(_)) = self.frame().await {}
    }

    fn broken(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(record) = &mut self.record {
            record.broken_by_upstream(matches!(error, BodyError::Late));
        }
        self.source = Source::Ended;
        Poll::Ready(Some(Err(error)))
    }
}

impl Drop for Body {
    /// The client has left. The outcome of an enrolment is read all the same.
    fn drop(&mut self) {
        if !matches!(self.source, Source::Upstream { .. }) {
            return;
        }
        let Some(detached) = self.record.as_mut().and_then(|record| record.detach()) else {
            return;
        };
        let rest = Self {
            source: std::mem::replace(&mut self.source, Source::Ended),
            record: self.record.take(),
        };
        detached.spawn(rest.read_to_end());
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = &mut *self;
        let data = match &mut this.source {
            Source::Own(bytes) => bytes.take(),
            Source::Upstream { first, .. } if first.is_some() => first.take(),
            Source::Upstream {
                incoming,
                deadline,
                late,
                ..
            } => match incoming.poll_data(cx) {
                Poll::Ready(Ok(data)) => data,
                Poll::Ready(Err(error)) => return this.broken(BodyError::Upstream(error)),
                Poll::Pending => {
                    let late = late.get_or_insert_with(|| Box::pin(sleep_until(*deadline)));
                    std::task::ready!(late.as_mut().poll(cx));
                    return this.broken(BodyError::Late);
                }
            },
            Source::Ended => None,
        };
        if let (Some(record), Some(data)) = (&mut this.record, &data) {
            record.received(data);
        }
        if data.is_none() || http_body::Body::is_end_stream(&*this) {
            this.complete();
        }
        Poll::Ready(data.map(|data| Ok(Frame::data(data))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.source {
            Source::Own(bytes) => bytes.is_none(),
            Source::Upstream {
                first, incoming, ..
            } => first.is_none() && incoming.is_end(),
            Source::Ended => true,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.source {
            Source::Own(bytes) => {
                SizeHint::with_exact(bytes.as_ref().map_or(0, |bytes| bytes.len() as u64))
            }
            Source::Upstream {
                first, incoming, ..
            } => {
                let first = first.as_ref().map_or(0, |first| first.len() as u64);
                let rest = incoming.left();
                rest.map_or_else(SizeHint::new, |rest| SizeHint::with_exact(first + rest))
            }
            Source::Ended => SizeHint::with_exact(0),
        }
    }
}
