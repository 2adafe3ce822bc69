//! Metrics of completed requests.

use std::collections::HashMap;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use http::StatusCode;
use prometheus::{Histogram, HistogramOpts, HistogramVec, IntCounter, IntCounterVec, Registry};

use super::resolved::ResolvedSeries;
use super::series::{counters, histograms, opts, register};
use crate::base::head::Method;
use crate::scep::Operation;

/// A completed request, as it is counted.
pub struct CompletedRequest<'a> {
    /// `None` if it reached no application.
    pub application: Option<&'a str>,
    pub operation: Option<Operation>,
    pub method: Method,
    /// `None` if it ended before there was a response.
    pub status: Option<StatusCode>,
    pub duration: Duration,
    /// `None` if the head could not be read.
    pub uri_bytes: Option<usize>,
}

pub(super) struct Requests {
    counts: IntCounterVec,
    durations: HistogramVec,
    uri_bytes: Histogram,
    /// There may be a thousand applications, too many to compare one by one.
    applications: RwLock<HashMap<Box<str>, Arc<ApplicationSeries>>>,
}

#[derive(Default)]
struct ApplicationSeries {
    counts: ResolvedSeries<(Option<Operation>, Method, Status), IntCounter>,
    durations: ResolvedSeries<Option<Operation>, Histogram>,
}

/// NDES, or a server in front of it, may send any status; only registered ones have a label value
/// of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Known(StatusCode),
    Other,
    None,
}

impl Requests {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        Ok(Self {
            counts: counters(
                registry,
                "requests_total",
                "Requests answered, by application, SCEP operation, method and status.",
                &["application", "operation", "method", "status"],
            )?,
            durations: histograms(
                registry,
                "request_duration_seconds",
                "From the end of the request head to the end of the response.",
                &["application", "operation"],
                &[
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                    60.0, 120.0,
                ],
            )?,
            uri_bytes: register(
                registry,
                Histogram::with_opts(
                    HistogramOpts::from(opts("request_uri_bytes", "Length of the request URI."))
                        .buckets(vec![
                            256.0, 1024.0, 2048.0, 4096.0, 8192.0, 16384.0, 32768.0, 49152.0,
                            65534.0,
                        ]),
                )?,
            )?,
            applications: RwLock::default(),
        })
    }

    pub(super) fn count(&self, request: &CompletedRequest<'_>) {
        let application = request.application.unwrap_or("none");
        let operation = request.operation.map_or("none", Operation::as_str);
        let series = self.of(application);
        let key = (
            request.operation,
            request.method,
            Status::of(request.status),
        );
        let count = || {
            let (_, method, status) = &key;
            let labels = [application, operation, method.as_str(), status.as_str()];
            (key, self.counts.with_label_values(&labels))
        };
        series.counts.find(|known| *known == key, count).inc();
        let duration = || {
            let labels = [application, operation];
            (request.operation, self.durations.with_label_values(&labels))
        };
        series
            .durations
            .find(|known| *known == request.operation, duration)
            .observe(request.duration.as_secs_f64());
        if let Some(bytes) = request.uri_bytes {
            self.uri_bytes.observe(bytes as f64);
        }
    }

    fn of(&self, application: &str) -> Arc<ApplicationSeries> {
        let read = self.applications.read();
        let read = read.unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = read.get(application) {
            return found.clone();
        }
        drop(read);
        let write = self.applications.write();
        let mut write = write.unwrap_or_else(PoisonError::into_inner);
        write.entry(application.into()).or_default().clone()
    }
}

impl Status {
    fn of(status: Option<StatusCode>) -> Self {
        match status {
            Some(status) if status.canonical_reason().is_some() => Self::Known(status),
            Some(_) => Self::Other,
            None => Self::None,
        }
    }

    fn as_str(&self) -> &str {
        match self {
            Self::Known(status) => status.as_str(),
            Self::Other => "other",
            Self::None => "none",
        }
    }
}
