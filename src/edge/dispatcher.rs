//! Gives each new connection to the worker with the fewest connections.
//!
//! All workers wait on the same listeners, and the one that wakes first takes all connections that
//! wait there. Without dispatching, a burst of devices would be served by one thread while the
//! others sleep.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::net::TcpStream;
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::limit::ConnectionPermit;

/// The inboxes of all workers.
#[derive(Clone)]
pub struct Dispatcher(Arc<[WorkerInbox]>);

struct WorkerInbox {
    open: Arc<AtomicUsize>,
    // Unbounded, because every connection in it holds a permit, which bounds their number.
    sender: UnboundedSender<Dispatched>,
}

/// A connection on its way to another thread. Its socket belongs to no runtime.
pub struct Dispatched {
    tcp: std::net::TcpStream,
    from: SocketAddr,
    permit: ConnectionPermit,
    load: WorkerLoad,
}

/// A new connection with everything that it holds.
pub(super) struct NewConnection {
    pub(super) tcp: TcpStream,
    pub(super) from: SocketAddr,
    pub(super) permit: ConnectionPermit,
    pub(super) load: WorkerLoad,
}

/// Counts as one connection of a worker until it is dropped.
pub(super) struct WorkerLoad(Arc<AtomicUsize>);

impl Dispatcher {
    /// Returns the dispatcher for `workers` workers, and for each of them the receiver of its inbox.
    pub fn new(workers: usize) -> (Self, Vec<UnboundedReceiver<Dispatched>>) {
        let inbox = || {
            let (sender, receiver) = unbounded_channel();
            let open = Arc::default();
            (WorkerInbox { open, sender }, receiver)
        };
        let (inboxes, receivers): (Vec<_>, _) = (0..workers).map(|_| inbox()).unzip();
        (Self(inboxes.into()), receivers)
    }

    /// Returns the connection if `worker` serves it itself, or `None` if another worker received it.
    pub(super) fn assign(
        &self,
        worker: usize,
        tcp: TcpStream,
        from: SocketAddr,
        permit: ConnectionPermit,
    ) -> Option<NewConnection> {
        let open = |index: &usize| self.0[*index].open.load(Ordering::Relaxed);
        // If several have the fewest, the connection stays where it is.
        let least = (0..self.0.len()).min_by_key(|index| (open(index), *index != worker))?;
        let inbox = &self.0[least];
        let load = WorkerLoad::of(&inbox.open);
        if least == worker {
            return Some(NewConnection {
                tcp,
                from,
                permit,
                load,
            });
        }
        let dispatched = Dispatched {
            tcp: tcp.into_std().ok()?,
            from,
            permit,
            load,
        };
        // A worker that is shutting down accepts no more connections. Then it stays here.
        let refused = inbox.sender.send(dispatched).err()?;
        refused.0.into_current_runtime().ok()
    }
}

impl Dispatched {
    /// Moves the connection into the runtime of the calling thread.
    pub(super) fn into_current_runtime(self) -> io::Result<NewConnection> {
        let Self {
            tcp,
            from,
            permit,
            load,
        } = self;
        let tcp = TcpStream::from_std(tcp)?;
        Ok(NewConnection {
            tcp,
            from,
            permit,
            load,
        })
    }
}

impl WorkerLoad {
    fn of(open: &Arc<AtomicUsize>) -> Self {
        open.fetch_add(1, Ordering::Relaxed);
        Self(open.clone())
    }
}

impl Drop for WorkerLoad {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}
