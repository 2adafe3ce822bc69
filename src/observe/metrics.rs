//! The Prometheus metrics. One struct with a registry of its own is passed to the code that counts.
//! Names and labels are an interface, listed in config/reference/metrics.md.

mod labels;
mod requests;
mod resolved;
mod scep;
mod series;
mod upstream;

use prometheus::{
    Encoder, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Registry, TextEncoder,
};

use crate::base::reason::Reason;
pub use labels::{ConnectionResult, Handshake, Incomplete, Reload};
pub use requests::CompletedRequest;
use requests::Requests;
use scep::Scep;
pub use scep::ScepMetrics;
use series::{counter, counters, gauge, opts, register};
use upstream::Upstreams;
pub use upstream::{HealthMetrics, QueueMetrics, UpstreamMetrics};

/// All series. Label values come from closed lists or from the configuration, never from clients.
pub struct Metrics {
    registry: Registry,
    pub connections_open: IntGauge,
    pub connections_max: IntGauge,
    connections: IntCounterVec,
    handshakes: IntCounterVec,
    requests: Requests,
    pub requests_in_flight: IntGauge,
    refusals: Vec<(Reason, IntCounter)>,
    incomplete: IntCounterVec,
    pub certificate_not_after: IntGaugeVec,
    reloads: IntCounterVec,
    pub reload_last_successful: IntGauge,
    pub reload_last_success: IntGauge,
    pub buffered_bytes: IntGauge,
    pub buffered_bytes_max: IntGauge,
    pub panics: IntCounter,
    pub log_lines_dropped: IntCounter,
    pub log_lines_suppressed: IntCounter,
    scep: Scep,
    upstreams: Upstreams,
}

impl Metrics {
    /// Registers all metrics.
    ///
    /// # Errors
    /// Fails only for names that are invalid or used twice, a defect that every test finds.
    pub fn new() -> Result<Self, prometheus::Error> {
        let registry = Registry::new();
        let r = &registry;
        let refusals = counters(
            r,
            "refusals_total",
            "Requests answered by the proxy itself, by reason.",
            &["reason"],
        )?;
        let metrics = Self {
            connections_open: gauge(r, "connections_open", "Public connections that are open.")?,
            connections_max: gauge(r, "connections_max", "Most public connections.")?,
            connections: counters(
                r,
                "connections_total",
                "Public connections, by result.",
                &["result"],
            )?,
            handshakes: counters(
                r,
                "tls_handshakes_total",
                "TLS handshakes with clients, by result.",
                &["result"],
            )?,
            requests: Requests::new(r)?,
            requests_in_flight: gauge(r, "requests_in_flight", "Requests being answered.")?,
            refusals: Reason::refusals()
                .map(|reason| (reason, refusals.with_label_values(&[reason.word()])))
                .collect(),
            incomplete: counters(
                r,
                "responses_incomplete_total",
                "Responses that were cut off, by cause.",
                &["cause"],
            )?,
            certificate_not_after: register(
                r,
                IntGaugeVec::new(
                    opts(
                        "certificate_not_after_seconds",
                        "Expiry of each public certificate, seconds since 1970.",
                    ),
                    &["application", "key"],
                )?,
            )?,
            reloads: counters(
                r,
                "reloads_total",
                "Reloads of configuration and certificates, by result.",
                &["result"],
            )?,
            reload_last_successful: gauge(
                r,
                "reload_last_successful",
                "1 if the last reload, or the start, took effect; 0 if it was refused.",
            )?,
            reload_last_success: gauge(
                r,
                "reload_last_success_timestamp_seconds",
                "When the configuration in use was loaded, seconds since 1970.",
            )?,
            buffered_bytes: gauge(r, "buffered_bytes", "Request bodies held in memory.")?,
            buffered_bytes_max: gauge(r, "buffered_bytes_max", "Most memory for request bodies.")?,
            panics: counter(
                r,
                "panics_total",
                "Connections closed by a defect of the proxy.",
            )?,
            log_lines_dropped: counter(
                r,
                "log_lines_dropped_total",
                "Log lines lost because the output was blocked.",
            )?,
            log_lines_suppressed: counter(
                r,
                "log_lines_suppressed_total",
                "Access lines of refused requests left out because there were too many.",
            )?,
            scep: Scep::new(r)?,
            upstreams: Upstreams::new(r)?,
            registry,
        };
        // For Prometheus, a counter that appears at 1 has not increased. Those whose labels are
        // known are therefore present from the start.
        for result in ConnectionResult::ALL {
            metrics.connections.with_label_values(&[result.as_str()]);
        }
        for result in Handshake::ALL {
            metrics.handshakes.with_label_values(&[result.as_str()]);
        }
        for cause in Incomplete::ALL {
            metrics.incomplete.with_label_values(&[cause.as_str()]);
        }
        let r = &metrics.registry;
        let build = IntGaugeVec::new(
            opts("build_info", "Always 1; the version is in the label."),
            &["version"],
        )?;
        register(r, build)?
            .with_label_values(&[env!("CARGO_PKG_VERSION")])
            .set(1);
        r.register(Box::new(
            prometheus::process_collector::ProcessCollector::for_self(),
        ))?;
        Ok(metrics)
    }

    /// Returns all metrics in the text format of Prometheus.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(32 << 10);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    pub fn connection(&self, result: ConnectionResult) {
        self.connections.with_label_values(&[result.as_str()]).inc();
    }

    pub fn handshake(&self, result: Handshake) {
        self.handshakes.with_label_values(&[result.as_str()]).inc();
    }

    /// Counts a completed request.
    pub fn request(&self, request: &CompletedRequest<'_>) {
        self.requests.count(request);
    }

    pub fn refused(&self, reason: Reason) {
        if let Some((_, counter)) = self.refusals.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    pub fn incomplete(&self, cause: Incomplete) {
        self.incomplete.with_label_values(&[cause.as_str()]).inc();
    }

    pub fn health(&self, application: &str) -> HealthMetrics {
        self.upstreams.health(application)
    }

    pub fn queue(&self, application: &str) -> QueueMetrics {
        self.upstreams.queue(application)
    }

    /// Returns the series of one application about its SCEP messages.
    pub fn scep(&self, application: &str) -> ScepMetrics {
        self.scep.of(application)
    }

    /// Removes the gauges of an application that is no longer published. Its counters stay, because
    /// what they counted has happened.
    pub fn forget_application(&self, application: &str) {
        self.upstreams.forget(application);
    }

    /// Shows both results at 0 before the first reload.
    pub fn show_reloads(&self) {
        for result in [Reload::Success, Reload::Failure] {
            self.reloads.with_label_values(&[result.as_str()]);
        }
    }

    pub fn reloaded(&self, result: Reload) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
    }

    /// Returns the series of one upstream, resolved once.
    pub fn upstream(&self, application: &str) -> UpstreamMetrics {
        self.upstreams.of(application)
    }
}
