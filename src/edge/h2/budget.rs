//! How many frames without work a client may send: a burst, a rate, and some more for each request
//! and each DATA frame that it receives.

use tokio::time::Instant;

/// The remaining frames of the types SETTINGS, PING, WINDOW_UPDATE, PRIORITY and RST_STREAM, empty
/// frames and unknown ones.
pub(super) struct FrameBudget {
    left: u32,
    filled: Instant,
}

const AT_ONCE: u32 = 1_000;
const PER_SECOND: u32 = 100;
const EARNED: u32 = 4;

impl FrameBudget {
    pub(super) fn new(now: Instant) -> Self {
        Self {
            left: AT_ONCE,
            filled: now,
        }
    }

    pub(super) fn earn(&mut self) {
        self.left = (self.left + EARNED).min(AT_ONCE);
    }

    /// Reads the clock only if no frame is left.
    pub(super) fn spend(&mut self, now: impl FnOnce() -> Instant) -> bool {
        if self.left == 0 {
            let now = now();
            let earned = (now - self.filled).as_millis() * u128::from(PER_SECOND) / 1_000;
            self.left = u32::try_from(earned).unwrap_or(AT_ONCE).min(AT_ONCE);
            self.filled = now;
        }
        let may = self.left > 0;
        self.left = self.left.saturating_sub(1);
        may
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
        assert_eq!(spend(now, 2_000, 500), AT_ONCE as usize);
        assert_eq!(spend(now, 100, 0), 0);
        now += Duration::from_secs(1);
        assert_eq!(spend(now, 2_000, 0), PER_SECOND as usize);
        assert_eq!(spend(now, 2_000, 10), 10 * EARNED as usize);
        now += Duration::from_secs(3_600);
        assert_eq!(spend(now, 2_000, 0), AT_ONCE as usize);
    }
}
