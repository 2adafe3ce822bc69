//! An HTTP/2 connection: the h2 crate implements the protocol, and the same gate judges the
//! requests.
//!
//! Each request is a task of its own (`stream`), and the connection is another one (`session`).

mod budget;
pub mod frames;
mod head;
mod observed;
mod observer;
mod session;
mod stream;

use h2::server::Builder;
use tokio::time::{Instant, timeout};

use self::observed::{ObservedStream, SharedObserver};
use self::session::Session;
use super::connection::Connection;
use super::handshake::Stream;
use super::limit::ConnectionPermit;
use super::return_on_drop::{ReturnOnDrop, return_on_drop};
use crate::base::rejection::Rejection;
use crate::base::shutdown::Shutdown;
use crate::config::Limits;
use crate::proxy::exchange::Exchange;

/// Concurrent requests of one connection. Clients assume as many before they have read the SETTINGS
/// (RFC 9113 §6.5.2); with fewer, part of their first burst would be refused.
const STREAMS: u32 = 100;
/// Body bytes that may arrive before they are read, of one request and of all requests together.
const WINDOW: u32 = 64 << 10;
const WINDOW_OF_ALL: u32 = 1 << 20;
/// Response bytes per stream that the library may hold.
const UNSENT: usize = 64 << 10;
/// Streams that the client may reset before they are accepted (rapid reset, CVE-2023-44487), and
/// streams that its own errors may reset (CVE-2025-8671).
const RESETS: usize = 20;
const RESETS_BY_ERRORS: usize = 64;

/// Serves the connection until it closes.
pub(super) async fn serve(
    exchange: Exchange,
    stream: Stream,
    permit: ConnectionPermit,
    shutdown: Shutdown,
) {
    let (stream, returned) = return_on_drop(stream);
    // Boxed, so that HTTP/1 connections do not reserve memory for it.
    let unread = Box::pin(run(exchange, stream, &permit, &shutdown)).await;
    if let Ok(stream) = returned.await {
        // A client that receives GOAWAY may be in the middle of sending.
        Connection::new(stream).close(unread).await;
    }
}

/// Serves the connection except for its close. Returns `true` if the client may be in the middle of
/// sending.
async fn run(
    exchange: Exchange,
    stream: ReturnOnDrop<Stream>,
    permit: &ConnectionPermit,
    shutdown: &Shutdown,
) -> bool {
    let observer = SharedObserver::new();
    let io = ObservedStream::new(stream, observer.clone());
    let handshake = builder(&exchange.generation.limits).handshake(io);
    let preface = timeout(exchange.generation.timeouts.request_head, handshake);
    let idle = permit.idle(Instant::now());
    let connection = tokio::select! {
        result = preface => match result {
            Ok(Ok(connection)) => connection,
            Ok(Err(error)) if error.is_io() => return false,
            Ok(Err(_)) => {
                exchange.record_refusal(1, Rejection::MalformedHead);
                return true;
            }
            Err(_) => return false,
        },
        () = permit.evicted() => return false,
        // There is nothing to complete, and a client that has sent no preface would delay the
        // shutdown.
        () = shutdown.grace_period_over() => return false,
    };
    drop(idle);
    Session::new(exchange, observer, connection)
        .run(permit, shutdown)
        .await
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
