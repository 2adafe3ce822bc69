//! An HTTP/2 connection: hyper speaks the protocol, the same gate judges the requests.

use std::convert::Infallible;

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HOST, USER_AGENT};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response};
use hyper::body::Incoming;
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use tokio::net::TcpStream;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tokio_rustls::server::TlsStream;

use super::body::Http2Body;
use super::connection::Connection;
use super::lent::lend;
use super::slots::Slot;
use crate::body::Body;
use crate::config::Timeouts;
use crate::exchange::Exchange;
use crate::head::{Framing, Head, Host, Method, Size, Target, Version};
use crate::rejection::Rejection;
use crate::shutdown::Shutdown;

/// Requests at a time on one connection: what clients take for granted before they have read the
/// SETTINGS (RFC 9113 §6.5.2); fewer, and their first burst is refused in part.
const STREAMS: u32 = 100;

pub(super) async fn serve(
    exchange: Exchange,
    stream: TlsStream<TcpStream>,
    slot: Slot,
    shutdown: Shutdown,
) {
    let (limits, timeouts) = (&exchange.generation.limits, &exchange.generation.timeouts);
    let mut http = http2::Builder::new(TokioExecutor::new());
    http.timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS)
        // hyper's 16 KB would refuse a long URI before the gate sees it.
        .max_header_list_size(
            u32::try_from(limits.head_bytes + limits.uri_bytes).unwrap_or(u32::MAX),
        )
        .max_frame_size(16 << 10)
        .initial_stream_window_size(64 << 10)
        .initial_connection_window_size(1 << 20)
        .keep_alive_interval(timeouts.keep_alive)
        .keep_alive_timeout(timeouts.request_head);
    let requests = watch::Sender::new(Requests::default());
    let seen = requests.subscribe();
    let service = {
        let exchange = exchange.clone();
        service_fn(move |request| {
            let begun = Begun::new(&requests);
            let exchange = exchange.clone();
            async move {
                let response = answer(&exchange, begun.number, request).await;
                drop(begun);
                Ok::<_, Infallible>(response)
            }
        })
    };
    let (lent, back) = lend(stream);
    let broken = {
        let mut connection = std::pin::pin!(http.serve_connection(TokioIo::new(lent), service));
        tokio::select! {
            // What its error was is the client's business: each request has its record.
            ended = &mut connection => ended.is_err(),
            () = ended(&seen, &slot, timeouts, &shutdown) => {
                // Nothing is to be finished, and a client that does not even greet would hold
                // this up.
                if seen.borrow().begun > 0 {
                    connection.as_mut().graceful_shutdown();
                    if shutdown.has_begun() {
                        // Cut at the deadline by the worker.
                        _ = connection.await;
                    } else {
                        // Answers that are still being written.
                        _ = timeout(timeouts.response_write, connection).await;
                    }
                }
                false
            }
        }
    };
    if let Ok(stream) = back.await {
        // A client that is told to go away may be in the middle of sending.
        Connection::new(stream).close(broken).await;
    }
}

/// The requests of one connection.
#[derive(Default)]
struct Requests {
    begun: u64,
    /// Of these, those without the head of an answer.
    in_flight: usize,
}

/// A request from its head to the head of its answer.
struct Begun {
    number: u64,
    requests: watch::Sender<Requests>,
}

impl Begun {
    fn new(requests: &watch::Sender<Requests>) -> Self {
        let mut number = 0;
        requests.send_modify(|requests| {
            requests.begun += 1;
            requests.in_flight += 1;
            number = requests.begun;
        });
        Self {
            number,
            requests: requests.clone(),
        }
    }
}

impl Drop for Begun {
    fn drop(&mut self) {
        self.requests
            .send_modify(|requests| requests.in_flight -= 1);
    }
}

/// Returns at shutdown, when the connection is to make room, or when the client has asked for
/// nothing for as long as an HTTP/1 client may. PINGs do not count: they keep up connections that
/// nobody needs.
async fn ended(
    requests: &watch::Receiver<Requests>,
    slot: &Slot,
    timeouts: &Timeouts,
    shutdown: &Shutdown,
) {
    let (mut requests, mut limit) = (requests.clone(), timeouts.request_head);
    loop {
        let busy = requests.wait_for(|now| now.in_flight == 0);
        tokio::select! {
            () = shutdown.begun() => return,
            now = busy => if now.is_ok_and(|now| now.begun > 0) { limit = timeouts.keep_alive },
        }
        let idle = slot.idle();
        tokio::select! {
            () = shutdown.begun() => return,
            () = sleep(limit) => return,
            () = idle.ended() => return,
            _ = requests.changed() => {}
        }
    }
}

async fn answer(exchange: &Exchange, number: u64, request: Request<Incoming>) -> Response<Body> {
    let mut response = match head(&request) {
        Ok(head) => {
            let time = exchange.generation.timeouts.request_body;
            let mut body = Http2Body {
                incoming: request.into_body(),
                time,
            };
            exchange.answer(number, head, &mut body).await
        }
        Err(rejection) => exchange.refuse(number, rejection),
    };
    // HTTP/2 knows no such field (RFC 9113 §8.2.2).
    response.headers_mut().remove(http::header::CONNECTION);
    response
}

/// The head as the gate reads it.
fn head(request: &Request<Incoming>) -> Result<Head, Rejection> {
    let fields = request.headers();
    let path = request
        .uri()
        .path_and_query()
        .ok_or(Rejection::MalformedHead)?;
    let target = Target::parse(Bytes::copy_from_slice(path.as_str().as_bytes()))
        .ok_or(Rejection::MalformedHead)?;
    let one = |name: HeaderName| fields.get(name).cloned();
    let framing = match one(CONTENT_LENGTH) {
        None if http_body::Body::is_end_stream(request.body()) => Framing::Length(0),
        None => Framing::Unknown,
        Some(length) => Framing::Length(
            length
                .to_str()
                .ok()
                .and_then(|text| text.parse().ok())
                .ok_or(Rejection::MalformedFraming)?,
        ),
    };
    let method = Method::parse(request.method().as_str().as_bytes());
    if matches!(method, Method::Get | Method::Head) && framing != Framing::Length(0) {
        return Err(Rejection::MalformedFraming);
    }
    Ok(Head {
        version: Version::H2,
        method,
        host: host(
            request
                .uri()
                .authority()
                .map(|authority| authority.as_str()),
            fields,
        ),
        framing,
        expects_continue: false,
        keep_alive: true,
        accept: one(ACCEPT),
        content_type: one(CONTENT_TYPE),
        user_agent: one(USER_AGENT),
        size: size(&target, fields),
        target,
    })
}

/// `:authority` and Host must agree where both are there (RFC 9113 §8.3.1).
fn host(authority: Option<&str>, fields: &HeaderMap) -> Host {
    let mut hosts = fields.get_all(HOST).iter().map(HeaderValue::as_bytes);
    let one = |value: &[u8]| Host::One(Bytes::copy_from_slice(value));
    match (authority, hosts.next(), hosts.next()) {
        (None, None, _) => Host::Absent,
        (Some(authority), None, _) => one(authority.as_bytes()),
        (None, Some(host), None) => one(host),
        (Some(authority), Some(host), None) if authority.as_bytes().eq_ignore_ascii_case(host) => {
            one(host)
        }
        _ => Host::Several,
    }
}

/// As RFC 9113 §6.5.2 counts, without its 32 bytes a field.
fn size(target: &Target, fields: &HeaderMap) -> Size {
    let lines = || {
        fields
            .iter()
            .map(|(name, value)| name.as_str().len() + value.len())
    };
    Size {
        head: target.bytes + lines().sum::<usize>(),
        fields: fields.len(),
        largest_field: lines().max().unwrap_or(0),
    }
}
