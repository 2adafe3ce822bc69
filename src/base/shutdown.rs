//! The end of the process, known to all its parts.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

/// Begins once; parts ask whether it has, or wait for it. Clones share it.
#[derive(Clone)]
pub struct Shutdown {
    /// The time by which all must have ended.
    begun: watch::Receiver<Option<Instant>>,
    /// Asked for each request: cheaper than the channel.
    flag: Arc<AtomicBool>,
}

/// Begins the shutdown.
pub struct Trigger {
    begun: watch::Sender<Option<Instant>>,
    flag: Arc<AtomicBool>,
}

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
    /// What is in flight may take `time` to end.
    pub fn begin(&self, time: Duration) {
        self.flag.store(true, Ordering::Relaxed);
        self.begun.send_replace(Some(Instant::now() + time));
    }
}

/// How long a client may take to notice that it is to go: to send what it had begun to send, and to
/// read what is written.
pub const GRACE_PERIOD: Duration = Duration::from_secs(2);

impl Shutdown {
    pub fn has_begun(&self) -> bool {
        self.flag.load(Ordering::Relaxed)
    }

    /// Returns once the shutdown has begun.
    pub async fn begun(&self) {
        // An error means that the trigger is gone: then nothing goes on either.
        _ = self.begun.clone().wait_for(Option::is_some).await;
    }

    /// Returns when a connection without a request has nothing more to wait for. A request that was
    /// on its way when the shutdown began is still answered: closed at once, it would be lost.
    pub async fn grace_period(&self) {
        self.begun().await;
        let deadline = self.deadline();
        sleep_until(deadline.min(Instant::now() + GRACE_PERIOD)).await;
    }

    /// When what is in flight is cut. Now, where the shutdown has not begun.
    pub fn deadline(&self) -> Instant {
        self.begun.borrow().unwrap_or_else(Instant::now)
    }
}
