//! Reads the whole body of a request before NDES receives it, so that no slow client occupies one
//! of the few threads of NDES.

use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};

use super::connection::Connection;
use crate::base::buffers::Lease;
use crate::base::chunked::Chunked;
use crate::base::deadline::within;
use crate::base::head::{Framing, Head};
use crate::base::rejection::Rejection;
use crate::proxy::exchange::RequestBody;

/// The most bytes of the next request that are read while the client waits for a permit.
const NEXT_REQUEST: usize = 2_048;

/// The body of an HTTP/1 request: what follows the head on the connection.
pub(super) struct Http1Body<'c> {
    connection: &'c mut Connection,
    framing: Framing,
    expects_continue: bool,
    time: Duration,
    complete: bool,
}

impl<'c> Http1Body<'c> {
    pub(super) fn new(connection: &'c mut Connection, head: &Head, time: Duration) -> Self {
        let (framing, expects_continue) = (head.framing, head.expects_continue);
        Self {
            connection,
            framing,
            expects_continue,
            time,
            complete: framing == Framing::Length(0),
        }
    }

    /// Returns whether the whole body was read, so that the next head can follow.
    pub(super) fn is_complete(&self) -> bool {
        self.complete
    }

    async fn read_whole(&mut self, limit: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        if self.expects_continue && self.connection.buffered() == 0 {
            self.connection
                .write(b"HTTP/1.1 100 Continue\r\n\r\n")
                .await
                .map_err(aborted)?;
            self.connection.flush().await.map_err(aborted)?;
        }
        let body = match self.framing {
            Framing::Length(length) => self.read_length(length as usize, lease).await,
            Framing::Unknown => self.read_chunked(limit, lease).await,
        }?;
        self.complete = true;
        Ok(body)
    }

    async fn read_length(&mut self, length: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        let mut leased = 0;
        loop {
            let arrived = self.connection.buffered().min(length);
            lease.grow(arrived - leased)?;
            leased = arrived;
            if arrived == length {
                return Ok(self.connection.take(length));
            }
            // Asks for twice what has arrived, so that memory grows with what was sent and not with what was
            // announced.
            self.fill(length.min(arrived * 2 + 4_096)).await?;
        }
    }

    async fn read_chunked(&mut self, limit: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        let (mut chunks, mut body) = (Chunked::default(), BytesMut::new());
        loop {
            let before = body.len();
            let ended = chunks.decode(self.connection.buffer(), &mut body)?;
            if body.len() > limit {
                return Err(Rejection::BodyTooLarge);
            }
            lease.grow(body.len() - before)?;
            if ended {
                return Ok(body.freeze());
            }
            self.fill(16 << 10).await?;
        }
    }

    async fn fill(&mut self, wanted: usize) -> Result<(), Rejection> {
        match self.connection.fill(wanted).await {
            Ok(1..) => Ok(()),
            Ok(0) | Err(_) => Err(Rejection::BodyAborted),
        }
    }
}

impl RequestBody for Http1Body<'_> {
    async fn read(&mut self, limit: usize, lease: &mut Lease) -> Result<Bytes, Rejection> {
        if self.complete {
            return Ok(Bytes::new());
        }
        within(self.time, self.read_whole(limit, lease))
            .await
            .unwrap_or(Err(Rejection::BodyTimeout))
    }

    async fn left(&mut self) {
        // Bytes that arrive instead of the end belong to the next request.
        while self.connection.buffered() < NEXT_REQUEST {
            if self.fill(NEXT_REQUEST).await.is_err() {
                return;
            }
        }
        std::future::pending().await
    }
}

fn aborted(_: io::Error) -> Rejection {
    Rejection::BodyAborted
}
