//! An HTTP/1 connection: requests are read, answered and written one after the other.

use std::io;
use std::pin::pin;
use std::time::Duration;

use tokio::time::{Instant, timeout_at};

use super::body::Http1Body;
use super::connection::{Connection, HeadError};
use super::handshake::Stream;
use super::head;
use super::limit::ConnectionPermit;
use super::writer::{self, ResponseOptions};
use crate::base::deadline::within;
use crate::base::head::{Head, Method, Version};
use crate::base::rejection::Rejection;
use crate::base::shutdown::Shutdown;
use crate::proxy::exchange::Exchange;

/// Serves the connection until it closes.
pub(super) async fn serve(
    mut exchange: Exchange,
    stream: Stream,
    permit: ConnectionPermit,
    shutdown: Shutdown,
) {
    let mut connection = Connection::new(stream);
    // One future for all waits: registering and deregistering would take a lock for each request.
    let mut closing = pin!(async {
        tokio::select! {
            () = permit.evicted() => {}
            () = shutdown.grace_period_over() => {}
        }
    });
    let opened = Instant::now();
    let mut number = 0;
    let unread = loop {
        let waiting = wait_for_request(&exchange, &mut connection, &permit, number == 0);
        let has_begun = tokio::select! {
            biased;
            has_begun = waiting => has_begun,
            () = &mut closing => false,
        };
        if !has_begun {
            break false;
        }
        exchange.renew();
        let mut time = exchange.generation.timeouts.request_head;
        if number == 0 {
            // The first head of a connection must be complete within one head timeout from its
            // start.
            time = time.saturating_sub(opened.elapsed());
        }
        let Some(head) = next_head(&exchange, &mut connection, time).await else {
            break false;
        };
        number += 1;
        // Boxed, because idle connections would keep the memory for it.
        let answered = answer(&exchange, &mut connection, number, head, &shutdown);
        match Box::pin(answered).await {
            Ok(AfterResponse::Next) => {}
            Ok(AfterResponse::Close { unread }) => break unread,
            // The response broke off. Without close_notify the client knows that it is incomplete.
            Err(_) => return,
        }
    };
    connection.close(unread).await;
}

/// What follows a response on its connection.
enum AfterResponse {
    Next,
    Close {
        /// The client may still be sending bytes that nobody reads.
        unread: bool,
    },
}

/// Waits for the next request to begin. Returns `false` if the connection has closed, or at the
/// timeout.
async fn wait_for_request(
    exchange: &Exchange,
    connection: &mut Connection,
    permit: &ConnectionPermit,
    first: bool,
) -> bool {
    let timeouts = &exchange.generation.timeouts;
    let timeout = if first {
        timeouts.request_head
    } else {
        timeouts.keep_alive
    };
    let now = Instant::now();
    let _idle = permit.idle(now);
    matches!(
        timeout_at(now + timeout, connection.wait_for_request()).await,
        Ok(Ok(true))
    )
}

/// Reads the next head, or returns why it is refused. Returns `None` if the connection has closed.
async fn next_head(
    exchange: &Exchange,
    connection: &mut Connection,
    time: Duration,
) -> Option<Result<Head, Rejection>> {
    match connection
        .read_head(&exchange.generation.limits, time)
        .await
    {
        Ok(bytes) => Some(head::parse(&bytes)),
        Err(HeadError::Rejected(rejection)) => Some(Err(rejection)),
        Err(HeadError::Closed) => None,
    }
}

/// Answers one request and writes the response.
async fn answer(
    exchange: &Exchange,
    connection: &mut Connection,
    number: u64,
    head: Result<Head, Rejection>,
    shutdown: &Shutdown,
) -> io::Result<AfterResponse> {
    let (response, options, unread) = match head {
        Err(rejection) => {
            let options = ResponseOptions {
                version: Version::Http11,
                head_only: false,
                keep_alive: false,
            };
            (exchange.refuse(number, rejection), options, true)
        }
        Ok(head) => {
            let head_only = head.method == Method::Head;
            let options = ResponseOptions {
                version: head.version,
                head_only,
                keep_alive: head.keep_alive,
            };
            let mut body =
                Http1Body::new(connection, &head, exchange.generation.timeouts.request_body);
            let response = exchange.answer(number, head, &mut body).await;
            let unread = !body.is_complete();
            (response, options, unread)
        }
    };
    let closing = shutdown.has_begun() || exchange.is_outdated();
    let options = ResponseOptions {
        keep_alive: options.keep_alive && !unread && !closing,
        ..options
    };
    let writing = writer::write(connection, response, options);
    let is_kept = within(exchange.generation.timeouts.response_write, writing).await??;
    Ok(if is_kept {
        AfterResponse::Next
    } else {
        AfterResponse::Close { unread }
    })
}
