//! Everything that Prometheus is told. One struct with a registry of its own, passed to whoever
//! counts; names and labels are an interface, listed in the README.

mod labels;
mod scep;
mod series;
mod upstream;

use std::time::Duration;

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
use series::{counter, counters, gauge, histograms, opts, register};
use upstream::Upstreams;
pub use upstream::{HealthMetrics, QueueMetrics, UpstreamMetrics};

/// All series. Label values come from closed lists or from the configuration, never from clients.
pub struct Metrics {
    registry: Registry,
    pub connections_open: IntGauge,
    pub connections_max: IntGauge,
    connections: IntCounterVec,
    handshakes: IntCounterVec,
    requests: IntCounterVec,
    pub requests_in_flight: IntGauge,
    refusals: Vec<(&'static str, IntCounter)>,
    request_duration: HistogramVec,
    uri_bytes: Histogram,
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
            connections_max: gauge(r, "connections_max", "Most public connections.")?,
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
            buffered_bytes_max: gauge(r, "buffered_bytes_max", "Most memory for request bodies.")?,
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
            upstreams: Upstreams::new(r)?,
            registry,
        };
        // A counter that appears at 1 has not increased, as Prometheus sees it: those whose labels are
        // known are there from the start.
        for result in Accepted::ALL {
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
        self.upstreams.health(application)
    }

    pub fn queue(&self, application: &str) -> QueueMetrics {
        self.upstreams.queue(application)
    }

    /// The series of what is read of SCEP, for one application.
    pub fn scep(&self, application: &str) -> ScepMetrics {
        self.scep.of(application)
    }

    /// Takes away the gauges of an application that is not published any more. Its counters stay:
    /// what they counted has happened.
    pub fn forget_application(&self, application: &str) {
        self.upstreams.forget(application);
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
        self.upstreams.certificate_of(application)
    }

    /// The series of one upstream, resolved once.
    pub fn upstream(&self, application: &str) -> UpstreamMetrics {
        self.upstreams.of(application)
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
