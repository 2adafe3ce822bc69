//! The TCP connection under TLS: counts what passes, and can be asked whether it still lives.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

use super::records::Records;

/// What TLS reads from and writes to.
pub(super) struct Wire {
    tcp: Arc<TcpStream>,
    records: Records,
    counts: Arc<Counts>,
}

/// Looks at the connection from outside, without keeping it open.
pub(super) struct Watch {
    tcp: Weak<TcpStream>,
    counts: Arc<Counts>,
}

#[derive(Default)]
struct Counts {
    written: AtomicU64,
    handshakes: AtomicU64,
}

/// What has passed so far. Goes on to be known once the connection is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Passed {
    /// Bytes written to the socket.
    pub(super) written: u64,
    /// TLS records of handshakes that came.
    pub(super) handshakes: u64,
}

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> (Self, Watch) {
        let (tcp, counts) = (Arc::new(tcp), Arc::<Counts>::default());
        let watch = Watch {
            tcp: Arc::downgrade(&tcp),
            counts: counts.clone(),
        };
        let wire = Self {
            tcp,
            records: Records::default(),
            counts,
        };
        (wire, watch)
    }
}

impl Watch {
    pub(super) fn passed(&self) -> Passed {
        Passed {
            written: self.counts.written.load(Ordering::Relaxed),
            handshakes: self.counts.handshakes.load(Ordering::Relaxed),
        }
    }

    /// Whether nothing has arrived on this idle connection: not its end, and no data either, which
    /// nobody asked for. Asks the socket itself, which knows before the runtime does.
    pub(super) fn is_quiet(&self) -> bool {
        let Some(tcp) = self.tcp.upgrade() else {
            return false;
        };
        let peeked = SockRef::from(&*tcp).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            ready!(this.tcp.poll_read_ready(cx))?;
            let free = buffer.initialize_unfilled();
            match this.tcp.try_read(free) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
                    let handshakes = this.records.handshakes(&free[..read]);
                    let counts = &this.counts;
                    counts.handshakes.fetch_add(handshakes, Ordering::Relaxed);
                    buffer.advance(read);
                    return Poll::Ready(Ok(()));
                }
            }
        }
    }
}

impl Wire {
    fn poll_try(
        &self,
        cx: &mut Context<'_>,
        write: impl Fn(&TcpStream) -> io::Result<usize>,
    ) -> Poll<io::Result<usize>> {
        loop {
            ready!(self.tcp.poll_write_ready(cx))?;
            match write(&self.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    let written = *result.as_ref().unwrap_or(&0) as u64;
                    self.counts.written.fetch_add(written, Ordering::Relaxed);
                    return Poll::Ready(result);
                }
            }
        }
    }
}

impl AsyncWrite for Wire {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |tcp| tcp.try_write(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.poll_try(cx, |tcp| tcp.try_write_vectored(slices))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(SockRef::from(&*self.tcp).shutdown(std::net::Shutdown::Write))
    }
}
