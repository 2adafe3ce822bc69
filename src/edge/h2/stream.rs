//! One request of an HTTP/2 connection, from its head to the last byte of its response.

use std::future::poll_fn;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime};

use bytes::{Bytes, BytesMut};
use h2::server::SendResponse;
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE};
use http::request::Parts;
use http::{HeaderValue, Method, Request, Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;
use tokio::time::timeout;

use super::head;
use crate::base::buffers::Lease;
use crate::base::rejection::Rejection;
use crate::edge::linger::{LINGER_BYTES, LINGER_TIME};
use crate::proxy::body::Body;
use crate::proxy::exchange::{Exchange, RequestBody};

/// What the end of a request means for its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum RequestEnd {
    Answered,
    /// The client reset the request before its response began.
    Reset,
    /// The client does not read the response, or no more requests are accepted from it.
    Last,
}

/// Data is written in pieces of this size, so that one response does not use the window of all
/// others.
const PIECE: usize = 16 << 10;

/// Answers one request and sends the response.
pub(super) async fn serve(
    exchange: Exchange,
    number: u64,
    request: Request<RecvStream>,
    respond: SendResponse<Bytes>,
) -> RequestEnd {
    let (parts, mut body) = request.into_parts();
    let respond = Responder(Mutex::new(respond));
    let head_only = parts.method == Method::HEAD;
    // A connection may have many requests, each with a long URI, so their memory is limited.
    let mut lease = exchange.process.buffers.lease();
    let response = tokio::select! {
        response = answer(&exchange, number, parts, &mut body, &respond, &mut lease) => response,
        () = respond.reset() => return RequestEnd::Reset,
    };
    // A client that has exceeded its rate of refusals must not continue.
    let last = response.status() == StatusCode::TOO_MANY_REQUESTS
        && response.headers().contains_key(CONNECTION);
    let time = exchange.generation.timeouts.response_write;
    let sent = timeout(time, send(response, head_only, respond)).await;
    if last || sent.is_err() {
        return RequestEnd::Last;
    }
    drop(lease);
    _ = timeout(LINGER_TIME, discard_rest(body)).await;
    RequestEnd::Answered
}

/// Reads what the client still sends, as after an HTTP/1 response. The library would reset the
/// stream, and some clients then discard a response that they have not read yet.
async fn discard_rest(mut body: RecvStream) {
    let mut left = LINGER_BYTES;
    while let Some(Ok(data)) = body.data().await {
        left = left.saturating_sub(data.len());
        if left == 0 || body.flow_control().release_capacity(data.len()).is_err() {
            return;
        }
    }
}

async fn answer(
    exchange: &Exchange,
    number: u64,
    parts: Parts,
    body: &mut RecvStream,
    respond: &Responder,
    lease: &mut Lease,
) -> Response<Body> {
    let head = head::parse(&parts, body.is_end_stream()).and_then(|head| {
        lease.grow(head.size.head)?;
        Ok(head)
    });
    drop(parts);
    match head {
        Ok(head) => {
            let mut body = Http2Body {
                stream: body,
                respond: head.expects_continue.then_some(respond),
                time: exchange.generation.timeouts.request_body,
            };
            exchange.answer(number, head, &mut body).await
        }
        Err(rejection) => exchange.refuse(number, rejection),
    }
}

/// The sender of the response. The request body shares it, because it may have to send
/// `100 Continue`.
struct Responder(Mutex<SendResponse<Bytes>>);

impl Responder {
    fn get(&self) -> MutexGuard<'_, SendResponse<Bytes>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns when the client has reset the stream, or the connection has closed.
    async fn reset(&self) {
        _ = poll_fn(|cx| self.get().poll_reset(cx)).await;
    }
}

/// The body of a request, which is read whole.
struct Http2Body<'r> {
    stream: &'r mut RecvStream,
    /// Set if the client waits for `100 Continue`.
    respond: Option<&'r Responder>,
    time: Duration,
}

impl Http2Body<'_> {
    async fn read_whole(&mut self, limit: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        if let Some(respond) = self.respond.take() {
            let mut interim = Response::new(());
            *interim.status_mut() = StatusCode::CONTINUE;
            let sent = respond.get().send_informational(interim);
            sent.map_err(|_| Rejection::BodyAborted)?;
        }
        let mut body = BytesMut::new();
        // Trailers, which would follow, are not read.
        while let Some(data) = self.stream.data().await {
            let data = data.map_err(body_error)?;
            let released = self.stream.flow_control().release_capacity(data.len());
            released.map_err(body_error)?;
            if body.len() + data.len() > limit {
                return Err(Rejection::BodyTooLarge);
            }
            lease.grow(data.len())?;
            body.extend_from_slice(&data);
        }
        Ok(body.freeze())
    }
}

impl RequestBody for Http2Body<'_> {
    async fn read(&mut self, limit: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        let time = self.time;
        timeout(time, self.read_whole(limit, lease))
            .await
            .unwrap_or(Err(Rejection::BodyTimeout))
    }

    async fn left(&mut self) {
        // A request that its client resets is dropped together with everything that it waits for.
        std::future::pending().await
    }
}

/// The library resets a stream whose DATA differs from Content-Length.
fn body_error(error: h2::Error) -> Rejection {
    if error.is_library() && error.is_reset() {
        Rejection::MalformedFraming
    } else {
        Rejection::BodyAborted
    }
}

/// Sends the whole response, or as much of it as the client reads.
async fn send(response: Response<Body>, head_only: bool, respond: Responder) {
    let (mut parts, body) = response.into_parts();
    let no_content = [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED].contains(&parts.status);
    let fields = &mut parts.headers;
    // HTTP/2 forbids this field (RFC 9113 §8.2.2).
    fields.remove(CONNECTION);
    if !fields.contains_key(DATE) {
        let date = httpdate::fmt_http_date(SystemTime::now());
        if let Ok(date) = HeaderValue::try_from(date) {
            fields.insert(DATE, date);
        }
    }
    if !head_only && !no_content {
        match body.size_hint().exact() {
            Some(length) => fields.insert(CONTENT_LENGTH, HeaderValue::from(length)),
            None => fields.remove(CONTENT_LENGTH),
        };
    }
    let mut tracked = TrackedBody {
        body,
        is_sent: false,
    };
    let ends = head_only || no_content || tracked.body.is_end_stream();
    let response = Response::from_parts(parts, ());
    let Ok(mut stream) = respond.get().send_response(response, ends) else {
        return;
    };
    tracked.is_sent = match ends {
        // Reading the body to its end also completes its record.
        true => {
            while let Some(Ok(_)) = tracked.body.frame().await {}
            true
        }
        false => write(&mut tracked.body, &mut stream).await.is_ok(),
    };
}

/// A body that is being sent. If it is dropped before all of it is sent, the response is recorded as
/// incomplete.
struct TrackedBody {
    body: Body,
    is_sent: bool,
}

impl Drop for TrackedBody {
    fn drop(&mut self) {
        if !self.is_sent {
            self.body.not_taken();
        }
    }
}

async fn write(body: &mut Body, stream: &mut SendStream<Bytes>) -> Result<(), h2::Error> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = body.frame() => frame,
            reset = poll_fn(|cx| stream.poll_reset(cx)) => return Err(reset?.into()),
        };
        let Some(frame) = frame else {
            return stream.send_data(Bytes::new(), true);
        };
        let Ok(frame) = frame else {
            // No client may take this for a complete response. The record says why it broke off.
            stream.send_reset(Reason::INTERNAL_ERROR);
            return Ok(());
        };
        let ends = body.is_end_stream();
        write_data(stream, frame.into_data().unwrap_or_default(), ends).await?;
        if ends {
            return Ok(());
        }
    }
}

/// Sends data only as the flow control of the client allows, because the library would buffer all of
/// it.
async fn write_data(
    stream: &mut SendStream<Bytes>,
    mut data: Bytes,
    ends: bool,
) -> Result<(), h2::Error> {
    while !data.is_empty() {
        stream.reserve_capacity(data.len().min(PIECE));
        while stream.capacity() == 0 {
            let reset = || h2::Error::from(Reason::CANCEL);
            let capacity = poll_fn(|cx| stream.poll_capacity(cx)).await;
            capacity.unwrap_or_else(|| Err(reset()))?;
        }
        let piece = data.split_to(data.len().min(stream.capacity()));
        let last = ends && data.is_empty();
        stream.send_data(piece, last)?;
    }
    Ok(())
}
