//! The body of a response, which the task that sent the request reads.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::{Bytes, BytesMut};

use super::connection::Connection;
use super::head::Length;
use super::pool::IdleConnections;

/// The most bytes of a long body that are read at a time.
const PIECE: usize = 32 << 10;

/// The body of a response as it arrives. At its end the connection returns to the pool; dropping it
/// before closes the connection.
pub struct Incoming {
    /// `None` after the end of the body.
    connection: Option<Connection>,
    left: Length,
    keep_alive: bool,
    idle: Option<Arc<IdleConnections>>,
}

impl Incoming {
    pub(super) fn new(
        connection: Connection,
        left: Length,
        keep_alive: bool,
        idle: Option<Arc<IdleConnections>>,
    ) -> Self {
        Self {
            connection: Some(connection),
            left,
            keep_alive,
            idle,
        }
    }

    /// Returns the next bytes, which are never empty, or `None` at the end. Trailers are not passed
    /// on, because no SCEP response has one.
    pub fn poll_data(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<Option<Bytes>>> {
        loop {
            let Some(connection) = &mut self.connection else {
                return Poll::Ready(Ok(None));
            };
            let input = &mut connection.input;
            let data = match &mut self.left {
                Length::Left(left) => {
                    let piece = input
                        .len()
                        .min(usize::try_from(*left).unwrap_or(usize::MAX));
                    *left -= piece as u64;
                    let (data, ended) = (input.split_to(piece).freeze(), *left == 0);
                    if ended {
                        self.ended();
                    }
                    data
                }
                Length::Chunks(chunks) => {
                    let mut data = BytesMut::new();
                    let ended = chunks.decode(input, &mut data);
                    if ended.map_err(|_| io::Error::other("its chunks are malformed"))? {
                        self.ended();
                    }
                    data.freeze()
                }
                Length::UntilClosed => input.split().freeze(),
            };
            if !data.is_empty() {
                return Poll::Ready(Ok(Some(data)));
            }
            let Some(connection) = &mut self.connection else {
                continue;
            };
            if ready!(connection.poll_fill(cx, self.left.next_piece()))? == 0 {
                match self.left {
                    Length::UntilClosed => self.connection = None,
                    Length::Left(_) | Length::Chunks(_) => {
                        return Poll::Ready(Err(io::ErrorKind::UnexpectedEof.into()));
                    }
                }
            }
        }
    }

    /// Returns whether the last byte has been handed on. An end that is not announced is noticed
    /// later.
    pub fn is_end(&self) -> bool {
        self.connection.is_none()
    }

    /// Returns how many bytes are still to come, if that is known.
    pub fn left(&self) -> Option<u64> {
        match self.left {
            _ if self.is_end() => Some(0),
            Length::Left(left) => Some(left),
            Length::Chunks(_) | Length::UntilClosed => None,
        }
    }

    /// Returns the connection to the pool, unless bytes have arrived that no request asked for.
    fn ended(&mut self) {
        let Some(mut connection) = self.connection.take() else {
            return;
        };
        let surplus = connection.has_surplus();
        if let (true, false, Some(idle)) = (self.keep_alive, surplus, &self.idle) {
            connection.input = BytesMut::new();
            idle.put(connection);
        }
    }
}

impl Length {
    /// Returns how many bytes to read at a time.
    fn next_piece(&self) -> usize {
        match self {
            Self::Left(left) => usize::try_from(*left).map_or(PIECE, |left| left.min(PIECE)),
            Self::Chunks(_) | Self::UntilClosed => PIECE,
        }
    }
}
