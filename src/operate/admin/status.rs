//! The content of the status page as JSON. Times are in the format of RFC 3339.

mod hour;

use std::sync::atomic::Ordering;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use serde::Serialize;

use super::Admin;
use super::upstreams::{Upstream, rfc3339, rfc3339_of};
use crate::base::reason::Reason;
use crate::proxy::application;
use crate::proxy::rules::Rules;
use hour::Hour;

#[derive(Serialize)]
pub(super) struct Status {
    version: &'static str,
    now: String,
    started: String,
    /// `starting`, `serving` or `stopping`.
    state: &'static str,
    reload: Reload,
    connections_open: i64,
    requests_in_flight: i64,
    applications: Vec<Application>,
    /// Refusals of the last hour and of all applications, the most frequent first.
    refusals: Vec<Refusals>,
}

#[derive(Serialize)]
struct Reload {
    refused: bool,
    line: String,
}

#[derive(Serialize)]
struct Application {
    public_names: Vec<String>,
    paths: Vec<String>,
    operations: Vec<&'static str>,
    /// The same object as in `/upstreams`.
    ndes: Upstream,
    /// Requests at NDES, and those that wait in the queue.
    in_flight: usize,
    waiting: usize,
    /// The certificates whose expiry an admin must not miss, the first to expire first.
    certificates: Vec<Certificate>,
    hour: Hour,
}

#[derive(Serialize)]
struct Certificate {
    /// `public`, `ndes` (its TLS certificate) or the role of one from GetCACert.
    role: &'static str,
    name: String,
    not_after: Option<String>,
    /// Whole days; negative once it has expired.
    days_left: i64,
}

#[derive(Serialize)]
struct Refusals {
    reason: &'static str,
    count: u64,
    /// The sentence in the response to the client.
    meaning: &'static str,
    advice: &'static str,
}

impl Status {
    /// Returns the status at `now`; `clock` is the same moment.
    pub(super) fn of(admin: &Admin, now: Instant, clock: SystemTime) -> Self {
        let process = &admin.process;
        let generation = admin.current.load();
        process.scep.expire(now);
        let today = clock.duration_since(UNIX_EPOCH).unwrap_or_default();
        let today = i64::try_from(today.as_secs()).unwrap_or(i64::MAX);
        let applications = generation.applications().iter();
        Self {
            version: env!("CARGO_PKG_VERSION"),
            now: rfc3339(clock),
            started: rfc3339(process.started()),
            state: match () {
                () if admin.shutdown.has_begun() => "stopping",
                () if admin.serving.load(Ordering::Relaxed) => "serving",
                () => "starting",
            },
            reload: Reload {
                refused: admin.reload.is_refused(),
                line: admin.reload.line(),
            },
            connections_open: process.metrics.connections_open.get(),
            requests_in_flight: process.metrics.requests_in_flight.get(),
            applications: applications
                .map(|application| Application::of(application, now, today))
                .collect(),
            refusals: refusals(admin, now),
        }
    }
}

fn refusals(admin: &Admin, now: Instant) -> Vec<Refusals> {
    let minutes = admin.process.refusals.minutes(now);
    let of = |reason: Reason| {
        let row = reason.row();
        Some(Refusals {
            reason: row.word,
            count: minutes.iter().map(|minute| minute.count(reason)).sum(),
            meaning: row.response?.sentence,
            advice: row.advice,
        })
    };
    let mut all: Vec<_> = Reason::refusals().filter_map(of).collect();
    all.retain(|refusals| refusals.count > 0);
    all.sort_by_key(|refusals| std::cmp::Reverse(refusals.count));
    all
}

impl Application {
    /// `today` is in seconds since 1970.
    fn of(application: &application::Application, now: Instant, today: i64) -> Self {
        let Rules {
            paths, operations, ..
        } = &application.rules;
        let mut names: Vec<_> = application.public_names.iter().collect();
        names.sort_unstable();
        let upstream = application.upstream();
        let (in_flight, waiting) = upstream.queue.load();
        Self {
            public_names: names.into_iter().map(ToString::to_string).collect(),
            paths: paths.iter().map(|path| path.as_str().to_owned()).collect(),
            operations: operations.iter().map(|one| one.as_str()).collect(),
            ndes: Upstream::of(application, upstream),
            in_flight,
            waiting,
            certificates: certificates(application, upstream, today),
            hour: Hour::of(&application.scep.hour.minutes(now)),
        }
    }
}

fn certificates(
    application: &application::Application,
    upstream: &application::Upstream,
    today: i64,
) -> Vec<Certificate> {
    let of = |role, name: &str, not_after: i64| Certificate {
        role,
        name: name.to_owned(),
        not_after: rfc3339_of(not_after),
        days_left: not_after.saturating_sub(today).div_euclid(24 * 60 * 60),
    };
    let public = application.identities.iter();
    let mut all: Vec<_> = public
        .map(|one| {
            of(
                "public",
                &format!("{} ({})", one.subject, one.key),
                one.not_after,
            )
        })
        .collect();
    let presented = upstream.client.certificate_not_after();
    all.extend(presented.map(|not_after| of("ndes", &upstream.client.name(), not_after)));
    for one in application.scep.certificates().iter() {
        if let Some(not_after) = one.not_after {
            let subject = one.subject.text();
            let subject = subject.as_deref().unwrap_or("(no name)");
            all.push(of(one.role().as_str(), subject, not_after));
        }
    }
    all.sort_by_key(|certificate| certificate.days_left);
    all
}
