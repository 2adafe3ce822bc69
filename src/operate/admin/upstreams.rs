//! How each NDES is, for people and for programs.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::insight::Condition;
use crate::proxy::generation::{Generation, Published};
use crate::scep::Certificate;

/// One NDES; times as in RFC 3339.
#[derive(Serialize)]
pub(super) struct Upstream {
    application: String,
    upstream: String,
    /// Absent while nobody has asked.
    healthy: Option<bool>,
    since: String,
    /// The word of a diagnosis, where it is ill, with what was seen and what to do.
    reason: Option<&'static str>,
    detail: Option<String>,
    advice: Option<&'static str>,
    last_probe: Option<LastProbe>,
    /// What it hands out by GetCACert.
    certificates: Vec<Presented>,
}

#[derive(Serialize)]
struct LastProbe {
    at: String,
    milliseconds: f64,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Presented {
    role: &'static str,
    subject: Option<String>,
    serial: String,
    not_after: Option<String>,
}

pub(super) fn of(generation: &Generation) -> Vec<Upstream> {
    generation
        .named()
        .map(|(name, published)| upstream(name, published))
        .collect()
}

/// The same in a line each.
pub(super) fn lines(generation: &Generation) -> String {
    let mut text = String::new();
    for (name, published) in generation.named() {
        let Condition {
            unknown,
            ill,
            since,
            ..
        } = published.scep.health.condition();
        let since = humantime::format_rfc3339_seconds(since);
        // Writing to a string does not fail.
        _ = match ill {
            Some(ill) => writeln!(
                text,
                "upstream {name}: ill since {since}: {}: {}; {}",
                ill.anomaly.reason(),
                ill.detail,
                ill.anomaly.advice()
            ),
            None if unknown => writeln!(text, "upstream {name}: not asked yet"),
            None => writeln!(text, "upstream {name}: well since {since}"),
        };
    }
    text
}

pub(super) fn upstream(name: &str, published: &Published) -> Upstream {
    let condition = published.scep.health.condition();
    let ill = condition.ill.as_ref();
    Upstream {
        application: name.to_owned(),
        upstream: published.upstream_name(),
        healthy: (!condition.unknown).then_some(ill.is_none()),
        since: rfc3339(condition.since),
        reason: ill.map(|ill| ill.anomaly.reason()),
        detail: ill.map(|ill| ill.detail.clone()),
        advice: ill.map(|ill| ill.anomaly.advice()),
        last_probe: condition.last_probe.map(|probe| LastProbe {
            at: rfc3339(probe.at),
            milliseconds: probe.took.as_secs_f64() * 1e3,
            reason: probe.found.map(|ill| ill.anomaly.reason()),
        }),
        certificates: published
            .scep
            .certificates()
            .iter()
            .map(presented)
            .collect(),
    }
}

fn presented(certificate: &Certificate) -> Presented {
    Presented {
        role: certificate.role().as_str(),
        subject: certificate.subject.text(),
        serial: certificate.serial.text(),
        not_after: certificate.not_after.and_then(rfc3339_of),
    }
}

/// `seconds` since 1970; none where RFC 3339 cannot say it.
pub(super) fn rfc3339_of(seconds: i64) -> Option<String> {
    let seconds = u64::try_from(seconds).ok().filter(|s| *s < YEAR_10000)?;
    Some(rfc3339(
        UNIX_EPOCH.checked_add(Duration::from_secs(seconds))?,
    ))
}

const YEAR_10000: u64 = 253_402_300_800;

pub(super) fn rfc3339(time: SystemTime) -> String {
    humantime::format_rfc3339_seconds(time).to_string()
}
