//! The same questions through the proxy: what is closed is closed, and what is long passes.

use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use tokio::time::timeout;

use super::ask::{self, Answered, Unanswered};
use super::door::Door;
use super::ladder::{GET_CA_CAPS, Known};
use super::length::{self, DEVICES_NEED};
use super::{Finding, Level, Notes, Step, Subject};
use crate::base::reason::Reason;
use crate::config::ClientAddress;
use crate::insight::diagnosis::{Answerer, RequestFacts, of_answer};
use crate::scep::Capabilities;

pub(super) const STEPS: [Step; 4] = [
    Step::ThroughForbidden,
    Step::ThroughBareGet,
    Step::ThroughGetCaCaps,
    Step::ThroughUrlLength,
];

/// What strangers must not reach: the challenge page, web enrolment, the site itself.
const CLOSED: [&str; 3] = ["/certsrv/mscep_admin/", "/certsrv/", "/"];
/// The proxy may wait for a turn at NDES, and then for NDES.
const ANSWER_TIME: Duration = Duration::from_secs(40);
/// The most that `client_address` adds to the head.
const CLIENT_ADDRESS: usize = 64;

pub(super) async fn all(subject: &Subject<'_>, door: &Door, known: &Known, notes: &mut Notes<'_>) {
    if !closed(subject, door, notes).await {
        return notes.leave_out(&STEPS[1..]);
    }
    let path = subject.application.paths.first();
    let path = path.map_or("/", |path| path.as_str());
    notes.begin(Step::ThroughBareGet, "the same through the proxy");
    let bare = judge(subject, known, get(door, path).await);
    let answers = bare.level == Level::Ok;
    notes.add(bare);
    // What fails directly would only be said twice.
    let asked = known.bare.is_none() || known.capabilities.is_some();
    if !(answers && asked) {
        return notes.leave_out(&STEPS[2..]);
    }
    notes.begin(Step::ThroughGetCaCaps, "GetCACaps through the proxy");
    let caps = get(door, &format!("{path}?{GET_CA_CAPS}")).await;
    notes.add(capabilities(known, caps));
    long(subject, door, path, known, notes).await;
}

/// False where no ndes-proxy answers.
async fn closed(subject: &Subject<'_>, door: &Door, notes: &mut Notes<'_>) -> bool {
    let step = Step::ThroughForbidden;
    let published = &subject.application.paths;
    let is_published = |path: &&str| {
        let mut paths = published.iter();
        paths.any(|known| known.as_str().eq_ignore_ascii_case(path))
    };
    for path in CLOSED.iter().filter(|path| is_published(path)) {
        notes.add(Finding::warning(
            step,
            format!("{path} is published, by allow_dangerous_paths: strangers see more than SCEP"),
            "take it out of paths, unless this risk was accepted on purpose",
        ));
    }
    let closed: Vec<_> = CLOSED
        .into_iter()
        .filter(|path| !is_published(path))
        .collect();
    for path in &closed {
        notes.begin(step, &format!("{path}, which must not be there"));
        match get(door, path).await {
            Ok(answer) if answer.reason_of_proxy() == Some("path_not_published") => {}
            Ok(answer) => {
                let status = answer.status.as_u16();
                let (what, cure) = match answer.reason_of_proxy() {
                    Some(reason) => (
                        format!("{path} is answered {status} by the proxy itself: {reason}"),
                        "look the reason up in the table of refusals, and reload the proxy if \
                         its configuration is not this one",
                    ),
                    None => (
                        format!("{path} is answered {status}, and not by ndes-proxy"),
                        "another server answers as this name, perhaps still the old publication: \
                         let name, NAT or load balancer lead to the proxy",
                    ),
                };
                notes.add(Finding::problem(step, what, cure));
                return false;
            }
            Err(error) => {
                notes.add(unanswered(step, &error));
                return false;
            }
        }
    }
    if !closed.is_empty() {
        notes.ok(step, format!("404 by the proxy: {}", closed.join(", ")));
    }
    true
}

async fn long(
    subject: &Subject<'_>,
    door: &Door,
    path: &str,
    known: &Known,
    notes: &mut Notes<'_>,
) {
    let step = Step::ThroughUrlLength;
    let mut size = known.longest.unwrap_or(DEVICES_NEED);
    if subject.application.client_address != ClientAddress::None {
        size = size.saturating_sub(CLIENT_ADDRESS);
    }
    let limits = &subject.config.limits;
    size = size.min(limits.uri_bytes);
    notes.begin(step, &format!("a URI of {size} bytes through the proxy"));
    let target = format!("{path}?{}", length::query(path, size));
    let answer = match get(door, &target).await {
        Ok(answer) => answer,
        Err(error) => return notes.add(unanswered(step, &error)),
    };
    notes.add(match answer.reason_of_proxy() {
        _ if answer.status == StatusCode::OK && size < DEVICES_NEED && limits.uri_bytes == size => {
            Finding::warning(
                step,
                format!("limits.uri_bytes = {size} is all that passes; devices send up to {DEVICES_NEED}"),
                "take limits.uri_bytes out of the configuration: the default is 65534",
            )
        }
        _ if answer.status == StatusCode::OK => {
            Finding::ok(step, format!("a URI of {size} bytes passes, as it does directly"))
        }
        Some(reason) => Finding::problem(
            step,
            format!("a URI of {size} bytes is refused by the proxy itself: {reason}"),
            "look the reason up in the table of refusals; the limits are in [limits] and in \
             max_request_head_bytes",
        ),
        None if known.longest.is_none() => Finding::problem(
            step,
            format!("a URI of {size} bytes is answered {}", answer.status.as_u16()),
            "raise the limits of NDES: 404 is request filtering, 400 and 414 are HTTP.sys",
        ),
        None => Finding::problem(
            step,
            format!(
                "a URI of {size} bytes passes directly and is answered {} here",
                answer.status.as_u16()
            ),
            "a device before the proxy (firewall, load balancer) limits URIs: raise its limit to \
             65534 bytes",
        ),
    });
}

fn capabilities(known: &Known, answer: Result<Answered, Unanswered>) -> Finding {
    let step = Step::ThroughGetCaCaps;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return unanswered(step, &error),
    };
    if let Some(reason) = answer.reason_of_proxy() {
        return by_proxy(step, &answer, reason, known.capabilities.is_some());
    }
    let count = Capabilities::read(&answer.body).iter().count();
    let status = answer.status.as_u16();
    let what = format!("{status} with {count} capabilities");
    match known.capabilities {
        Some(direct) if direct == count => Finding::ok(step, format!("{what}, as directly")),
        Some(direct) => Finding::problem(
            step,
            format!("{what}, and directly {direct}"),
            "something before the proxy changes answers, or the proxy asks another NDES",
        ),
        None if count > 0 => Finding::ok(step, what),
        None => Finding::problem(step, what, Reason::PostNotOffered.advice()),
    }
}

fn judge(subject: &Subject<'_>, known: &Known, answer: Result<Answered, Unanswered>) -> Finding {
    let step = Step::ThroughBareGet;
    let answer = match answer {
        Ok(answer) => answer,
        Err(error) => return unanswered(step, &error),
    };
    if let Some(reason) = answer.reason_of_proxy() {
        return by_proxy(step, &answer, reason, known.bare.is_some());
    }
    let status = answer.status.as_u16();
    match known.bare {
        Some(direct) if direct == answer.status => {
            return Finding::ok(step, format!("{status}, as from NDES itself"));
        }
        Some(direct) => {
            return Finding::problem(
                step,
                format!("{status}, and directly {}", direct.as_u16()),
                "something before the proxy changes answers, or the proxy asks another NDES",
            );
        }
        None => {}
    }
    let asked = RequestFacts {
        operation: None,
        uri_bytes: 0,
        policy_module: subject.application.policy_module,
    };
    // The proxy does not say who answered; 503 is most often HTTP.sys.
    match of_answer(asked, answer.status, Answerer::HttpSys) {
        Some(anomaly) => Finding::anomaly(step, anomaly, format!("answered {status}")),
        None => Finding::ok(step, format!("{status}: NDES answers through the proxy")),
    }
}

/// `works`: what was asked is answered when it is asked directly.
fn by_proxy(step: Step, answer: &Answered, reason: &str, works: bool) -> Finding {
    let status = answer.status.as_u16();
    let what = format!("{status} by the proxy itself: {reason}");
    if works {
        return Finding::problem(
            step,
            what,
            "directly it works: see the log of the proxy, and reload it if it runs with another \
             configuration",
        );
    }
    let cure = "see NDES above, and the reason in the table of refusals";
    match reason.starts_with("upstream_") {
        // The problem has been told.
        true => Finding::warning(step, what, cure),
        false => Finding::problem(step, what, cure),
    }
}

fn unanswered(step: Step, error: &Unanswered) -> Finding {
    Finding::problem(
        step,
        format!("no answer: {error}"),
        "see the log of the proxy; if it has no line of this, something before it ends connections",
    )
}

async fn get(door: &Door, target: &str) -> Result<Answered, Unanswered> {
    let target = PathAndQuery::try_from(target).map_err(std::io::Error::other)?;
    let wire = door.enter(true).await?;
    let answer = ask::get(wire, door.name.as_str(), target);
    let late = || Unanswered::Late(ANSWER_TIME.as_secs());
    timeout(ANSWER_TIME, answer)
        .await
        .unwrap_or_else(|_elapsed| Err(late()))
}
