//! Who serves a new connection: the worker with the fewest.
//!
//! All workers wait on the same listeners, and whoever wakes first takes all that wait there. A
//! burst of devices would end on one thread while the others sleep.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::slots::Slot;

/// The way to each worker.
#[derive(Clone)]
pub struct Shares(Arc<[Share]>);

struct Share {
    open: Arc<AtomicUsize>,
    // Not bounded by itself: what waits in it holds a slot.
    inbox: UnboundedSender<Handed>,
}

/// A connection on its way to another thread: its socket belongs to no runtime.
pub struct Handed {
    tcp: std::net::TcpStream,
    from: SocketAddr,
    slot: Slot,
    load: Load,
}

/// A new connection with all that it holds.
pub(super) struct Arrived {
    pub(super) tcp: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) slot: Slot,
    pub(super) load: Load,
}

/// Counts as one connection of a worker until it is dropped.
pub(super) struct Load(Arc<AtomicUsize>);

impl Shares {
    /// For so many workers, with the end that each of them reads.
    pub fn new(workers: usize) -> (Self, Vec<UnboundedReceiver<Handed>>) {
        let share = || {
            let (inbox, receiver) = unbounded_channel();
            let open = Arc::default();
            (Share { open, inbox }, receiver)
        };
        let (shares, receivers): (Vec<_>, _) = (0..workers).map(|_| share()).unzip();
        (Self(shares.into()), receivers)
    }

    /// The connection itself where `worker` is to serve it, none where another one got it.
    pub(super) fn assign(
        &self,
        worker: usize,
        tcp: TcpStream,
        from: SocketAddr,
        slot: Slot,
    ) -> Option<Arrived> {
        let open = |index: &usize| self.0[*index].open.load(Ordering::Relaxed);
        // Among equals it stays where it is.
        let least = (0..self.0.len()).min_by_key(|index| (open(index), *index != worker))?;
        let share = &self.0[least];
        let load = Load::of(&share.open);
        if least == worker {
            return Some(Arrived {
                tcp,
                from,
                slot,
                load,
            });
        }
        let handed = Handed {
            tcp: tcp.into_std().ok()?,
            from,
            slot,
            load,
        };
        // A worker that is about to end takes no more: then it stays here.
        let refused = share.inbox.send(handed).err()?;
        refused.0.arrive().ok()
    }
}

impl Handed {
    /// Takes the connection into the runtime of the calling thread.
    pub(super) fn arrive(self) -> io::Result<Arrived> {
        let Self {
            tcp,
            from,
            slot,
            load,
        } = self;
        let tcp = TcpStream::from_std(tcp)?;
        Ok(Arrived {
            tcp,
            from,
            slot,
            load,
        })
    }
}

impl Load {
    fn of(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
