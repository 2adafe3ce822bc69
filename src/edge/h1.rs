//! An HTTP/1 connection: one request after the other, each read, answered and written in turn.

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
    // One for all waits: to enlist and to leave again would be a lock each for every request.
    let mut told_to_end = pin!(async {
        tokio::select! {
            () = permit.ended() => {}
            () = shutdown.farewell() => {}
        }
    });
    let opened = Instant::now();
    let mut number = 0;
    let unread = loop {
        let begun = begun(&exchange, &mut connection, &permit, number == 0);
        let begun = tokio::select! {
            biased;
            begun = begun => begun,
            () = &mut told_to_end => false,
        };
        if !begun {
            break false;
        }
        exchange.renew();
        let mut time = exchange.generation.timeouts.request_head;
        if number == 0 {
            // A new connection has the time of one head in all.
            time = time.saturating_sub(opened.elapsed());
        }
        let Some(next) = next(&exchange, &mut connection, time).await else {
            break false;
        };
        number += 1;
        // Boxed: idle connections would keep the room for it.
        let answered = answer(&exchange, &mut connection, number, next, &shutdown);
        match Box::pin(answered).await {
            Ok(After::Next) => {}
            Ok(After::Close { unread }) => break unread,
            // The answer broke off: without close_notify the client knows that it is not whole.
            Err(_) => return,
        }
    };
    connection.close(unread).await;
}

enum After {
    Next,
    Close {
        /// The client may still be sending what nobody reads.
        unread: bool,
    },
}

/// Waits for the next request. False where the connection has ended, or had its time.
async fn begun(
    exchange: &Exchange,
    connection: &mut Connection,
    permit: &ConnectionPermit,
    first: bool,
) -> bool {
    let timeouts = &exchange.generation.timeouts;
    let patience = if first {
        timeouts.request_head
    } else {
        timeouts.keep_alive
    };
    let now = Instant::now();
    let _idle = permit.idle(now);
    matches!(
        timeout_at(now + patience, connection.begun()).await,
        Ok(Ok(true))
    )
}

/// The next head, or why it is refused. None where the connection has ended.
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
) -> io::Result<After> {
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
        After::Next
    } else {
        After::Close { unread }
    })
}
