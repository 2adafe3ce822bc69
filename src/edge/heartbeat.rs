//! Whether every worker still turns: the watchdog asks, the loop that accepts connections answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// Clones share it.
#[derive(Clone)]
pub struct Heartbeat(Arc<Rounds>);

struct Rounds {
    asked: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<AtomicU64>,
}

/// One worker's end of it.
pub(super) struct WorkerHeartbeat {
    heartbeat: Heartbeat,
    worker: usize,
    asked: watch::Receiver<u64>,
}

impl Heartbeat {
    pub fn new(workers: usize) -> Self {
        Self(Arc::new(Rounds {
            asked: watch::Sender::new(0),
            answered: (0..workers).map(|_| AtomicU64::new(0)).collect(),
        }))
    }

    /// Whether all have answered since the last call. Asks them again.
    pub fn beats(&self) -> bool {
        let last = *self.0.asked.borrow();
        let is_last = |answered: &AtomicU64| answered.load(Ordering::Relaxed) == last;
        let all = self.0.answered.iter().all(is_last);
        self.0.asked.send_replace(last + 1);
        all
    }

    pub(super) fn of(&self, worker: usize) -> WorkerHeartbeat {
        WorkerHeartbeat {
            heartbeat: self.clone(),
            worker,
            asked: self.0.asked.subscribe(),
        }
    }
}

impl WorkerHeartbeat {
    /// Answers when it is asked, and returns then.
    pub(super) async fn answer(&mut self) {
        // It never ends: the other end is held here too.
        _ = self.asked.changed().await;
        let round = *self.asked.borrow_and_update();
        if let Some(answered) = self.heartbeat.0.answered.get(self.worker) {
            answered.store(round, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn one_that_does_not_answer_is_missed() {
        let heartbeat = Heartbeat::new(2);
        let (mut first, mut second) = (heartbeat.of(0), heartbeat.of(1));
        assert!(heartbeat.beats(), "nobody has been asked before");
        tokio::join!(first.answer(), second.answer());
        assert!(heartbeat.beats());
        first.answer().await;
        assert!(!heartbeat.beats());
        tokio::join!(first.answer(), second.answer());
        assert!(heartbeat.beats());
    }
}
