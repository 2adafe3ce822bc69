//! The health of each NDES server, for people and for programs.

use std::fmt::Write;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use crate::insight::{HealthStatus, Unhealthy};
use crate::proxy::application::{self, Application};
use crate::proxy::generation::Generation;
use crate::scep::Certificate;

/// One NDES server. Times are in the format of RFC 3339.
#[derive(Serialize)]
pub(super) struct Upstream {
    application: String,
    upstream: String,
    /// Null while nothing is known.
    healthy: Option<bool>,
    since: String,
    /// Null unless NDES is unhealthy, as are the next five.
    reason: Option<&'static str>,
    severity: Option<&'static str>,
    /// What was observed.
    detail: Option<String>,
    /// What happened, by the table of reasons.
    what: Option<&'static str>,
    cure: Option<&'static str>,
    /// `what` and `cure` together.
    advice: Option<&'static str>,
    last_probe: Option<LastProbe>,
    /// What GetCACert returns.
    certificates: Vec<CaCertificate>,
}

#[derive(Serialize)]
struct LastProbe {
    at: String,
    milliseconds: f64,
    reason: Option<&'static str>,
}

#[derive(Serialize)]
struct CaCertificate {
    role: &'static str,
    subject: Option<String>,
    serial: String,
    not_after: Option<String>,
}

pub(super) fn of(generation: &Generation) -> Vec<Upstream> {
    all(generation)
        .map(|(application, upstream)| Upstream::of(application, upstream))
        .collect()
}

/// Returns the same as text, one line for each upstream.
pub(super) fn lines(generation: &Generation) -> String {
    let mut text = String::new();
    for (application, upstream) in all(generation) {
        let name = &application.name;
        let HealthStatus {
            unknown,
            unhealthy,
            since,
            ..
        } = upstream.health.status();
        let since = humantime::format_rfc3339_seconds(since);
        // Writing to a string does not fail.
        _ = match unhealthy {
            Some(Unhealthy { reason, detail }) => writeln!(
                text,
                "upstream {name}: unhealthy since {since}: {reason}: {detail}; {}",
                reason.advice()
            ),
            None if unknown => writeln!(text, "upstream {name}: not probed yet"),
            None => writeln!(text, "upstream {name}: healthy since {since}"),
        };
    }
    text
}

fn all(generation: &Generation) -> impl Iterator<Item = (&Application, &application::Upstream)> {
    generation.applications().iter().flat_map(|application| {
        let upstreams = application.upstreams.iter();
        upstreams.map(|upstream| (&**application, &**upstream))
    })
}

impl Upstream {
    pub(super) fn of(application: &Application, upstream: &application::Upstream) -> Self {
        let status = upstream.health.status();
        let unhealthy = status.unhealthy.as_ref();
        Self {
            application: application.name.clone(),
            upstream: upstream.client.name(),
            healthy: (!status.unknown).then_some(unhealthy.is_none()),
            since: rfc3339(status.since),
            reason: unhealthy.map(|unhealthy| unhealthy.reason.word()),
            severity: unhealthy.map(|unhealthy| unhealthy.reason.severity().as_str()),
            detail: unhealthy.map(|unhealthy| unhealthy.detail.clone()),
            what: unhealthy.map(|unhealthy| unhealthy.reason.row().what),
            cure: unhealthy.map(|unhealthy| unhealthy.reason.row().cure),
            advice: unhealthy.map(|unhealthy| unhealthy.reason.advice()),
            last_probe: status.last_probe.map(|probe| LastProbe {
                at: rfc3339(probe.at),
                milliseconds: probe.took.as_secs_f64() * 1e3,
                reason: probe.found.map(|unhealthy| unhealthy.reason.word()),
            }),
            certificates: application
                .scep
                .certificates()
                .iter()
                .map(ca_certificate)
                .collect(),
        }
    }
}

fn ca_certificate(certificate: &Certificate) -> CaCertificate {
    CaCertificate {
        role: certificate.role().as_str(),
        subject: certificate.subject.text(),
        serial: certificate.serial.text(),
        not_after: certificate.not_after.and_then(rfc3339_of),
    }
}

/// Formats `seconds` since 1970. Returns `None` if RFC 3339 cannot express the time.
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
