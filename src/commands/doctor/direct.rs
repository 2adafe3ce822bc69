//! Connects to NDES step by step (DNS, TCP, TLS), with the settings and the code of the proxy.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tower::ServiceExt;

use super::public::{peer_chain, renewal_is_late, time_left, tls_version};
use super::request::{self, Response};
use super::{Collector, Context, Finding, Step};
use crate::base::head::Target;
use crate::base::reason::Reason;
use crate::insight::diagnosis::of_failure;
use crate::scep::Operation;
use crate::tls::certificate::Certificate;
use crate::upstream::fields::Lines;
use crate::upstream::{Client, Failure, Outgoing, Stack, first_to_answer, stack};

/// A client for NDES, created once a connection succeeded.
pub(super) struct Direct {
    stack: Stack,
    /// The header fields of each request, as sent on the wire.
    fields: Bytes,
    /// The first published path, as NDES receives it.
    pub(super) path: String,
}

/// The reason why there is no complete response.
#[derive(Debug)]
pub(super) enum DirectError {
    Failure(Failure),
    /// The response is incomplete or larger than [`request::MAX_BODY_BYTES`].
    Broken,
}

const NAME_TIME: Duration = Duration::from_secs(5);

const AFTER_DNS: [Step; 8] = [
    Step::UpstreamTcp,
    Step::UpstreamTls,
    Step::UpstreamExpiry,
    Step::BareGet,
    Step::ClientCertificate,
    Step::GetCaCaps,
    Step::GetCaCert,
    Step::UrlLength,
];

/// Resolves the name of NDES, connects and performs the TLS handshake. Returns `None` if one of
/// them fails.
pub(super) async fn connect(
    context: &Context<'_>,
    collector: &mut Collector<'_>,
) -> Option<Direct> {
    let Some(upstream) = &context.upstream else {
        // `check` has already reported what is wrong with ca_roots.
        collector.skip(&[Step::UpstreamDns]);
        collector.skip(&AFTER_DNS);
        return None;
    };
    let opened = open(context, upstream, collector).await;
    if let Err((failed, failure)) = opened {
        let finding = failure_finding(&failure, failed, context);
        let after = AFTER_DNS.into_iter().filter(|step| *step > failed);
        let after: Vec<_> = after.filter(|step| *step != finding.step).collect();
        collector.add(finding);
        collector.skip(&after);
        return None;
    }
    let mut fields = Lines::to(&upstream.settings.server_name.to_header());
    fields.add("user-agent", &request::AGENT);
    let path = context.application.paths.first()?;
    Some(Direct {
        stack: stack(upstream.clone()),
        fields: fields.end(),
        path: path.as_str().to_owned(),
    })
}

async fn open(
    context: &Context<'_>,
    upstream: &Client,
    collector: &mut Collector<'_>,
) -> Result<(), (Step, Failure)> {
    let limit = upstream.settings.timeouts.connect;
    let host = &upstream.settings.origin.host;

    collector.begin(Step::UpstreamDns, &format!("resolving {host}"));
    let looking_up = timeout(NAME_TIME, upstream.addresses()).await;
    let late = || Failure::Name(std::io::Error::other("the name server does not respond"));
    let addresses = looking_up
        .unwrap_or_else(|_elapsed| Err(late()))
        .map_err(|failure| (Step::UpstreamDns, failure))?;
    let ips: Vec<_> = addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    let ips = ips.join(", ");
    collector.ok(
        Step::UpstreamDns,
        match upstream.settings.address {
            Some(_) => format!("{host} is {ips}, as configured in address"),
            None => format!("{host} is {ips}"),
        },
    );

    collector.begin(Step::UpstreamTcp, &format!("connecting to {ips}"));
    let tcp = first_to_answer(&addresses, limit).await;
    let tcp = tcp.map_err(|failure| (Step::UpstreamTcp, failure))?;
    if let Ok(address) = tcp.peer_addr() {
        collector.ok(Step::UpstreamTcp, format!("{address} accepts connections"));
    }

    collector.begin(
        Step::UpstreamTls,
        &format!("TLS with {}", upstream.settings.server_name),
    );
    let tls = timeout(limit, upstream.secure(tcp)).await;
    let tls = tls
        .unwrap_or(Err(Failure::ConnectTimeout))
        .map_err(|failure| (Step::UpstreamTls, failure))?;
    report_handshake(context, upstream, &tls, collector);
    Ok(())
}

/// Reports how the certificate of NDES was verified, and when its chain expires.
fn report_handshake(
    context: &Context<'_>,
    upstream: &Client,
    tls: &TlsStream<TcpStream>,
    collector: &mut Collector<'_>,
) {
    let chain = peer_chain(tls);
    let chain: Vec<_> = chain
        .iter()
        .filter_map(|der| Certificate::read(der).ok())
        .collect();
    let Some(leaf) = chain.first() else { return };
    let by = match context.settings.pin_sha256 {
        Some(_) => "the pinned key".to_owned(),
        None => format!("the name {}", upstream.settings.server_name),
    };
    collector.ok(
        Step::UpstreamTls,
        format!(
            "{}, {} from {}, verified by {by} against ca_roots",
            tls_version(tls),
            leaf.subject,
            leaf.issuer
        ),
    );
    let Some(first) = chain.iter().min_by_key(|one| one.not_after) else {
        return;
    };
    let end = time_left(first.not_after, context.now);
    collector.add(if renewal_is_late(first.not_after, context.now) {
        Finding::warning(
            Step::UpstreamExpiry,
            format!("{} expires soon: {end}", first.subject),
            "renew it and bind the new certificate in IIS",
        )
    } else {
        Finding::ok(Step::UpstreamExpiry, end)
    });
}

impl Direct {
    /// Sends a GET of the published path with `query`.
    pub(super) async fn get(
        &self,
        operation: Option<Operation>,
        query: &str,
    ) -> Result<Response, DirectError> {
        let response = self
            .stack
            .clone()
            .oneshot(self.request(operation, query))
            .await;
        let response = response.map_err(DirectError::Failure)?;
        let whole = response.whole(request::MAX_BODY_BYTES).await;
        let (head, body) = whole.map_err(|_| DirectError::Broken)?;
        Ok(Response {
            status: head.status,
            fields: head.headers,
            body,
        })
    }

    /// Returns the size in bytes of a request head without its URI.
    pub(super) fn head_beside_uri(&self) -> usize {
        let request = self.request(None, "");
        request.head_bytes() - request.target.path_and_query.len()
    }

    fn request(&self, operation: Option<Operation>, query: &str) -> Outgoing {
        let mut target = self.path.clone();
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        // A published path with a query of letters is always a valid target.
        let target = Target::parse(target.into()).unwrap_or_default();
        Outgoing::new(0, Method::GET, operation, target, self.fields.clone())
    }
}

impl DirectError {
    pub(super) fn anomaly(&self) -> Reason {
        match self {
            Self::Failure(failure) => of_failure(failure),
            Self::Broken => Reason::UpstreamBroken,
        }
    }

    pub(super) fn finding(&self, step: Step, context: &Context<'_>) -> Finding {
        match self {
            Self::Failure(failure) => failure_finding(failure, step, context),
            Self::Broken => {
                let what = "the response is incomplete, or larger than 1 MB";
                Finding::anomaly(step, Reason::UpstreamBroken, what)
            }
        }
    }
}

/// Explains a failure at `step`. A TLS failure is assigned to the step about TLS, whenever it
/// occurs.
fn failure_finding(failure: &Failure, step: Step, context: &Context<'_>) -> Finding {
    let anomaly = of_failure(failure);
    let host = &context.settings.origin.host;
    let seconds = |limit: Duration| limit.as_secs_f64();
    let timeouts = &context.config.timeouts;
    let what = match failure {
        Failure::Tls(error) => {
            let step = match error.reason {
                Reason::ClientCertificateDemanded => Step::ClientCertificate,
                _ => Step::UpstreamTls,
            };
            return Finding {
                cure: Some(error.cure.clone()),
                ..Finding::anomaly(step, anomaly, error.what.clone())
            };
        }
        Failure::Name(error) => format!("{host} cannot be resolved: {error}"),
        Failure::Connect(tried) => format!("no connection to {tried}"),
        Failure::ConnectTimeout => format!(
            "no TCP connection with TLS within {} seconds (upstream_connect)",
            seconds(timeouts.upstream_connect)
        ),
        Failure::Unsent(_) => "the connection closed before the request was sent".to_owned(),
        Failure::Closed { .. } => "the connection closed before the response".to_owned(),
        Failure::ResponseTimeout => format!(
            "no response within {} seconds (upstream_response)",
            seconds(timeouts.upstream_response)
        ),
        Failure::Invalid(_) | Failure::HeadTooLarge | Failure::Framing(_) | Failure::Upgrade => {
            failure.explained()
        }
    };
    Finding::anomaly(step, anomaly, what)
}
