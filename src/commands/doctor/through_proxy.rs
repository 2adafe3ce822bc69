//! Sends the same requests through the proxy: checks that forbidden paths are refused, and that the
//! responses and the URI limit are those of a direct connection.

use std::time::Duration;

use http::StatusCode;
use http::uri::PathAndQuery;
use tokio::time::timeout;

use super::endpoint::Endpoint;
use super::length;
use super::limits::DEVICES_NEED;
use super::questions::{DirectResults, GET_CA_CAPS};
use super::request::{self, RequestError, Response};
use super::{Collector, Context, Finding, Level, Step};
use crate::base::reason::Reason;
use crate::config::ClientAddress;
use crate::insight::diagnosis::{Answerer, RequestFacts, of_answer};
use crate::scep::Capabilities;

/// The paths that must not be published: the challenge page, web enrolment, the site itself.
const FORBIDDEN_PATHS: [&str; 3] = ["/certsrv/mscep_admin/", "/certsrv/", "/"];
/// The request may wait in the queue of the proxy, and then for NDES.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(40);
/// The maximum number of bytes that `client_address` adds to the request head.
const CLIENT_ADDRESS_BYTES: usize = 64;

/// Sends all requests through the proxy and compares the responses with `results`.
pub(super) async fn ask_all(
    context: &Context<'_>,
    endpoint: &Endpoint,
    results: &DirectResults,
    collector: &mut Collector<'_>,
) {
    if !forbidden_paths_are_refused(context, endpoint, collector).await {
        return collector.skip(&Step::THROUGH[1..]);
    }
    let path = context.application.paths.first();
    let path = path.map_or("/", |path| path.as_str());
    collector.begin(
        Step::ThroughBareGet,
        "GET without operation through the proxy",
    );
    let bare = bare_finding(context, results, get(endpoint, path).await);
    let is_ok = bare.level == Level::Ok;
    collector.add(bare);
    // A failure of the direct request would only be reported twice.
    let is_useful = results.bare.is_none() || results.capabilities.is_some();
    if !(is_ok && is_useful) {
        return collector.skip(&Step::THROUGH[2..]);
    }
    collector.begin(Step::ThroughGetCaCaps, "GetCACaps through the proxy");
    let caps = get(endpoint, &format!("{path}?{GET_CA_CAPS}")).await;
    collector.add(capabilities_finding(results, caps));
    check_uri_length(context, endpoint, path, results, collector).await;
}

/// Reports on the paths that must not be published. Returns `false` if they are not refused by an
/// ndes-proxy.
async fn forbidden_paths_are_refused(
    context: &Context<'_>,
    endpoint: &Endpoint,
    collector: &mut Collector<'_>,
) -> bool {
    let step = Step::ThroughForbidden;
    let published = &context.application.paths;
    let is_published = |path: &&str| {
        let mut paths = published.iter();
        paths.any(|published| published.as_str().eq_ignore_ascii_case(path))
    };
    for path in FORBIDDEN_PATHS.iter().filter(|path| is_published(path)) {
        collector.add(Finding::warning(
            step,
            format!("{path} is published, by allow_dangerous_paths: it exposes more than SCEP"),
            "remove it from paths, unless this risk was accepted on purpose",
        ));
    }
    let forbidden: Vec<_> = FORBIDDEN_PATHS
        .into_iter()
        .filter(|path| !is_published(path))
        .collect();
    for path in &forbidden {
        collector.begin(step, &format!("{path}, which must not be published"));
        match get(endpoint, path).await {
            Ok(response) if response.proxy_reason() == Some("path_not_published") => {}
            Ok(response) => {
                let status = response.status.as_u16();
                let (what, cure) = match response.proxy_reason() {
                    Some(reason) => (
                        format!("{path} is answered {status} by the proxy itself: {reason}"),
                        "look up the reason in the table of refusals, and reload the proxy if it \
                         runs with another configuration",
                    ),
                    None => (
                        format!("{path} is answered {status}, and not by ndes-proxy"),
                        "another server responds under this name, perhaps still the old \
                         publication: direct the name, NAT or load balancer to the proxy",
                    ),
                };
                collector.add(Finding::problem(step, what, cure));
                return false;
            }
            Err(error) => {
                collector.add(request_failed(step, &error));
                return false;
            }
        }
    }
    if !forbidden.is_empty() {
        collector.ok(step, format!("404 by the proxy: {}", forbidden.join(", ")));
    }
    true
}

/// Checks that a URI of the longest length that passes directly also passes through the proxy.
async fn check_uri_length(
    context: &Context<'_>,
    endpoint: &Endpoint,
    path: &str,
    results: &DirectResults,
    collector: &mut Collector<'_>,
) {
    let step = Step::ThroughUrlLength;
    let mut size = results.longest.unwrap_or(DEVICES_NEED);
    if context.application.client_address != ClientAddress::None {
        size = size.saturating_sub(CLIENT_ADDRESS_BYTES);
    }
    let limits = &context.config.limits;
    size = size.min(limits.uri_bytes);
    collector.begin(step, &format!("a URI of {size} bytes through the proxy"));
    let target = format!("{path}?{}", length::query(path, size));
    let response = match get(endpoint, &target).await {
        Ok(response) => response,
        Err(error) => return collector.add(request_failed(step, &error)),
    };
    collector.add(match response.proxy_reason() {
        _ if response.status == StatusCode::OK
            && size < DEVICES_NEED
            && limits.uri_bytes == size =>
        {
            Finding::warning(
                step,
                format!(
                    "limits.uri_bytes = {size} is the maximum; devices send up to {DEVICES_NEED}"
                ),
                "remove limits.uri_bytes from the configuration: the default is 65534",
            )
        }
        _ if response.status == StatusCode::OK => Finding::ok(
            step,
            format!("a URI of {size} bytes passes, as it does directly"),
        ),
        Some(reason) => Finding::problem(
            step,
            format!("a URI of {size} bytes is refused by the proxy itself: {reason}"),
            "look up the reason in the table of refusals; the limits are in [limits] and in \
             max_request_head_bytes",
        ),
        None if results.longest.is_none() => Finding::problem(
            step,
            format!(
                "a URI of {size} bytes is answered {}",
                response.status.as_u16()
            ),
            "raise the limits of NDES: request filtering answers 404, HTTP.sys 400 or 414",
        ),
        None => Finding::problem(
            step,
            format!(
                "a URI of {size} bytes passes directly, but is answered {} through the proxy",
                response.status.as_u16()
            ),
            "a device in front of the proxy (firewall, load balancer) limits URIs: raise its limit \
             to 65534 bytes",
        ),
    });
}

fn capabilities_finding(
    results: &DirectResults,
    response: Result<Response, RequestError>,
) -> Finding {
    let step = Step::ThroughGetCaCaps;
    let response = match response {
        Ok(response) => response,
        Err(error) => return request_failed(step, &error),
    };
    if let Some(reason) = response.proxy_reason() {
        return by_proxy(step, &response, reason, results.capabilities.is_some());
    }
    let count = Capabilities::read(&response.body).iter().count();
    let status = response.status.as_u16();
    let what = format!("{status} with {count} capabilities");
    match results.capabilities {
        Some(direct) if direct == count => Finding::ok(step, format!("{what}, as directly")),
        Some(direct) => Finding::problem(
            step,
            format!("{what}, but directly {direct}"),
            "a device in front of the proxy changes responses, or the proxy uses another NDES",
        ),
        None if count > 0 => Finding::ok(step, what),
        None => Finding::problem(step, what, Reason::PostNotOffered.advice()),
    }
}

fn bare_finding(
    context: &Context<'_>,
    results: &DirectResults,
    response: Result<Response, RequestError>,
) -> Finding {
    let step = Step::ThroughBareGet;
    let response = match response {
        Ok(response) => response,
        Err(error) => return request_failed(step, &error),
    };
    if let Some(reason) = response.proxy_reason() {
        return by_proxy(step, &response, reason, results.bare.is_some());
    }
    let status = response.status.as_u16();
    match results.bare {
        Some(direct) if direct == response.status => {
            return Finding::ok(step, format!("{status}, as from NDES itself"));
        }
        Some(direct) => {
            return Finding::problem(
                step,
                format!("{status}, but directly {}", direct.as_u16()),
                "a device in front of the proxy changes responses, or the proxy uses another NDES",
            );
        }
        None => {}
    }
    let facts = RequestFacts {
        operation: None,
        uri_bytes: 0,
        policy_module: context.application.policy_module,
    };
    // The proxy removes the Server field. A 503 is most often from HTTP.sys.
    match of_answer(facts, response.status, Answerer::HttpSys) {
        Some(anomaly) => Finding::anomaly(step, anomaly, format!("answered {status}")),
        None => Finding::ok(step, format!("{status}: NDES responds through the proxy")),
    }
}

/// Explains a response that the proxy itself generated. `works` is true if the same request
/// succeeds directly.
fn by_proxy(step: Step, response: &Response, reason: &str, works: bool) -> Finding {
    let status = response.status.as_u16();
    let what = format!("{status} by the proxy itself: {reason}");
    if works {
        return Finding::problem(
            step,
            what,
            "the same request works directly: read the log of the proxy, and reload the proxy if \
             it runs with another configuration",
        );
    }
    let cure = "fix the findings about NDES above, and look up the reason in the table of refusals";
    match reason.starts_with("upstream_") {
        // The problem was already reported for NDES.
        true => Finding::warning(step, what, cure),
        false => Finding::problem(step, what, cure),
    }
}

fn request_failed(step: Step, error: &RequestError) -> Finding {
    Finding::problem(
        step,
        format!("no response: {error}"),
        "read the log of the proxy; if it has no line about this request, a device in front of it \
         closes connections",
    )
}

async fn get(endpoint: &Endpoint, target: &str) -> Result<Response, RequestError> {
    let target = PathAndQuery::try_from(target).map_err(std::io::Error::other)?;
    let wire = endpoint.connect(true).await?;
    let response = request::get(wire, endpoint.name.as_str(), target);
    let late = || RequestError::Timeout(RESPONSE_TIMEOUT.as_secs());
    timeout(RESPONSE_TIMEOUT, response)
        .await
        .unwrap_or_else(|_elapsed| Err(late()))
}
