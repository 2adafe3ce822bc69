//! The TCP connection under TLS: counts what was written, and can be asked whether it still lives.

use std::io;
use std::mem::MaybeUninit;
use std::pin::Pin;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::task::{Context, Poll, ready};

use socket2::SockRef;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;

/// What TLS reads from and writes to.
pub(super) struct Wire(Arc<Link>);

struct Link {
    tcp: TcpStream,
    written: AtomicU64,
}

/// Looks at the connection from outside, without keeping it open.
#[derive(Clone)]
pub(super) struct Watch(Weak<Link>);

impl Wire {
    pub(super) fn new(tcp: TcpStream) -> (Self, Watch) {
        let link = Arc::new(Link {
            tcp,
            written: AtomicU64::new(0),
        });
        let watch = Watch(Arc::downgrade(&link));
        (Self(link), watch)
    }
}

impl Watch {
    /// Bytes written to the socket so far. Does not change any more once the connection is gone.
    pub(super) fn written(&self) -> Option<u64> {
        self.0
            .upgrade()
            .map(|link| link.written.load(Ordering::Relaxed))
    }

    /// Whether nothing has arrived on this idle connection: not its end, and no data either, which
    /// nobody asked for. Asks the socket itself, which knows before the runtime does.
    pub(super) fn is_quiet(&self) -> bool {
        let Some(link) = self.0.upgrade() else {
            return false;
        };
        let peeked = SockRef::from(&link.tcp).peek(&mut [MaybeUninit::uninit()]);
        matches!(peeked, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }
}

impl AsyncRead for Wire {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            ready!(self.0.tcp.poll_read_ready(cx))?;
            match self.0.tcp.try_read(buffer.initialize_unfilled()) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Poll::Ready(Err(error)),
                Ok(read) => {
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
            ready!(self.0.tcp.poll_write_ready(cx))?;
            match write(&self.0.tcp) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                result => {
                    let written = *result.as_ref().unwrap_or(&0) as u64;
                    self.0.written.fetch_add(written, Ordering::Relaxed);
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
        Poll::Ready(SockRef::from(&self.0.tcp).shutdown(std::net::Shutdown::Write))
    }
}
