//! Checks that every worker still runs: the watchdog asks, and the loop that accepts connections
//! answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::watch;

/// The questions to all workers and their answers. Clones share the state.
#[derive(Clone)]
pub struct Heartbeat(Arc<Rounds>);

struct Rounds {
    asked: watch::Sender<u64>,
    /// The last round that each worker has answered.
    answered: Vec<AtomicU64>,
}

/// The part of the heartbeat that one worker answers.
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

    /// Returns whether all workers have answered since the last call, and asks them again.
    pub fn all_answered(&self) -> bool {
        let last = *self.0.asked.borrow();
        let is_last = |answered: &AtomicU64| answered.load(Ordering::Relaxed) == last;
        let all = self.0.answered.iter().all(is_last);
        self.0.asked.send_replace(last + 1);
        all
    }

    /// Returns the part of `worker`, counted from 0.
    pub(super) fn of(&self, worker: usize) -> WorkerHeartbeat {
        WorkerHeartbeat {
            heartbeat: self.clone(),
            worker,
            asked: self.0.asked.subscribe(),
        }
    }
}

impl WorkerHeartbeat {
    /// Waits for the next question and answers it.
    pub(super) async fn answer(&mut self) {
        // This never fails, because the sender is held here too.
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
    async fn a_worker_that_does_not_answer_is_noticed() {
        let heartbeat = Heartbeat::new(2);
        let (mut first, mut second) = (heartbeat.of(0), heartbeat.of(1));
        assert!(heartbeat.all_answered(), "no worker was asked before");
        tokio::join!(first.answer(), second.answer());
        assert!(heartbeat.all_answered());
        first.answer().await;
        assert!(!heartbeat.all_answered());
        tokio::join!(first.answer(), second.answer());
        assert!(heartbeat.all_answered());
    }
}
