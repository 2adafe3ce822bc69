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
use super::writer::{self, Form};
use crate::base::deadline::within;
use crate::base::head::{Head, Method, Version};
use crate::base::rejection::Rejection;
use crate::base::shutdown::Shutdown;
use crate::proxy::exchange::Exchange;

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
            () = shutdown.grace_period() => {}
        }
    });
    let opened = Instant::now();
    let mut number = 0;
    let unread = loop {
        let wait_for_request = wait_for_request(&exchange, &mut connection, &permit, number == 0);
        let wait_for_request = tokio::select! {
            biased;
            wait_for_request = wait_for_request => wait_for_request,
            () = &mut closing => false,
        };
        if !wait_for_request {
            break false;
        }
        exchange.renew();
        let mut time = exchange.generation.timeouts.request_head;
        if number == 0 {
            // The first head of a connection must be complete within one head timeout from its
            // start.
            time = time.saturating_sub(opened.elapsed());
        }
        let Some(next) = next(&exchange, &mut connection, time).await else {
            break false;
        };
        number += 1;
        // Boxed, because idle connections would keep the memory for it.
        let answered = answer(&exchange, &mut connection, number, next, &shutdown);
        match Box::pin(answered).await {
            Ok(AfterResponse::Next) => {}
            Ok(AfterResponse::Close { unread }) => break unread,
            // The response broke off. Without close_notify the client knows that it is incomplete.
            Err(_) => return,
        }
    };
    connection.close(unread).await;
}

enum AfterResponse {
    Next,
    Close {
        /// The client may still be sending bytes that nobody reads.
        unread: bool,
    },
}

/// Waits for the next request. Returns `false` if the connection has closed, or at the timeout.
async fn wait_for_request(
    exchange: &Exchange,
    connection: &mut Connection,
    permit: &ConnectionPermit,
    first: bool,
) -> bool {
    let timeouts = &exchange.generation.timeouts;
    let limit = if first {
        timeouts.request_head
    } else {
        timeouts.keep_alive
    };
    let now = Instant::now();
    let _idle = permit.idle(now);
    matches!(
        timeout_at(now + limit, connection.wait_for_request()).await,
        Ok(Ok(true))
    )
}

/// Returns the next head, or why it is refused. Returns `None` if the connection has closed.
async fn next(
    exchange: &Exchange,
    connection: &mut Connection,
    time: Duration,
) -> Option<Result<Head, Rejection>> {
    match connection.head(&exchange.generation.limits, time).await {
        Ok(bytes) => Some(head::parse(&bytes)),
        Err(HeadError::Rejected(rejection)) => Some(Err(rejection)),
        Err(HeadError::Gone) => None,
    }
}

async fn answer(
    exchange: &Exchange,
    connection: &mut Connection,
    number: u64,
    next: Result<Head, Rejection>,
    shutdown: &Shutdown,
) -> io::Result<AfterResponse> {
    let (response, form, unread) = match next {
        Err(rejection) => {
            let form = Form {
                version: Version::Http11,
                head_only: false,
                keep_alive: false,
            };
            (exchange.refuse(number, rejection), form, true)
        }
        Ok(head) => {
            let head_only = head.method == Method::Head;
            let form = Form {
                version: head.version,
                head_only,
                keep_alive: head.keep_alive,
            };
            let mut body =
                Http1Body::new(connection, &head, exchange.generation.timeouts.request_body);
            let response = exchange.answer(number, head, &mut body).await;
            let unread = !body.ended();
            (response, form, unread)
        }
    };
    let ending = shutdown.has_begun() || exchange.is_outdated();
    let keep_alive = form.keep_alive && !unread && !ending;
    let writing = writer::write(connection, response, Form { keep_alive, ..form });
    let kept = within(exchange.generation.timeouts.response_write, writing).await??;
    Ok(if kept {
        AfterResponse::Next
    } else {
        AfterResponse::Close { unread }
    })
}
