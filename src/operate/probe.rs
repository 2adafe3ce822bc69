//! Asks each NDES again and again how it is: what a device asks first, and what nobody else looks
//! at in time, the expiry of its certificates.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, response};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::base::head::Target;
use crate::config::types::PublishedPath;
use crate::insight::diagnosis::{self, Anomaly, Answerer};
use crate::insight::{Illness, Probe};
use crate::proxy::generation::{Generation, Published};
use crate::scep::{Capabilities, Operation};
use crate::upstream::Outgoing;
use crate::upstream::fields::Lines;

/// Probes of whatever is published. Never a PKIOperation.
pub struct Prober {
    pub current: Arc<ArcSwap<Generation>>,
}

/// No worker has this number, so a probe has a connection of its own, TLS handshake included.
const NO_WORKER: usize = usize::MAX;
/// How soon a reload is noticed.
const LOOK: Duration = Duration::from_secs(1);
/// NDES's answers to a probe are below 10 KB.
const MOST_BODY: usize = 256 << 10;
const AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ndes-proxy/", env!("CARGO_PKG_VERSION"), " probe"));

impl Prober {
    /// Probes until it is dropped.
    pub async fn run(self) {
        loop {
            let generation = self.current.load_full();
            // Dropped with the generation, and all probes with it.
            let mut probes = JoinSet::new();
            for index in 0..generation.applications.len() {
                probes.spawn(watch(generation.clone(), index));
            }
            while !generation.is_replaced() {
                sleep(LOOK).await;
            }
        }
    }
}

async fn watch(generation: Arc<Generation>, index: usize) {
    let Some(published) = generation.applications.get(index) else {
        return;
    };
    let Some(plan) = &published.probe else { return };
    let mut certificates_seen: Option<Instant> = None;
    while !generation.is_replaced() {
        let (at, began) = (SystemTime::now(), Instant::now());
        let due = |seen: Instant| began.saturating_duration_since(seen) >= plan.certificates;
        let with_certificates = certificates_seen.is_none_or(due);
        let found = look(published, &plan.path, with_certificates).await.err();
        if with_certificates && found.is_none() {
            certificates_seen = Some(began);
        }
        let probe = Probe {
            at,
            took: began.elapsed(),
            found,
        };
        published
            .scep
            .health
            .probed(probe, plan.thresholds, Instant::now());
        sleep(plan.interval).await;
    }
}

/// A bare GET, GetCACaps and now and then GetCACert: the first that is not as it should be.
async fn look(
    published: &Published,
    path: &PublishedPath,
    with_certificates: bool,
) -> Result<(), Illness> {
    ask(published, path, None).await?;
    let (_, words) = ask(published, path, Some(Operation::GetCACaps)).await?;
    if Capabilities::read(&words).iter().next().is_none() {
        return Err(Illness {
            anomaly: Anomaly::PostNotOffered,
            detail: "the answer to GetCACaps names no capability".to_owned(),
        });
    }
    if !with_certificates {
        return Ok(());
    }
    let (_, body) = ask(published, path, Some(Operation::GetCACert)).await?;
    let anomalies = published.scep.learn(&body).map_err(|error| Illness {
        anomaly: Anomaly::GetCaCertUnreadable,
        detail: error.to_string(),
    })?;
    for anomaly in anomalies {
        published.scep.tell(anomaly, 1, Instant::now());
        if matches!(
            anomaly,
            Anomaly::RaCertificateExpired | Anomaly::CaCertificateExpired
        ) {
            return Err(Illness {
                anomaly,
                detail: "in the answer to GetCACert".to_owned(),
            });
        }
    }
    Ok(())
}

async fn ask(
    published: &Published,
    path: &PublishedPath,
    operation: Option<Operation>,
) -> Result<(response::Parts, Bytes), Illness> {
    let target = target(path, operation);
    let asked = diagnosis::Asked {
        operation,
        uri_bytes: target.path_and_query.len(),
        policy_module: published.policy_module,
    };
    let mut fields = Lines::to(&published.host);
    fields.add("user-agent", &AGENT);
    let request = Outgoing::new(NO_WORKER, Method::GET, operation, target, fields.end());
    let answer = published.upstream.clone().oneshot(request).await;
    let answer = match answer {
        Ok(answer) => answer.whole(MOST_BODY).await,
        Err(failure) => Err(failure),
    };
    let (parts, body) = answer.map_err(|failure| Illness {
        anomaly: diagnosis::of_failure(&failure),
        detail: failure.explained(),
    })?;
    let answerer = Answerer::of(&parts.headers);
    match diagnosis::of_answer(asked, parts.status, answerer) {
        Some(anomaly) => Err(Illness {
            anomaly,
            detail: seen(parts.status, answerer, operation),
        }),
        None => Ok((parts, body)),
    }
}

fn seen(status: StatusCode, answerer: Answerer, operation: Option<Operation>) -> String {
    let by = match answerer {
        Answerer::HttpSys => " by HTTP.sys",
        Answerer::Other => "",
    };
    let to = operation.map_or("a request without operation", Operation::as_str);
    format!("{}{by} to {to}", status.as_u16())
}

fn target(path: &PublishedPath, operation: Option<Operation>) -> Target {
    let path = path.as_str();
    let text = match operation {
        Some(operation) => format!("{path}?operation={}", operation.as_str()),
        None => path.to_owned(),
    };
    // A published path with a query of letters is always a target.
    Target::parse(text.into()).unwrap_or_default()
}
