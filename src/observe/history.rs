//! The history of the last hour, minute by minute: the few counts that the status page draws.
//! Prometheus keeps longer histories; this one needs no Prometheus, and is small and bounded.

mod latency;

use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use crate::base::reason::Reason;
pub use latency::Latency;

/// Length of the history, including the current minute.
pub const MINUTES: usize = 60;

/// One value for each minute of the last hour.
pub struct Hour<T> {
    started: Instant,
    /// Minutes, counted from the start, and their values. Minute `n` is at index `n % MINUTES`,
    /// where it replaces the one of an hour before.
    ring: Mutex<Vec<(u64, T)>>,
}

impl<T: Clone + Default> Hour<T> {
    pub fn new(now: Instant) -> Self {
        Self {
            started: now,
            ring: Mutex::new(vec![(0, T::default()); MINUTES]),
        }
    }

    /// Updates the value of the minute of `now` with `count`.
    pub fn count(&self, now: Instant, count: impl FnOnce(&mut T)) {
        let minute = self.minute(now);
        let mut ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let (of, value) = &mut ring[index(minute)];
        if *of != minute {
            (*of, *value) = (minute, T::default());
        }
        count(value);
    }

    /// Returns [`MINUTES`] values, the oldest first; the last is that of the minute of `now`.
    pub fn minutes(&self, now: Instant) -> Vec<T> {
        let last = self.minute(now);
        let ring = self.ring.lock().unwrap_or_else(PoisonError::into_inner);
        let value = |ago: u64| {
            let minute = last.checked_sub(ago)?;
            let (of, value) = &ring[index(minute)];
            (*of == minute).then(|| value.clone())
        };
        let ago = (0..MINUTES as u64).rev();
        ago.map(|ago| value(ago).unwrap_or_default()).collect()
    }

    fn minute(&self, now: Instant) -> u64 {
        now.saturating_duration_since(self.started).as_secs() / 60
    }
}

fn index(minute: u64) -> usize {
    (minute % MINUTES as u64) as usize
}

/// The counts of one application in a minute.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Minute {
    /// Requests to which NDES responded with 200.
    pub get_ca_caps: u32,
    pub get_ca_cert: u32,
    /// All requests that the gate admitted.
    pub pki_operation: u32,
    /// Results of the requests for a certificate.
    pub issued: u32,
    pub pending: u32,
    pub refused: u32,
    pub failed: u32,
    /// Latency of PKIOperation, from the end of the head to the end of the response.
    pub latency: Latency,
    /// Anomalies by reason.
    pub anomalies: Reasons,
}

impl Minute {
    pub fn ended(&mut self, outcome: Outcome) {
        let count = match outcome {
            Outcome::Issued => &mut self.issued,
            Outcome::Pending => &mut self.pending,
            Outcome::Refused => &mut self.refused,
            Outcome::Failed => &mut self.failed,
        };
        *count = count.saturating_add(1);
    }
}

/// The result of a request to enrol.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// SUCCESS.
    Issued,
    /// PENDING: the device polls.
    Pending,
    /// FAILURE: NDES refused it.
    Refused,
    /// None of these: no response, an HTTP error, or a response that cannot be read.
    Failed,
}

/// Counts by reason; only reasons that occur take memory.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reasons(Vec<(Reason, u64)>);

impl Reasons {
    pub fn add(&mut self, reason: Reason, times: u64) {
        match self.0.iter_mut().find(|(known, _)| *known == reason) {
            Some((_, count)) => *count = count.saturating_add(times),
            None => self.0.push((reason, times)),
        }
    }

    pub fn count(&self, reason: Reason) -> u64 {
        let found = self.0.iter().find(|(known, _)| *known == reason);
        found.map_or(0, |(_, count)| *count)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_minute_is_forgotten_after_an_hour_and_no_sooner() {
        let start = Instant::now();
        let hour = Hour::<u32>::new(start);
        let at = |second: u64| start + Duration::from_secs(second);
        let sum = |second| hour.minutes(at(second)).iter().sum::<u32>();
        assert_eq!(
            hour.minutes(start),
            [0; MINUTES],
            "nothing before the start"
        );
        hour.count(at(0), |count| *count += 1);
        hour.count(at(59), |count| *count += 1);
        hour.count(at(60), |count| *count += 10);
        assert_eq!(hour.minutes(at(119))[MINUTES - 2..], [2, 10]);
        assert_eq!(sum(3_599), 12);
        assert_eq!(sum(3_600), 10, "the first minute is an hour old");
        assert_eq!(sum(3_660), 0);
        // The index of a minute is used again, without its old value.
        hour.count(at(3_600), |count| *count += 100);
        assert_eq!(hour.minutes(at(3_600))[MINUTES - 2..], [0, 100]);
        assert_eq!(sum(3_600), 110);
        assert_eq!(sum(1_000_000), 0);
    }

    #[test]
    fn a_time_before_the_start_is_the_first_minute() {
        let start = Instant::now();
        let hour = Hour::<u32>::new(start + Duration::from_secs(600));
        hour.count(start, |count| *count += 1);
        assert_eq!(hour.minutes(start)[MINUTES - 1], 1);
    }

    #[test]
    fn reasons_are_counted_apart() {
        let mut reasons = Reasons::default();
        let (a, b, c) = (Reason::IisBusy, Reason::Refused, Reason::Internal);
        for (reason, times) in [(a, 1), (b, 5), (a, 2), (b, u64::MAX)] {
            reasons.add(reason, times);
        }
        assert_eq!([a, b, c].map(|r| reasons.count(r)), [3, u64::MAX, 0]);
    }
}
