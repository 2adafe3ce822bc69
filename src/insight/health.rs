//! Whether one NDES server is healthy, by the probes of the proxy and by what devices receive.
//!
//! The two are judged separately. A probe proves that NDES answers; only devices show whether it
//! enrols. Either can find NDES unhealthy, and each recovers by its own evidence only, so that
//! neither hides the other.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant, SystemTime};

use tracing::{info, warn};

use crate::base::reason::Reason;
use crate::base::sync::lock;
use crate::observe::metrics::HealthMetrics;
use crate::scep::Operation;

/// The health of one NDES server.
pub struct Health {
    application: String,
    metrics: HealthMetrics,
    state: Mutex<State>,
}

/// Why NDES is unhealthy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unhealthy {
    pub reason: Reason,
    /// What was observed, in words. Bounded, and without control characters.
    pub detail: String,
}

/// What is known of the health at one moment.
#[derive(Clone, Debug)]
pub struct HealthStatus {
    /// Whether there is no evidence yet.
    pub unknown: bool,
    /// `None` if NDES is healthy or nothing is known.
    pub unhealthy: Option<Unhealthy>,
    /// When `unhealthy` last changed between `None` and `Some`.
    pub since: SystemTime,
    pub last_probe: Option<ProbeResult>,
}

/// The result of one probe.
#[derive(Clone, Debug)]
pub struct ProbeResult {
    pub at: SystemTime,
    pub took: Duration,
    /// `None` if NDES answered as it should.
    pub found: Option<Unhealthy>,
}

/// How many results in a row change the verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Thresholds {
    pub failures: u32,
    pub successes: u32,
}

struct State {
    probes: Evidence,
    /// What devices receive for PKIOperations. These fail alone if the CA or the policy module
    /// fails, because GetCACaps and GetCACert before each of them are still answered.
    enrolments: Evidence,
    /// What devices receive for the other operations.
    queries: Evidence,
    /// When a request of a device failed last.
    failed: Option<Instant>,
    since: SystemTime,
    last_probe: Option<ProbeResult>,
    known: bool,
    /// The server is not published any more. Results that still arrive are ignored, so that its
    /// gauge does not come back.
    hidden: bool,
}

/// The verdict of one kind of evidence, which only several results in a row change.
#[derive(Default)]
struct Evidence {
    unhealthy: Option<Unhealthy>,
    /// How many results in a row contradict `unhealthy`.
    contrary: u32,
}

/// The thresholds for what devices receive. One device can fail for reasons of its own; five
/// failures in a row come from NDES.
const TRAFFIC: Thresholds = Thresholds {
    failures: 5,
    successes: 1,
};
/// How long failures of devices count if no device comes any more.
const STALE: Duration = Duration::from_secs(10 * 60);

/// Returns whether NDES itself fails for `reason`, so that no device gets further whatever it
/// sends. Reasons that one device can cause with its own request are not among them.
pub fn is_of_server(reason: Reason) -> bool {
    // An attempt to reach NDES that gave no valid response.
    reason.row().kind.is_some()
        || matches!(
            reason,
            Reason::PolicyModuleMissing
                | Reason::PkiOperationForbidden
                | Reason::Forbidden
                | Reason::WindowsAuthentication
                | Reason::GetCaCertFailed
                | Reason::MscepFailed
                | Reason::PoolStopped
                | Reason::IisBusy
                | Reason::MscepNotFound
                | Reason::Redirected
                | Reason::UnexpectedStatus
                | Reason::PkiOperationPage
                | Reason::UpstreamBroken
        )
}

impl Evidence {
    /// Returns whether there is no doubt that NDES is healthy.
    fn is_healthy(&self) -> bool {
        self.unhealthy.is_none() && self.contrary == 0
    }

    fn observe(&mut self, found: Option<Unhealthy>, thresholds: Thresholds) {
        if self.unhealthy.is_some() == found.is_some() {
            self.contrary = 0;
            // The newest reason is the one to report.
            self.unhealthy = found;
            return;
        }
        self.contrary += 1;
        let enough = match found {
            Some(_) => thresholds.failures,
            None => thresholds.successes,
        };
        if self.contrary >= enough {
            self.contrary = 0;
            self.unhealthy = found;
        }
    }
}

impl Health {
    pub fn new(application: &str, metrics: HealthMetrics) -> Self {
        Self {
            application: application.to_owned(),
            metrics,
            state: Mutex::default(),
        }
    }

    /// Takes the result of a probe into account.
    pub fn observe_probe(&self, probe: ProbeResult, thresholds: Thresholds, now: Instant) {
        let mut state = lock(&self.state);
        let found = probe.found.clone();
        // The first probe decides alone, because nothing is known before it.
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
                state.enrolments = Evidence::default();
                state.queries = Evidence::default();
            }
            state.probes.observe(found, thresholds);
            true
        });
    }

    /// Takes into account what a device received. `found` is set if the request failed for a reason
    /// of NDES. A request without operation comes from people and scanners and is no evidence.
    pub(super) fn observe_traffic(
        &self,
        operation: Option<Operation>,
        found: Option<Unhealthy>,
        now: Instant,
    ) {
        let Some(operation) = operation else { return };
        let mut state = lock(&self.state);
        let failed = found.is_some();
        if failed {
            state.failed = Some(now);
        } else if state.traffic(operation).is_healthy() && state.known {
            // Nearly every request takes this path.
            return;
        }
        self.change(state, |state| {
            state.traffic(operation).observe(found, TRAFFIC);
            // One failed device proves nothing, so an unknown health stays unknown.
            !failed || state.unhealthy().is_some()
        });
    }

    pub fn status(&self) -> HealthStatus {
        let state = lock(&self.state);
        HealthStatus {
            unknown: !state.known,
            unhealthy: state.unhealthy().cloned(),
            since: state.since,
            last_probe: state.last_probe.clone(),
        }
    }

    /// Removes the gauge for good: the server is not published any more.
    pub fn hide(&self) {
        let mut state = lock(&self.state);
        state.hidden = true;
        self.metrics.hide();
    }

    /// Applies `observe`, which returns whether the health is known after it, and reports a change.
    fn change(&self, mut state: MutexGuard<'_, State>, observe: impl FnOnce(&mut State) -> bool) {
        if state.hidden {
            return;
        }
        let before = state.unhealthy().map(|unhealthy| unhealthy.reason);
        let known = observe(&mut state);
        let after = state.unhealthy().map(|unhealthy| unhealthy.reason);
        if before == after && (state.known || !known) {
            return;
        }
        if before.is_some() != after.is_some() || !state.known {
            state.since = SystemTime::now();
        }
        let application = &self.application;
        match state.unhealthy() {
            Some(Unhealthy { reason, detail }) => warn!(
                target: "health",
                application,
                reason = reason.word(),
                detail,
                "NDES is unhealthy: {}", reason.advice()
            ),
            None if state.known => info!(target: "health", application, "NDES is healthy again"),
            None => info!(target: "health", application, "NDES is healthy"),
        }
        state.known = true;
        self.metrics.show(after);
    }
}

impl Default for State {
    fn default() -> Self {
        Self {
            probes: Evidence::default(),
            enrolments: Evidence::default(),
            queries: Evidence::default(),
            failed: None,
            since: SystemTime::now(),
            last_probe: None,
            known: false,
            hidden: false,
        }
    }
}

impl State {
    fn unhealthy(&self) -> Option<&Unhealthy> {
        [&self.probes, &self.enrolments, &self.queries]
            .into_iter()
            .find_map(|evidence| evidence.unhealthy.as_ref())
    }

    fn traffic(&mut self, operation: Operation) -> &mut Evidence {
        match operation {
            Operation::PKIOperation => &mut self.enrolments,
            _ => &mut self.queries,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::reason::Severity;
    use crate::observe::metrics::Metrics;

    const TWO: Thresholds = Thresholds {
        failures: 3,
        successes: 2,
    };

    fn unhealthy(reason: Reason) -> Option<Unhealthy> {
        Some(Unhealthy {
            reason,
            detail: "seen".to_owned(),
        })
    }

    fn health() -> (Metrics, Health) {
        let metrics = Metrics::new().unwrap();
        let health = Health::new("ndes", metrics.health("ndes"));
        (metrics, health)
    }

    fn probe(health: &Health, found: Option<Unhealthy>) -> Option<&'static str> {
        let probe = ProbeResult {
            at: SystemTime::now(),
            took: Duration::ZERO,
            found,
        };
        health.observe_probe(probe, TWO, Instant::now());
        reason(health)
    }

    fn serve(health: &Health, found: Option<Unhealthy>, now: Instant) {
        health.observe_traffic(Some(Operation::PKIOperation), found, now);
    }

    fn reason(health: &Health) -> Option<&'static str> {
        health
            .status()
            .unhealthy
            .map(|unhealthy| unhealthy.reason.word())
    }

    fn series(metrics: &Metrics) -> Vec<String> {
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let lines = text
            .lines()
            .filter(|line| line.starts_with("ndes_proxy_upstream_healthy{"));
        lines.map(str::to_owned).collect()
    }

    #[test]
    fn the_first_probe_decides_alone_and_then_the_thresholds_do() {
        let (metrics, health) = health();
        let stopped = || unhealthy(Reason::PoolStopped);
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
        assert_eq!(probe(&health, unhealthy(Reason::IisBusy)), Some("iis_busy"));
        assert_eq!(series(&metrics).len(), 1, "one series, whatever the reason");
    }

    #[test]
    fn five_failed_devices_in_a_row_count_although_probes_succeed() {
        let (_metrics, health) = health();
        let (late, now) = (|| unhealthy(Reason::UpstreamTimeout), Instant::now());
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
    fn one_failure_before_the_first_probe_is_no_evidence() {
        let (metrics, health) = health();
        serve(&health, unhealthy(Reason::UpstreamTimeout), Instant::now());
        assert!(health.status().unknown && series(&metrics).is_empty());
        serve(&health, None, Instant::now());
        assert!(!health.status().unknown);
        assert_eq!(series(&metrics).len(), 1);
        health.hide();
        probe(&health, unhealthy(Reason::PoolStopped));
        serve(&health, None, Instant::now());
        assert!(series(&metrics).is_empty(), "asked before that");
        let again = Health::new("ndes", metrics.health("ndes"));
        assert!(again.status().unknown && series(&metrics).is_empty());
        assert_eq!(probe(&again, None), None);
        probe(&health, unhealthy(Reason::PoolStopped));
        assert_eq!(series(&metrics).len(), 1, "published again");
        assert!(
            series(&metrics)[0].ends_with(" 1"),
            "the old one is ignored"
        );
    }

    #[test]
    fn failures_are_forgotten_if_no_device_comes_any_more() {
        let (_metrics, health) = health();
        let now = Instant::now();
        for _ in 0..TRAFFIC.failures {
            serve(&health, unhealthy(Reason::UpstreamTimeout), now);
        }
        let probe = |at| {
            let probe = ProbeResult {
                at: SystemTime::now(),
                took: Duration::ZERO,
                found: None,
            };
            health.observe_probe(probe, TWO, at);
            reason(&health)
        };
        assert_eq!(probe(now + STALE / 2), Some("upstream_timeout"));
        assert_eq!(probe(now + STALE), None);
    }

    /// Each enrolment follows questions that are answered, and still none of them succeeds.
    #[test]
    fn failing_enrolments_count_although_queries_succeed() {
        let (_metrics, health) = health();
        let now = Instant::now();
        assert_eq!(probe(&health, None), None);
        for _ in 0..TRAFFIC.failures {
            health.observe_traffic(Some(Operation::GetCACaps), None, now);
            health.observe_traffic(Some(Operation::GetCACert), None, now);
            serve(&health, unhealthy(Reason::PkiOperationForbidden), now);
        }
        assert_eq!(reason(&health), Some("pki_operation_forbidden"));
        health.observe_traffic(Some(Operation::GetCACaps), None, now);
        assert_eq!(reason(&health), Some("pki_operation_forbidden"));
        serve(&health, None, now);
        assert_eq!(reason(&health), None);
    }

    /// IIS redirects `/certsrv/mscep`, whoever asks for it.
    #[test]
    fn a_request_without_operation_is_no_evidence() {
        let (_metrics, health) = health();
        for _ in 0..TRAFFIC.failures {
            health.observe_traffic(None, unhealthy(Reason::Redirected), Instant::now());
        }
        assert!(health.status().unknown && reason(&health).is_none());
    }

    #[test]
    fn one_failure_does_not_override_a_probe() {
        let (metrics, health) = health();
        serve(&health, unhealthy(Reason::UpstreamTimeout), Instant::now());
        assert_eq!(probe(&health, None), None);
        assert!(!health.status().unknown);
        assert_eq!(series(&metrics).len(), 1);
    }

    #[test]
    fn every_reason_of_the_server_is_critical() {
        let of_server = Reason::ALL.iter().filter(|reason| is_of_server(**reason));
        for reason in of_server {
            assert_eq!(reason.severity(), Severity::Critical, "{reason}");
        }
    }
}
