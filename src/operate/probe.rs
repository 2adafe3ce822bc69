//! Probes each NDES server: it sends the requests that a device sends first, and checks the expiry
//! of its certificates, which would otherwise be noticed too late.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use arc_swap::ArcSwap;
use bytes::Bytes;
use http::{HeaderValue, Method, StatusCode, response};
use tokio::task::JoinSet;
use tokio::time::sleep;
use tower::ServiceExt;

use crate::base::head::Target;
use crate::base::reason::Reason;
use crate::config::types::PublishedPath;
use crate::insight::diagnosis::{self, Answerer, RequestFacts};
use crate::insight::{ProbeResult, Unhealthy};
use crate::proxy::application::{Application, ProbePlan, Upstream};
use crate::proxy::generation::Generation;
use crate::scep::{Capabilities, Operation};
use crate::upstream::Outgoing;
use crate::upstream::fields::Lines;

/// Probes the servers of the current generation. Never sends a PKIOperation.
pub struct Prober {
    pub current: Arc<ArcSwap<Generation>>,
}

/// No worker has this number, so each probe opens a connection of its own, with a TLS handshake.
const NO_WORKER: usize = usize::MAX;
/// How soon a reload is noticed.
const RELOAD_CHECK: Duration = Duration::from_secs(1);
/// Responses of NDES to a probe are below 10 KB.
const MOST_BODY: usize = 256 << 10;
const USER_AGENT: HeaderValue =
    HeaderValue::from_static(concat!("ndes-proxy/", env!("CARGO_PKG_VERSION"), " probe"));

impl Prober {
    /// Probes until the future is dropped.
    pub async fn run(self) {
        loop {
            let generation = self.current.load_full();
            // Dropping the set at the next reload aborts all its probes.
            let mut probes = JoinSet::new();
            for application in generation.applications() {
                for upstream in &application.upstreams {
                    probes.spawn(watch(application.clone(), upstream.clone()));
                }
            }
            while !generation.is_replaced() {
                sleep(RELOAD_CHECK).await;
            }
        }
    }
}

/// Probes one server again and again.
async fn watch(application: Arc<Application>, upstream: Arc<Upstream>) {
    let Some(plan) = &upstream.probe else { return };
    let probe = Probe {
        application: &application,
        upstream: &upstream,
        plan,
    };
    let mut certificates_read: Option<Instant> = None;
    loop {
        let (at, began) = (SystemTime::now(), Instant::now());
        let due = |read: Instant| began.saturating_duration_since(read) >= plan.certificates;
        let with_certificates = certificates_read.is_none_or(due);
        let found = probe.run(with_certificates).await.err();
        if with_certificates && found.is_none() {
            certificates_read = Some(began);
        }
        let result = ProbeResult {
            at,
            took: began.elapsed(),
            found,
        };
        let health = &upstream.health;
        health.observe_probe(result, plan.thresholds, Instant::now());
        sleep(plan.interval).await;
    }
}

struct Probe<'a> {
    application: &'a Application,
    upstream: &'a Upstream,
    plan: &'a ProbePlan,
}

impl Probe<'_> {
    /// Sends a GET without operation, GetCACaps and, if `with_certificates`, GetCACert. Returns the
    /// first problem.
    async fn run(&self, with_certificates: bool) -> Result<(), Unhealthy> {
        self.request(None).await?;
        let (_, words) = self.request(Some(Operation::GetCACaps)).await?;
        if Capabilities::read(&words).iter().next().is_none() {
            return Err(Unhealthy {
                reason: Reason::PostNotOffered,
                detail: "the response to GetCACaps names no capability".to_owned(),
            });
        }
        if !with_certificates {
            return Ok(());
        }
        let (_, body) = self.request(Some(Operation::GetCACert)).await?;
        let scep = &self.application.scep;
        let anomalies = scep.learn(&body).map_err(|error| Unhealthy {
            reason: Reason::GetCaCertUnreadable,
            detail: error.to_string(),
        })?;
        for reason in anomalies {
            scep.report(reason, 1, Instant::now());
            let expired = [Reason::RaCertificateExpired, Reason::CaCertificateExpired];
            if expired.contains(&reason) {
                return Err(Unhealthy {
                    reason,
                    detail: "in the response to GetCACert".to_owned(),
                });
            }
        }
        Ok(())
    }

    async fn request(
        &self,
        operation: Option<Operation>,
    ) -> Result<(response::Parts, Bytes), Unhealthy> {
        let target = target(&self.plan.path, operation);
        let facts = RequestFacts {
            operation,
            uri_bytes: target.path_and_query.len(),
            policy_module: self.application.policy_module,
        };
        let mut fields = Lines::to(&self.upstream.host);
        fields.add("user-agent", &USER_AGENT);
        let request = Outgoing::new(NO_WORKER, Method::GET, operation, target, fields.end());
        let response = match self.upstream.stack.clone().oneshot(request).await {
            Ok(response) => response.whole(MOST_BODY).await,
            Err(failure) => Err(failure),
        };
        let (parts, body) = response.map_err(|failure| Unhealthy {
            reason: diagnosis::of_failure(&failure),
            detail: failure.explained(),
        })?;
        let answerer = Answerer::of(&parts.headers);
        match diagnosis::of_answer(facts, parts.status, answerer) {
            Some(reason) => Err(Unhealthy {
                reason,
                detail: observed(parts.status, answerer, operation),
            }),
            None => Ok((parts, body)),
        }
    }
}

fn observed(status: StatusCode, answerer: Answerer, operation: Option<Operation>) -> String {
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
