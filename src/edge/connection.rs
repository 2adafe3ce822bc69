//! A public connection after its handshake: the bytes that have arrived, and deadlines for those
//! that have not.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::task::ready;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

use super::handshake::Stream;
use super::head::HeadScanner;
use super::linger::{LINGER_BYTES, LINGER_TIME};
use crate::base::deadline::within;
use crate::base::rejection::Rejection;
use crate::config::Limits;

/// The stream and the bytes that were read from it and not used yet.
pub(super) struct Connection {
    stream: Stream,
    /// Empty and without memory while the connection is idle.
    buffer: BytesMut,
}

/// Enough for a short GET and for most PKIOperations by POST with their body. A longer head gets
/// all of `LONG` at once, so that its bytes are moved once and not at each doubling.
const SHORT: usize = 6 << 10;
const LONG: usize = 80 * 1_024;

/// How long `close` waits if everything was read, so that only the close of the client is missing.
const CLOSE_TIME: Duration = Duration::from_secs(2);

impl Connection {
    pub(super) fn new(stream: Stream) -> Self {
        Self {
            stream,
            buffer: BytesMut::new(),
        }
    }

    /// Returns how many bytes have arrived and are not used yet.
    pub(super) fn buffered(&self) -> usize {
        self.buffer.len()
    }

    /// Waits until the next request has begun. Returns `false` if the client has closed the
    /// connection instead.
    pub(super) async fn wait_for_request(&mut self) -> io::Result<bool> {
        Ok(!self.buffer.is_empty() || self.fill(SHORT).await? > 0)
    }

    /// Reads the next head, all of it within `time`.
    pub(super) async fn read_head(
        &mut self,
        limits: &Limits,
        time: Duration,
    ) -> Result<Bytes, HeadError> {
        within(time, self.read_whole_head(limits))
            .await
            .unwrap_or(Err(HeadError::Rejected(Rejection::HeadTimeout)))
    }

    async fn read_whole_head(&mut self, limits: &Limits) -> Result<Bytes, HeadError> {
        let mut scanner = HeadScanner::default();
        loop {
            if let Some(range) = scanner
                .advance(&self.buffer, limits)
                .map_err(HeadError::Rejected)?
            {
                return Ok(self.take(range.end).slice(range.start..));
            }
            let wanted = if self.buffer.len() < SHORT {
                SHORT
            } else {
                LONG
            };
            if self.fill(wanted).await.map_err(|_| HeadError::Closed)? == 0 {
                return Err(HeadError::Closed);
            }
        }
    }

    /// Reads once, with room for `wanted` bytes in the buffer in total. Returns 0 if the client has
    /// closed the connection. Waits without a buffer if it was empty, because most connections are
    /// idle.
    pub(super) async fn fill(&mut self, wanted: usize) -> io::Result<usize> {
        poll_fn(|cx| {
            let (tcp, tls) = self.stream.get_ref();
            // Bytes that TLS has decrypted already do not wait for the socket.
            if tls.wants_read() {
                ready!(tcp.poll_read_ready(cx))?;
            }
            let room = wanted.saturating_sub(self.buffer.len()).max(SHORT / 2);
            self.buffer.reserve(room);
            let read = pin!(self.stream.read_buf(&mut self.buffer)).poll(cx);
            if read.is_pending() && self.buffer.is_empty() {
                self.buffer = BytesMut::new();
            }
            read
        })
        .await
    }

    /// Takes the first `length` bytes of those that have arrived.
    pub(super) fn take(&mut self, length: usize) -> Bytes {
        self.buffer.split_to(length).freeze()
    }

    pub(super) fn buffer(&mut self) -> &mut BytesMut {
        &mut self.buffer
    }

    pub(super) async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.stream.write_all(bytes).await
    }

    pub(super) async fn flush(&mut self) -> io::Result<()> {
        self.stream.flush().await
    }

    /// Closes so that the client can read the last response: close_notify and FIN first; then what
    /// it still sends is read and discarded. Closing a socket with unread bytes would reset the
    /// connection, and a reset discards an unread response (RFC 9112 §9.6).
    ///
    /// `unread`: the client may be in the middle of sending.
    pub(super) async fn close(mut self, unread: bool) {
        let time = if unread { LINGER_TIME } else { CLOSE_TIME };
        self.buffer = BytesMut::new();
        let lingering = async {
            self.stream.shutdown().await?;
            let (tcp, _tls) = self.stream.get_mut();
            let mut discarded = vec![0; 16 << 10];
            let mut left = LINGER_BYTES;
            while left > 0 {
                match tcp.read(&mut discarded).await? {
                    0 => break,
                    read => left = left.saturating_sub(read),
                }
            }
            io::Result::Ok(())
        };
        // A timeout or an error changes nothing: the connection closes either way.
        _ = timeout(time, lingering).await;
    }
}

/// The reason why there is no next head.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum HeadError {
    Rejected(Rejection),
    /// The client closed the connection within a head, so there is nobody to answer.
    Closed,
}
