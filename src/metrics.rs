//! Everything that Prometheus is told. One struct with a registry of its own, passed to whoever
//! counts; names and labels are an interface, listed in the README.

mod labels;
mod scep;
mod series;

use std::time::Duration;

use prometheus::core::Collector;
use prometheus::{
    Encoder, Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge,
    IntGaugeVec, Registry, TextEncoder,
};

use crate::head::Method;
use crate::rejection::Rejection;
use crate::scep::Operation;
pub use labels::{Accepted, Handshake, Incomplete, Reload};
use scep::Scep;
pub use scep::ScepMetrics;
use series::{counter, counters, gauge, gauges, histograms, opts, register};

/// All series. Label values come from closed lists or from the configuration, never from clients.
pub struct Metrics {
    registry: Registry,
    pub connections_open: IntGauge,
    connections: IntCounterVec,
    handshakes: IntCounterVec,
    requests: IntCounterVec,
    pub requests_in_flight: IntGauge,
    refusals: Vec<(&'static str, IntCounter)>,
    request_duration: HistogramVec,
    uri_bytes: Histogram,
    upstream_response: HistogramVec,
    upstream_errors: IntCounterVec,
    upstream_connections: IntCounterVec,
    upstream_healthy: IntGaugeVec,
    upstream_certificate: IntGaugeVec,
    upstream_in_flight: IntGaugeVec,
    upstream_waiting: IntGaugeVec,
    incomplete: IntCounterVec,
    pub certificate_not_after: IntGaugeVec,
    reloads: IntCounterVec,
    pub reload_last_successful: IntGauge,
    pub reload_last_success: IntGauge,
    pub buffered_bytes: IntGauge,
    pub panics: IntCounter,
    pub log_lines_dropped: IntCounter,
    pub log_lines_suppressed: IntCounter,
    scep: Scep,
}

impl Metrics {
    /// Registration fails only for names that are wrong or used twice: a defect that every test finds.
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
            connections: counters(
                r,
                "connections_total",
                "Public connections, by what became of them.",
                &["result"],
            )?,
            handshakes: counters(
                r,
                "tls_handshakes_total",
                "TLS handshakes with clients, by result.",
                &["result"],
            )?,
            requests: counters(
                r,
                "requests_total",
                "Requests answered, by application, SCEP operation, method and status.",
                &["application", "operation", "method", "status"],
            )?,
            requests_in_flight: gauge(r, "requests_in_flight", "Requests being answered.")?,
            refusals: Rejection::ALL
                .map(Rejection::reason)
                .map(|reason| (reason, refusals.with_label_values(&[reason])))
                .into(),
            request_duration: histograms(
                r,
                "request_duration_seconds",
                "From the end of the request head to the end of the answer.",
                &["application", "operation"],
                &[
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                    60.0, 120.0,
                ],
            )?,
            uri_bytes: register(
                r,
                Histogram::with_opts(
                    HistogramOpts::from(opts("request_uri_bytes", "Length of the request URI."))
                        .buckets(vec![
                            256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 49152.0,
                            65534.0,
                        ]),
                )?,
            )?,
            upstream_response: histograms(
                r,
                "upstream_response_seconds",
                "From sending the request to the upstream to the head of its answer.",
                &["application", "operation"],
                &[
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                    60.0, 180.0,
                ],
            )?,
            upstream_errors: counters(
                r,
                "upstream_errors_total",
                "Attempts that an upstream did not answer, by kind.",
                &["application", "kind"],
            )?,
            upstream_connections: counters(
                r,
                "upstream_connections_total",
                "Connections to upstreams, opened or taken from the pool.",
                &["application", "source"],
            )?,
            upstream_healthy: register(
                r,
                IntGaugeVec::new(
                    opts(
                        "upstream_healthy",
                        "1 where NDES is well, 0 where it is ill; the reason is in the label.",
                    ),
                    &["application", "reason"],
                )?,
            )?,
            upstream_certificate: gauges(
                r,
                "upstream_certificate_not_after_seconds",
                "Expiry of the certificate that NDES presents, seconds since 1970.",
            )?,
            upstream_in_flight: gauges(
                r,
                "upstream_in_flight",
                "Requests at an upstream, of at most max_in_flight.",
            )?,
            upstream_waiting: gauges(
                r,
                "upstream_waiting",
                "Requests that wait for their turn at an upstream.",
            )?,
            incomplete: counters(
                r,
                "responses_incomplete_total",
                "Answers that broke off, by who broke them.",
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
                "1 where the last reload, or the start, took effect; 0 where it was refused.",
            )?,
            reload_last_success: gauge(
                r,
                "reload_last_success_timestamp_seconds",
                "When what runs now was loaded, seconds since 1970.",
            )?,
            buffered_bytes: gauge(r, "buffered_bytes", "Request bodies held in memory.")?,
            panics: counter(
                r,
                "panics_total",
                "Connections ended by a defect of the proxy.",
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
            registry,
        };
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

    /// All of it in the text format of Prometheus.
    pub fn text(&self) -> Result<Vec<u8>, prometheus::Error> {
        let mut text = Vec::with_capacity(32 << 10);
        TextEncoder::new().encode(&self.registry.gather(), &mut text)?;
        Ok(text)
    }

    pub fn connection(&self, result: Accepted) {
        self.connections.with_label_values(&[result.as_str()]).inc();
    }

    pub fn handshake(&self, result: Handshake) {
        self.handshakes.with_label_values(&[result.as_str()]).inc();
    }

    /// A request that has ended. `application` is none where it reached no application.
    pub fn request(&self, request: &Answered<'_>) {
        let application = request.application.unwrap_or("none");
        let operation = request.operation.map_or("none", Operation::as_str);
        let status = match &request.status {
            Some(status) if status.canonical_reason().is_some() => status.as_str(),
            Some(_) => "other",
            None => "none",
        };
        self.requests
            .with_label_values(&[application, operation, request.method.as_str(), status])
            .inc();
        self.request_duration
            .with_label_values(&[application, operation])
            .observe(request.duration.as_secs_f64());
        if let Some(bytes) = request.uri_bytes {
            self.uri_bytes.observe(bytes as f64);
        }
    }

    pub fn refused(&self, rejection: Rejection) {
        let reason = rejection.reason();
        if let Some((_, counter)) = self.refusals.iter().find(|(known, _)| *known == reason) {
            counter.inc();
        }
    }

    pub fn incomplete(&self, cause: Incomplete) {
        self.incomplete.with_label_values(&[cause.as_str()]).inc();
    }

    pub fn health(&self, application: &str) -> HealthMetrics {
        HealthMetrics {
            application: application.to_owned(),
            healthy: self.upstream_healthy.clone(),
            shown: std::sync::Mutex::default(),
        }
    }

    pub fn queue(&self, application: &str) -> QueueMetrics {
        QueueMetrics {
            in_flight: self.upstream_in_flight.with_label_values(&[application]),
            waiting: self.upstream_waiting.with_label_values(&[application]),
        }
    }

    /// The series of what is read of SCEP, for one application.
    pub fn scep(&self, application: &str) -> ScepMetrics {
        self.scep.of(application)
    }

    /// Takes away the gauges of an application that is not published any more. Its counters stay:
    /// what they counted has happened.
    pub fn forget_application(&self, application: &str) {
        for gauges in [
            &self.upstream_in_flight,
            &self.upstream_waiting,
            &self.upstream_certificate,
        ] {
            // An error says that it is gone already.
            _ = gauges.remove_label_values(&[application]);
        }
    }

    /// Shows both results before there is any.
    pub fn show_reloads(&self) {
        for result in [Reload::Success, Reload::Failure] {
            self.reloads.with_label_values(&[result.as_str()]);
        }
    }

    pub fn reloaded(&self, result: Reload) {
        self.reloads.with_label_values(&[result.as_str()]).inc();
    }

    /// Expiry of the certificate that an upstream presented last, seconds since 1970; none where
    /// none was seen.
    pub fn upstream_certificate(&self, application: &str) -> Option<i64> {
        let families = self.upstream_certificate.collect();
        let series = families.iter().flat_map(|family| family.get_metric());
        let mut own = series.filter(|one| {
            let mut labels = one.get_label().iter();
            labels.any(|label| label.value() == application)
        });
        own.next().map(|one| one.get_gauge().get_value() as i64)
    }

    /// The series of one upstream, resolved once.
    pub fn upstream(&self, application: &str) -> UpstreamMetrics {
        UpstreamMetrics {
            application: application.to_owned(),
            response: self.upstream_response.clone(),
            errors: self.upstream_errors.clone(),
            certificate: self.upstream_certificate.clone(),
            opened: self
                .upstream_connections
                .with_label_values(&[application, "opened"]),
            reused: self
                .upstream_connections
                .with_label_values(&[application, "pool"]),
        }
    }
}

/// A request that has ended, as it is counted.
pub struct Answered<'a> {
    pub application: Option<&'a str>,
    pub operation: Option<Operation>,
    pub method: Method,
    /// None where it ended before there was an answer.
    pub status: Option<http::StatusCode>,
    pub duration: Duration,
    /// None where the head could not be read.
    pub uri_bytes: Option<usize>,
}

/// How one upstream is: one series, whose label tells why.
pub struct HealthMetrics {
    application: String,
    healthy: IntGaugeVec,
    shown: std::sync::Mutex<Option<&'static str>>,
}

impl HealthMetrics {
    /// `ill`: the reason; none where it is well.
    pub fn show(&self, ill: Option<&'static str>) {
        let reason = ill.unwrap_or("none");
        self.hide();
        *self.shown() = Some(reason);
        self.healthy
            .with_label_values(&[&self.application[..], reason])
            .set(i64::from(ill.is_none()));
    }

    pub fn hide(&self) {
        if let Some(before) = self.shown().take() {
            // An error says that it is gone already.
            _ = self
                .healthy
                .remove_label_values(&[&self.application[..], before]);
        }
    }

    fn shown(&self) -> std::sync::MutexGuard<'_, Option<&'static str>> {
        self.shown
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// How full one upstream is.
pub struct QueueMetrics {
    pub in_flight: IntGauge,
    pub waiting: IntGauge,
}

pub struct UpstreamMetrics {
    application: String,
    response: HistogramVec,
    errors: IntCounterVec,
    certificate: IntGaugeVec,
    pub opened: IntCounter,
    pub reused: IntCounter,
}

impl UpstreamMetrics {
    pub fn responded(&self, operation: Option<Operation>, after: Duration) {
        let operation = operation.map_or("none", Operation::as_str);
        self.response
            .with_label_values(&[&self.application, operation])
            .observe(after.as_secs_f64());
    }

    /// `not_after`: seconds since 1970.
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
