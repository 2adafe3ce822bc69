//! Metrics of each NDES server as an upstream.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use prometheus::{
    Histogram, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry,
};

use super::resolved::ResolvedSeries;
use super::series::{counters, gauges, histograms, opts, register};
use crate::base::reason::Reason;
use crate::scep::Operation;

/// The series of all upstreams.
pub(super) struct Upstreams {
    response: HistogramVec,
    errors: IntCounterVec,
    connections: IntCounterVec,
    healthy: IntGaugeVec,
    certificate: IntGaugeVec,
    in_flight: IntGaugeVec,
    in_flight_max: IntGaugeVec,
    waiting: IntGaugeVec,
}

impl Upstreams {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            response: histograms(
                registry,
                "upstream_response_seconds",
                "From sending the request to the upstream to the head of its response.",
                &["application", "operation"],
                &[
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                    60.0, 180.0,
                ],
            )?,
            errors: counters(
                registry,
                "upstream_errors_total",
                "Attempts without a response of an upstream, by kind.",
                &["application", "kind"],
            )?,
            connections: counters(
                registry,
                "upstream_connections_total",
                "Connections to upstreams, opened or taken from the pool.",
                &["application", "source"],
            )?,
            healthy: register(
                registry,
                IntGaugeVec::new(
                    opts(
                        "upstream_healthy",
                        "1 if NDES is healthy, 0 if it is unhealthy; the reason is in the label.",
                    ),
                    &["application", "reason"],
                )?,
            )?,
            certificate: gauges(
                registry,
                "upstream_certificate_not_after_seconds",
                "Expiry of the certificate that NDES presents, seconds since 1970.",
            )?,
            in_flight: gauges(registry, "upstream_in_flight", "Requests at an upstream.")?,
            in_flight_max: gauges(
                registry,
                "upstream_in_flight_max",
                "Most requests at an upstream.",
            )?,
            waiting: gauges(
                registry,
                "upstream_waiting",
                "Requests that wait in the queue of an upstream.",
            )?,
        })
    }

    /// Returns the series of one upstream, resolved once.
    pub(super) fn of(&self, application: &str) -> UpstreamMetrics {
        let connections = |source| self.connections.with_label_values(&[application, source]);
        UpstreamMetrics {
            application: application.to_owned(),
            response: self.response.clone(),
            responses: ResolvedSeries::default(),
            errors: self.errors.clone(),
            certificate: self.certificate.clone(),
            opened: connections("opened"),
            reused: connections("pool"),
        }
    }

    pub(super) fn queue(&self, application: &str) -> QueueMetrics {
        QueueMetrics {
            in_flight: self.in_flight.with_label_values(&[application]),
            in_flight_max: self.in_flight_max.with_label_values(&[application]),
            waiting: self.waiting.with_label_values(&[application]),
        }
    }

    pub(super) fn health(&self, application: &str) -> HealthMetrics {
        HealthMetrics {
            application: application.to_owned(),
            healthy: self.healthy.clone(),
            shown: Mutex::default(),
        }
    }

    /// Removes the gauges of an application that is no longer published.
    pub(super) fn forget(&self, application: &str) {
        for gauges in [
            &self.in_flight,
            &self.in_flight_max,
            &self.waiting,
            &self.certificate,
        ] {
            // An error means that it is removed already.
            _ = gauges.remove_label_values(&[application]);
        }
    }
}

/// The health of one upstream: one series, whose label is the reason.
pub struct HealthMetrics {
    application: String,
    healthy: IntGaugeVec,
    shown: Mutex<Option<&'static str>>,
}

impl HealthMetrics {
    /// `unhealthy` is the reason, or `None` if NDES is healthy.
    pub fn show(&self, unhealthy: Option<Reason>) {
        let reason = unhealthy.map_or("none", Reason::word);
        self.hide();
        *self.shown() = Some(reason);
        self.healthy
            .with_label_values(&[&self.application[..], reason])
            .set(i64::from(unhealthy.is_none()));
    }

    pub fn hide(&self) {
        if let Some(before) = self.shown().take() {
            // An error means that it is removed already.
            _ = self
                .healthy
                .remove_label_values(&[&self.application[..], before]);
        }
    }

    fn shown(&self) -> MutexGuard<'_, Option<&'static str>> {
        self.shown.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The load of one upstream.
pub struct QueueMetrics {
    pub in_flight: IntGauge,
    pub in_flight_max: IntGauge,
    pub waiting: IntGauge,
}

pub struct UpstreamMetrics {
    application: String,
    response: HistogramVec,
    responses: ResolvedSeries<Option<Operation>, Histogram>,
    errors: IntCounterVec,
    certificate: IntGaugeVec,
    pub opened: IntCounter,
    pub reused: IntCounter,
}

impl UpstreamMetrics {
    pub fn responded(&self, operation: Option<Operation>, after: Duration) {
        let resolve = || {
            let word = operation.map_or("none", Operation::as_str);
            let labels = [&self.application[..], word];
            (operation, self.response.with_label_values(&labels))
        };
        self.responses
            .find(|known| *known == operation, resolve)
            .observe(after.as_secs_f64());
    }

    /// Sets the expiry of the certificate that the upstream presents, in seconds since 1970.
    pub fn certificate(&self, not_after: i64) {
        self.certificate
            .with_label_values(&[&self.application])
            .set(not_after);
    }

    pub fn failed(&self, kind: &'static str) {
        self.errors
            .with_label_values(&[&self.application[..], kind])
            .inc();
    }
}
