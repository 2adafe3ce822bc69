//! Whether an NDES is well: by the probes of the proxy, and by what its devices get.
//!
//! The two are judged apart. A probe proves that NDES answers; whether it enrols, only devices
//! show. Either can find it ill, each recovers by its own evidence, and so neither talks over the
//! other.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use super::application::lock;
use crate::insight::diagnosis::Anomaly;
use crate::observe::metrics::HealthMetrics;
use crate::scep::Operation;

/// How an NDES is.
pub struct Health {
    application: String,
    metrics: HealthMetrics,
    state: Mutex<State>,
}

/// What makes it ill.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Illness {
    pub anomaly: Anomaly,
    /// What was seen, in words; bounded, without control characters.
    pub detail: String,
}

/// What is known of it.
#[derive(Clone, Debug)]
pub struct Condition {
    /// Nobody has asked yet.
    pub unknown: bool,
    /// None where it is well.
    pub ill: Option<Illness>,
    /// Since when it is so.
    pub since: SystemTime,
    pub last_probe: Option<Probe>,
}

/// One look at it.
#[derive(Clone, Debug)]
pub struct Probe {
    pub at: SystemTime,
    pub took: Duration,
    pub found: Option<Illness>,
}

/// How many in a row it takes to change one's mind.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub failures: u32,
    pub successes: u32,
}

struct State {
    probes: Opinion,
    /// Of what devices get for PKIOperations, which fail alone where the CA or the policy module
    /// does: the questions before each of them are answered all the same.
    enrolments: Opinion,
    /// Of what they get for those questions.
    questions: Opinion,
    /// The last time that a device was failed.
    failed: Option<Instant>,
    since: SystemTime,
    last_probe: Option<Probe>,
    known: bool,
    /// Not published any more; what still comes was asked before that.
    hidden: bool,
}

/// What one kind of evidence says.
#[derive(Default)]
struct Opinion {
    ill: Option<Illness>,
    /// Evidence in a row that says otherwise.
    contrary: u32,
}

/// One device can fail as it likes; some in a row are NDES's own failure.
const TRAFFIC: Thresholds = Thresholds {
    failures: 5,
    successes: 1,
};
/// Where devices have stopped to come, nothing is known of how they fare.
const STALE: Duration = Duration::from_secs(10 * 60);

impl Opinion {
    /// Beyond doubt.
    fn is_well(&self) -> bool {
        self.ill.is_none() && self.contrary == 0
    }

    fn hear(&mut self, found: Option<Illness>, thresholds: Thresholds) {
        if self.ill.is_some() == found.is_some() {
            self.contrary = 0;
            // The newest reason is the one to see.
            self.ill = found;
            return;
        }
        self.contrary += 1;
        let enough = match found {
            Some(_) => thresholds.failures,
            None => thresholds.successes,
        };
        if self.contrary >= enough {
            self.contrary = 0;
            self.ill = found;
        }
    }
}

impl Health {
    pub(super) fn new(application: &str, metrics: HealthMetrics) -> Self {
        Self {
            application: application.to_owned(),
            metrics,
            state: Mutex::default(),
        }
    }

    /// A probe has come to an end.
    pub fn probed(&self, probe: Probe, thresholds: Thresholds, now: Instant) {
        let mut state = lock(&self.state);
        let found = probe.found.clone();
        // The first look decides: nothing was known before.
        let thresholds = match state.last_probe.replace(probe) {
            Some(_) => thresholds,
            None => Thresholds {
                failures: 1,
                successes: 1,
            },
        };
        let is_stale = |failed: Instant| now.saturating_duration_since(failed) >= STALE;
        self.change(state, |state| {
            if state.failed.is_some_and(is_stale) {
                state.enrolments = Opinion::default();
                state.questions = Opinion::default();
            }
            state.probes.hear(found, thresholds);
            true
        });
    }

    /// A device has got an answer, or none, for a reason that lies with NDES. A request without
    /// operation is of people and scanners: it says nothing.
    pub(super) fn served(
        &self,
        operation: Option<Operation>,
        found: Option<Illness>,
        now: Instant,
    ) {
        let Some(operation) = operation else { return };
        let mut state = lock(&self.state);
        let is_ill = found.is_some();
        if is_ill {
            state.failed = Some(now);
        } else if state.traffic(operation).is_well() && state.known {
            // As almost always.
            return;
        }
        self.change(state, |state| {
            state.traffic(operation).hear(found, TRAFFIC);
            // One device that failed says nothing yet, least of all that NDES is well.
            !is_ill || state.ill().is_some()
        });
    }

    pub fn condition(&self) -> Condition {
        let state = lock(&self.state);
        Condition {
            unknown: !state.known,
            ill: state.ill().cloned(),
            since: state.since,
            last_probe: state.last_probe.clone(),
        }
    }

    /// Takes away its gauge, which does not come back with what was asked before.
    pub(super) fn hide(&self) {
        let mut state = lock(&self.state);
        state.hidden = true;
        self.metrics.hide();
    }

    /// Published; where it was hidden, nothing is known of it.
    pub(super) fn show(&self) {
        let mut state = lock(&self.state);
        if state.hidden {
            *state = State::default();
        }
    }

    pub(super) fn is_hidden(&self) -> bool {
        lock(&self.state).hidden
    }

    /// `hear` tells whether it has heard enough to know how NDES is.
    fn change(&self, mut state: MutexGuard<'_, State>, hear: impl FnOnce(&mut State) -> bool) {
        if state.hidden {
            return;
        }
        let before = state.ill().map(|ill| ill.anomaly);
        let decided = hear(&mut state);
        let after = state.ill().map(|ill| ill.anomaly);
        if before == after && (state.known || !decided) {
            return;
        }
        if before.is_some() != after.is_some() || !state.known {
            state.since = SystemTime::now();
        }
        let application = &self.application;
        match state.ill() {
            Some(ill) => warn!(
                target: "health",
                application,
                reason = ill.anomaly.reason(),
                detail = ill.detail,
                "NDES is ill: {}", ill.anomaly.advice()
            ),
            None if state.known => info!(target: "health", application, "NDES is well again"),
            None => info!(target: "health", application, "NDES is well"),
        }
        state.known = true;
        self.metrics.show(after.map(Anomaly::reason));
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            probes: Opinion::default(),
            enrolments: Opinion::default(),
            questions: Opinion::default(),
            failed: None,
            since: SystemTime::now(),
            last_probe: None,
            known: false,
            hidden: false,
        }
    }
}

impl State {
    fn ill(&self) -> Option<&Illness> {
        [&self.probes, &self.enrolments, &self.questions]
            .into_iter()
            .find_map(|opinion| opinion.ill.as_ref())
    }

    fn traffic(&mut self, operation: Operation) -> &mut Opinion {
        match operation {
            Operation::PKIOperation => &mut self.enrolments,
            _ => &mut self.questions,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::observe::metrics::Metrics;

    const TWO: Thresholds = Thresholds {
        failures: 3,
        successes: 2,
    };

    fn illness(anomaly: Anomaly) -> Option<Illness> {
        Some(Illness {
            anomaly,
            detail: "seen".to_owned(),
        })
    }

    fn health() -> (Metrics, Health) {
        let metrics = Metrics::new().unwrap();
        let health = Health::new("ndes", metrics.health("ndes"));
        (metrics, health)
    }

    fn probe(health: &Health, found: Option<Illness>) -> Option<&'static str> {
        let probe = Probe {
            at: SystemTime::now(),
            took: Duration::ZERO,
            found,
        };
        health.probed(probe, TWO, Instant::now());
        reason(health)
    }

    fn serve(health: &Health, found: Option<Illness>, now: Instant) {
        health.served(Some(Operation::PKIOperation), found, now);
    }

    fn reason(health: &Health) -> Option<&'static str> {
        health.condition().ill.map(|ill| ill.anomaly.reason())
    }

    fn series(metrics: &Metrics) -> Vec<String> {
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("ndes_proxy_upstream_healthy{"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn the_first_probe_decides_and_then_the_thresholds() {
        let (metrics, health) = health();
        let stopped = || illness(Anomaly::PoolStopped);
        assert!(series(&metrics).is_empty(), "nothing is known");
        assert_eq!(probe(&health, stopped()), Some("pool_stopped"));
        assert_eq!(probe(&health, None), Some("pool_stopped"));
        assert_eq!(probe(&health, stopped()), Some("pool_stopped"));
        assert_eq!(probe(&health, None), Some("pool_stopped"), "two in a row");
        assert_eq!(probe(&health, None), None);
        assert_eq!(probe(&health, stopped()), None);
        assert_eq!(probe(&health, stopped()), None);
        assert_eq!(probe(&health, stopped()), Some("pool_stopped"));
        assert_eq!(
            series(&metrics),
            ["ndes_proxy_upstream_healthy{application=\"ndes\",reason=\"pool_stopped\"} 0"]
        );
        assert_eq!(probe(&health, illness(Anomaly::IisBusy)), Some("iis_busy"));
        assert_eq!(series(&metrics).len(), 1, "one series, whatever the reason");
    }

    #[test]
    fn devices_that_fail_in_a_row_are_believed_though_probes_succeed() {
        let (_metrics, health) = health();
        let (late, now) = (|| illness(Anomaly::AnswerLate), Instant::now());
        assert_eq!(probe(&health, None), None);
        for _ in 0..TRAFFIC.failures - 1 {
            serve(&health, late(), now);
        }
        serve(&health, None, now);
        assert_eq!(reason(&health), None, "not in a row");
        for _ in 0..TRAFFIC.failures {
            serve(&health, late(), now);
        }
        assert_eq!(reason(&health), Some("upstream_timeout"));
        assert_eq!(probe(&health, None), Some("upstream_timeout"));
        serve(&health, None, now);
        assert_eq!(reason(&health), None);
    }

    #[test]
    fn one_failure_before_the_first_probe_says_nothing() {
        let (metrics, health) = health();
        serve(&health, illness(Anomaly::AnswerLate), Instant::now());
        assert!(health.condition().unknown && series(&metrics).is_empty());
        serve(&health, None, Instant::now());
        assert!(!health.condition().unknown);
        assert_eq!(series(&metrics).len(), 1);
        health.hide();
        probe(&health, illness(Anomaly::PoolStopped));
        serve(&health, None, Instant::now());
        assert!(series(&metrics).is_empty(), "asked before that");
        health.show();
        assert!(health.condition().unknown && series(&metrics).is_empty());
        assert_eq!(probe(&health, None), None);
        health.show();
        assert_eq!(series(&metrics).len(), 1, "published again");
    }

    #[test]
    fn devices_that_come_no_more_say_nothing() {
        let (_metrics, health) = health();
        let now = Instant::now();
        for _ in 0..TRAFFIC.failures {
            serve(&health, illness(Anomaly::AnswerLate), now);
        }
        let probe = |at| {
            let probe = Probe {
                at: SystemTime::now(),
                took: Duration::ZERO,
                found: None,
            };
            health.probed(probe, TWO, at);
            reason(&health)
        };
        assert_eq!(probe(now + STALE / 2), Some("upstream_timeout"));
        assert_eq!(probe(now + STALE), None);
    }

    /// Each enrolment follows questions that are answered, and still none of them succeeds.
    #[test]
    fn enrolments_that_all_fail_are_believed_though_questions_succeed() {
        let (_metrics, health) = health();
        let now = Instant::now();
        assert_eq!(probe(&health, None), None);
        for _ in 0..TRAFFIC.failures {
            health.served(Some(Operation::GetCACaps), None, now);
            health.served(Some(Operation::GetCACert), None, now);
            serve(&health, illness(Anomaly::PkiOperationForbidden), now);
        }
        assert_eq!(reason(&health), Some("pki_operation_forbidden"));
        health.served(Some(Operation::GetCACaps), None, now);
        assert_eq!(reason(&health), Some("pki_operation_forbidden"));
        serve(&health, None, now);
        assert_eq!(reason(&health), None);
    }

    /// IIS redirects `/certsrv/mscep`, whoever asks for it.
    #[test]
    fn requests_without_operation_say_nothing() {
        let (_metrics, health) = health();
        for _ in 0..TRAFFIC.failures {
            health.served(None, illness(Anomaly::Redirected), Instant::now());
        }
        assert!(health.condition().unknown && reason(&health).is_none());
    }

    #[test]
    fn one_failure_does_not_keep_a_probe_from_being_heard() {
        let (metrics, health) = health();
        serve(&health, illness(Anomaly::AnswerLate), Instant::now());
        assert_eq!(probe(&health, None), None);
        assert!(!health.condition().unknown);
        assert_eq!(series(&metrics).len(), 1);
    }
}
