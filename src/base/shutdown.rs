//! The shutdown of the process, as a signal to all its parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Reports whether the shutdown has begun, or waits for it. It begins once; clones share it.
#[derive(Clone)]
pub struct Shutdown {
    /// The time by which everything must be complete, once the shutdown has begun.
    begun: watch::Receiver<Option<Instant>>,
    /// Read for each request: cheaper than the channel.
    flag: Arc<AtomicBool>,
}

/// Begins the shutdown.
pub struct Trigger {
    begun: watch::Sender<Option<Instant>>,
    flag: Arc<AtomicBool>,
}

/// Creates a trigger and the signal that it begins.
pub fn channel() -> (Trigger, Shutdown) {
    let (sender, receiver) = watch::channel(None);
    let flag = Arc::new(AtomicBool::new(false));
    (
        Trigger {
            begun: sender,
            flag: flag.clone(),
        },
        Shutdown {
            begun: receiver,
            flag,
        },
    )
}

impl Trigger {
    /// Begins the shutdown. Requests in flight may take `time` to complete.
    pub fn begin(&self, time: Duration) {
        self.flag.store(true, Ordering::Relaxed);
        self.begun.send_replace(Some(Instant::now() + time));
    }
}

/// How long a client may take to notice the shutdown: to send the rest of a request that it has
/// begun, and to read what is written.
pub const GRACE_PERIOD: Duration = Duration::from_secs(2);

impl Shutdown {
    pub fn has_begun(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Returns once the shutdown has begun.
    pub async fn begun(&self) {
        // An error means that the trigger is dropped, and the process shuts down too.
        _ = self.begun.clone().wait_for(Option::is_some).await;
    }

    /// Returns when a connection without a request has nothing more to wait for. A request that was
    /// on its way when the shutdown began still gets its response: it would be lost if the
    /// connection closed at once.
    pub async fn grace_period(&self) {
        self.begun().await;
        let deadline = self.deadline();
        sleep_until(deadline.min(Instant::now() + GRACE_PERIOD)).await;
    }

    /// Returns the time at which requests in flight are cut off: now, if the shutdown has not begun.
    pub fn deadline(&self) -> Instant {
        self.begun.borrow().unwrap_or_else(Instant::now)
    }
}
