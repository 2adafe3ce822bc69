//! The signal that the process shuts down, and until when its parts may complete their work.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Reports whether the shutdown has begun, or waits for it. It begins once. Clones share the state.
#[derive(Clone)]
pub struct Shutdown {
    /// The deadline of the shutdown, once it has begun.
    begun: watch::Receiver<Option<Instant>>,
    /// Read for each request, because it is cheaper than the channel.
    flag: Arc<AtomicBool>,
}

/// Begins the shutdown.
pub struct Trigger {
    begun: watch::Sender<Option<Instant>>,
    flag: Arc<AtomicBool>,
}

/// Returns a connected trigger and receiver.
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

/// How long a client may take to notice that its connection closes: to send what it has begun to
/// send, and to read what is written.
pub const GRACE_PERIOD: Duration = Duration::from_secs(2);

impl Shutdown {
    /// Returns whether the shutdown has begun.
    pub fn has_begun(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Returns once the shutdown has begun.
    pub async fn begun(&self) {
        // An error means that the trigger was dropped, which ends the process, too.
        _ = self.begun.clone().wait_for(Option::is_some).await;
    }

    /// Returns at the end of the grace period after the shutdown has begun. A connection without a
    /// request waits for it, because a request that was on its way when the shutdown began would be
    /// lost if the connection closed at once.
    pub async fn grace_period_over(&self) {
        self.begun().await;
        let deadline = self.deadline();
        sleep_until(deadline.min(Instant::now() + GRACE_PERIOD)).await;
    }

    /// Returns when requests in flight are cut, or the current time if the shutdown has not begun.
    pub fn deadline(&self) -> Instant {
        self.begun.borrow().unwrap_or_else(Instant::now)
    }
}
