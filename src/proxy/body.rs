//! The body of an answer: a text of our own, or NDES's, streamed and bounded in time.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::Response;
use http_body::{Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::{Instant, Sleep, sleep_until};

use crate::observe::metrics::Incomplete;
use crate::proxy::record::Record;
use crate::upstream::{Answer, Incoming, Permit};

/// Dropping it ends the record of the request: complete or not is known only then.
pub struct Body {
    source: Source,
    record: Option<Box<Record>>,
}

enum Source {
    Own(Option<Bytes>),
    Upstream {
        /// Read before the head went out.
        first: Option<Bytes>,
        incoming: Incoming,
        deadline: Instant,
        /// Set up where the rest of the body is not there at once.
        late: Option<Pin<Box<Sleep>>>,
        /// Held until the answer has ended.
        _permit: Permit,
    },
    Ended,
}

/// The upstream broke off or did not end its body in time; the client sees a cut connection.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the upstream's body did not end in time")]
    Late,
    #[error("the upstream's body broke off")]
    Upstream(#[source] io::Error),
}

impl Body {
    pub fn own(bytes: Bytes) -> Self {
        Self {
            source: Source::Own(Some(bytes)),
            record: None,
        }
    }

    /// The upstream's answer with its body, which must have ended by its deadline.
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
        // Of an answer without body HTTP/2 does not even ask for the first byte.
        let is_upstream = matches!(self.source, Source::Upstream { .. });
        if is_upstream && http_body::Body::is_end_stream(&self) {
            self.ended();
        }
        self
    }

    /// The last byte was handed on. HTTP/2 does not ask again where the end is known.
    fn ended(&mut self) {
        self.source = Source::Ended;
        if let Some(record) = &mut self.record {
            record.completed();
        }
    }

    /// The client had closed its side of the connection before this answer came. It is written
    /// all the same: the other side may be open.
    pub fn left_early(&mut self) {
        if let Some(record) = &mut self.record {
            record.client_gone = true;
        }
    }

    /// The client did not take what was handed on last.
    pub fn not_taken(&mut self) {
        if let Some(record) = &mut self.record {
            record.broken(Incomplete::Client);
        }
    }

    async fn read_to_end(mut self) {
        while let Some(Ok(_)) = self.frame().await {}
    }

    fn broken(&mut self, error: BodyError) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        if let Some(record) = &mut self.record {
            record.broken(match error {
                BodyError::Late => Incomplete::UpstreamLate,
                BodyError::Upstream(_) => Incomplete::Upstream,
            });
        }
        self.source = Source::Ended;
        Poll::Ready(Some(Err(error)))
    }
}

impl Drop for Body {
    /// The client has left. The outcome of an enrolment is read all the same.
    fn drop(&mut self) {
        let upstream = matches!(self.source, Source::Upstream { .. });
        let wanted = |record: &mut Box<Record>| upstream && record.goes_on_without_client();
        let Some(record) = self.record.take_if(wanted) else {
            return;
        };
        let detached = record.detached();
        let rest = Self {
            source: std::mem::replace(&mut self.source, Source::Ended),
            record: Some(record),
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
            record.passed(data);
        }
        if data.is_none() || http_body::Body::is_end_stream(&*this) {
            this.ended();
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
