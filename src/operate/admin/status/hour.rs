//! The last hour of one application, in sums and minute by minute.

use serde::Serialize;

use crate::base::reason::Reason;
use crate::insight::diagnosis::of_fail_info;
use crate::observe::history::{Latency, Minute};
use crate::scep::FailInfo;

#[derive(Serialize)]
pub(super) struct Hour {
    /// Requests that NDES answered with 200.
    get_ca_caps: u64,
    get_ca_cert: u64,
    /// Requests that the gate admitted.
    pki_operation: u64,
    /// How requests to enrol ended.
    issued: u64,
    pending: u64,
    refused: u64,
    failed: u64,
    /// Durations of PKIOperation at NDES. Null if there was none.
    p50_ms: Option<f64>,
    p95_ms: Option<f64>,
    /// The most frequent first.
    anomalies: Vec<Anomalies>,
    minutes: Minutes,
}

#[derive(Serialize)]
struct Anomalies {
    reason: &'static str,
    severity: &'static str,
    count: u64,
    /// NDES refused the request of one device.
    refused: bool,
    /// When the last one happened. 0 is the current minute.
    minutes_ago: usize,
    /// What happened, by the table of reasons.
    what: &'static str,
    cure: &'static str,
    /// `what` and `cure` together.
    advice: &'static str,
}

/// Sixty values each, the oldest first; the last is of the minute that runs.
#[derive(Serialize)]
struct Minutes {
    issued: Vec<u32>,
    pending: Vec<u32>,
    refused: Vec<u32>,
    failed: Vec<u32>,
    p50_ms: Vec<Option<f64>>,
    p95_ms: Vec<Option<f64>>,
}

const MEDIAN: f64 = 0.5;
const SLOW: f64 = 0.95;

impl Hour {
    pub(super) fn of(minutes: &[Minute]) -> Self {
        let sum = |of: fn(&Minute) -> u32| minutes.iter().map(of).map(u64::from).sum();
        let each = |of: fn(&Minute) -> u32| minutes.iter().map(of).collect();
        let mut latency = Latency::default();
        minutes
            .iter()
            .for_each(|minute| latency.add(&minute.latency));
        let quantiles = |quantile| {
            let of = |minute: &Minute| milliseconds(&minute.latency, quantile);
            minutes.iter().map(of).collect()
        };
        Self {
            get_ca_caps: sum(|minute| minute.get_ca_caps),
            get_ca_cert: sum(|minute| minute.get_ca_cert),
            pki_operation: sum(|minute| minute.pki_operation),
            issued: sum(|minute| minute.issued),
            pending: sum(|minute| minute.pending),
            refused: sum(|minute| minute.refused),
            failed: sum(|minute| minute.failed),
            p50_ms: milliseconds(&latency, MEDIAN),
            p95_ms: milliseconds(&latency, SLOW),
            anomalies: anomalies(minutes),
            minutes: Minutes {
                issued: each(|minute| minute.issued),
                pending: each(|minute| minute.pending),
                refused: each(|minute| minute.refused),
                failed: each(|minute| minute.failed),
                p50_ms: quantiles(MEDIAN),
                p95_ms: quantiles(SLOW),
            },
        }
    }
}

fn milliseconds(latency: &Latency, quantile: f64) -> Option<f64> {
    let found = latency.quantile(quantile)?;
    Some((found * 10.0).round() / 10.0)
}

fn anomalies(minutes: &[Minute]) -> Vec<Anomalies> {
    let of = |reason: Reason| {
        let counts = || {
            let latest_first = minutes.iter().rev();
            latest_first.map(|minute| minute.anomalies.count(reason))
        };
        let row = reason.row();
        Some(Anomalies {
            reason: row.word,
            severity: row.severity.as_str(),
            count: counts().sum(),
            refused: is_refusal(reason),
            minutes_ago: counts().position(|count| count > 0)?,
            what: row.what,
            cure: row.cure,
            advice: row.advice,
        })
    };
    let mut all: Vec<_> = Reason::anomalies().filter_map(of).collect();
    all.sort_by_key(|anomaly| std::cmp::Reverse(anomaly.count));
    all
}

/// Returns whether NDES refused the request of one device.
fn is_refusal(reason: Reason) -> bool {
    let infos = FailInfo::KNOWN.into_iter().chain([FailInfo::Other(0)]);
    infos.map(of_fail_info).any(|refused| refused == reason)
}
