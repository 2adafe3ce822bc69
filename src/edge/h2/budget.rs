//! Limits the frames without work that a client may send, by a token bucket: a burst, a rate, and
//! some more for each request that it sends and each DATA frame that it receives.

use tokio::time::Instant;

/// The remaining frames of the types SETTINGS, PING, WINDOW_UPDATE, PRIORITY and RST_STREAM, empty
/// frames and unknown ones.
pub(super) struct FrameBudget {
    left: u32,
    filled: Instant,
}

const BURST: u32 = 1_000;
const PER_SECOND: u32 = 100;
const PER_WORK: u32 = 4;

impl FrameBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: BURST,
            filled: now,
        }
    }

    /// Adds the frames that a request or a DATA frame allows.
    pub(super) fn earn(&mut self) {
        self.left = (self.left + PER_WORK).min(BURST);
    }

    /// Counts one frame. Returns `false` if the budget is exceeded. Reads the clock only if no frame
    /// is left.
    pub(super) fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let earned = (now - self.filled).as_millis() * u128::from(PER_SECOND) / 1_000;
            self.left = u32::try_from(earned).unwrap_or(BURST).min(BURST);
            self.filled = now;
        }
        let allowed = self.left > 0;
        self.left = self.left.saturating_sub(1);
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_burst_passes_then_a_rate_and_work_earns_more() {
        let mut now = Instant::now();
        let mut budget = FrameBudget::new(now);
        let mut spend = |now: Instant, most: usize, work: u32| {
            (0..work).for_each(|_| budget.earn());
            (0..most).take_while(|_| budget.spend(|| now)).count()
        };
        assert_eq!(spend(now, 2_000, 500), BURST as usize);
        assert_eq!(spend(now, 100, 0), 0);
        now += Duration::from_secs(1);
        assert_eq!(spend(now, 2_000, 0), PER_SECOND as usize);
        assert_eq!(spend(now, 2_000, 10), 10 * PER_WORK as usize);
        now += Duration::from_secs(3_600);
        assert_eq!(spend(now, 2_000, 0), BURST as usize);
    }
}
