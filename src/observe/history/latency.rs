//! A histogram of durations with a fixed number of classes, precise enough for a chart.

use std::time::Duration;

/// Counts of durations by class. There are four classes between each power of two of milliseconds
/// and the next, so a quantile is within a quarter of the true value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Latency([u32; CLASSES]);

/// Up to 2^18 ms, four minutes: PKIOperation has three by default.
const CLASSES: usize = 4 * 18;

impl Default for Latency {
    fn default() -> Self {
        Self([0; CLASSES])
    }
}

impl Latency {
    pub fn note(&mut self, took: Duration) {
        let count = &mut self.0[class(took)];
        *count = count.saturating_add(1);
    }

    pub fn add(&mut self, other: &Self) {
        for (count, more) in self.0.iter_mut().zip(other.0) {
            *count = count.saturating_add(more);
        }
    }

    /// Returns the milliseconds within which the share `quantile` (0 to 1) of all durations is, or
    /// `None` if there are no durations.
    pub fn quantile(&self, quantile: f64) -> Option<f64> {
        let all: u64 = self.0.iter().copied().map(u64::from).sum();
        let mut rank = quantile * all as f64;
        for (class, count) in self.0.iter().copied().enumerate() {
            let count = f64::from(count);
            if count > 0.0 && rank <= count {
                let (from, to) = (start(class), start(class + 1));
                return Some(from + (to - from) * rank / count);
            }
            rank -= count;
        }
        None
    }
}

fn class(took: Duration) -> usize {
    // A millisecond is 4 quarters: the first class is everything below 1.25 ms.
    let quarters = u64::try_from(took.as_micros() / 250)
        .unwrap_or(u64::MAX)
        .max(4);
    let power = quarters.ilog2();
    let quarter = (quarters >> (power - 2)) & 3;
    let class = 4 * (power as usize - 2) + quarter as usize;
    class.min(CLASSES - 1)
}

/// Returns the lower bound of a class in milliseconds.
fn start(class: usize) -> f64 {
    if class == 0 {
        return 0.0;
    }
    let quarter = 1.0 + (class % 4) as f64 / 4.0;
    quarter * 2_f64.powi((class / 4) as i32)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of(milliseconds: &[f64]) -> Latency {
        let mut latency = Latency::default();
        for took in milliseconds {
            latency.note(Duration::from_secs_f64(took / 1e3));
        }
        latency
    }

    #[test]
    fn without_durations_there_is_no_quantile() {
        assert_eq!(Latency::default().quantile(0.5), None);
    }

    #[test]
    fn a_duration_out_of_range_is_in_the_first_or_the_last_class() {
        assert!(of(&[0.0]).quantile(1.0).unwrap() <= 1.25);
        let late = of(&[1e9]).quantile(1.0).unwrap();
        assert_eq!(late, 2_f64.powi(18));
    }

    #[test]
    fn the_median_and_the_slowest_are_found() {
        let mut latency = of(&[100.0; 95]);
        latency.add(&of(&[4_000.0; 5]));
        let within = |quantile, low: f64, high: f64| {
            let found = latency.quantile(quantile).unwrap();
            assert!((low..=high).contains(&found), "{quantile}: {found}");
        };
        within(0.5, 96.0, 112.0);
        within(0.95, 96.0, 112.0);
        within(0.96, 3_584.0, 4_096.0 * 1.25);
    }

    proptest! {
        #[test]
        fn every_duration_is_within_its_class(micros in 0_u64..400_000_000) {
            let took = Duration::from_micros(micros);
            let class = class(took);
            let milliseconds = took.as_secs_f64() * 1e3;
            prop_assert!(start(class) <= milliseconds);
            prop_assert!(class == CLASSES - 1 || milliseconds < start(class + 1));
        }
    }
}
