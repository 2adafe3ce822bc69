//! The way to NDES, piece by piece, as the proxy goes it.

use std::time::Duration;

use bytes::Bytes;
use http::Method;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tower::ServiceExt;

use super::ask::{self, Answered};
use super::public::{is_late, left, shown, tls_version};
use super::{Finding, Notes, Step, Subject};
use crate::base::head::Target;
use crate::base::reason::Reason;
use crate::insight::diagnosis::of_failure;
use crate::scep::Operation;
use crate::tls::certificate::Certificate;
use crate::tls::refusal::Kind;
use crate::upstream::fields::Lines;
use crate::upstream::{Client, Failure, Outgoing, Stack, first_to_answer, stack};

/// A way to NDES that is open.
pub(super) struct Direct {
    stack: Stack,
    /// Of each question, as they go over the wire.
    fields: Bytes,
    /// Published, as NDES gets it.
    pub(super) path: String,
}

/// Why there is no whole answer.
#[derive(Debug)]
pub(super) enum NoAnswer {
    Failure(Failure),
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

/// Name, TCP, TLS; none where one of them fails.
pub(super) async fn connect(subject: &Subject<'_>, notes: &mut Notes<'_>) -> Option<Direct> {
    let Some(upstream) = &subject.upstream else {
        // `check` has said what is wrong with ca_roots.
        notes.leave_out(&[Step::UpstreamDns]);
        notes.leave_out(&AFTER_DNS);
        return None;
    };
    let opened = open(subject, upstream, notes).await;
    if let Err((done, failure)) = opened {
        let finding = of(&failure, done, subject);
        let after = AFTER_DNS.into_iter().filter(|step| *step > done);
        let after: Vec<_> = after.filter(|step| *step != finding.step).collect();
        notes.add(finding);
        notes.leave_out(&after);
        return None;
    }
    let mut fields = Lines::to(&upstream.settings.server_name.to_header());
    fields.add("user-agent", &ask::AGENT);
    let path = subject.application.paths.first()?;
    Some(Direct {
        stack: stack(upstream.clone()),
        fields: fields.end(),
        path: path.as_str().to_owned(),
    })
}

async fn open(
    subject: &Subject<'_>,
    upstream: &Client,
    notes: &mut Notes<'_>,
) -> Result<(), (Step, Failure)> {
    let limit = upstream.settings.timeouts.connect;
    let host = &upstream.settings.origin.host;

    notes.begin(Step::UpstreamDns, &format!("resolving {host}"));
    let looking_up = timeout(NAME_TIME, upstream.addresses()).await;
    let late = || Failure::Name(std::io::Error::other("the name server does not answer"));
    let addresses = looking_up
        .unwrap_or_else(|_elapsed| Err(late()))
        .map_err(|failure| (Step::UpstreamDns, failure))?;
    let told: Vec<_> = addresses
        .iter()
        .map(|address| address.ip().to_string())
        .collect();
    let told = told.join(", ");
    notes.ok(
        Step::UpstreamDns,
        match upstream.settings.address {
            Some(_) => format!("{host} is {told}, as address says"),
            None => format!("{host} is {told}"),
        },
    );

    notes.begin(Step::UpstreamTcp, &format!("connecting to {told}"));
    let tcp = first_to_answer(&addresses, limit).await;
    let tcp = tcp.map_err(|failure| (Step::UpstreamTcp, failure))?;
    if let Ok(address) = tcp.peer_addr() {
        notes.ok(Step::UpstreamTcp, format!("{address} answers"));
    }

    notes.begin(
        Step::UpstreamTls,
        &format!("TLS with {}", upstream.settings.server_name),
    );
    let tls = timeout(limit, upstream.secure(tcp)).await;
    let tls = tls
        .unwrap_or(Err(Failure::ConnectTimeout))
        .map_err(|failure| (Step::UpstreamTls, failure))?;
    verified(subject, upstream, &tls, notes);
    Ok(())
}

fn verified(
    subject: &Subject<'_>,
    upstream: &Client,
    tls: &TlsStream<TcpStream>,
    notes: &mut Notes<'_>,
) {
    let chain = shown(tls);
    let chain: Vec<_> = chain
        .iter()
        .filter_map(|der| Certificate::read(der).ok())
        .collect();
    let Some(leaf) = chain.first() else { return };
    let by = match subject.settings.pin_sha256 {
        Some(_) => "the pinned key".to_owned(),
        None => format!("the name {}", upstream.settings.server_name),
    };
    notes.ok(
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
    let end = left(first.not_after, subject.now);
    notes.add(if is_late(first.not_after, subject.now) {
        Finding::warning(
            Step::UpstreamExpiry,
            format!("{} expires soon: {end}", first.subject),
            "renew it and bind the new one in IIS",
        )
    } else {
        Finding::ok(Step::UpstreamExpiry, end)
    });
}

impl Direct {
    /// A GET of the published path with `query`.
    pub(super) async fn get(
        &self,
        operation: Option<Operation>,
        query: &str,
    ) -> Result<Answered, NoAnswer> {
        let answer = self
            .stack
            .clone()
            .oneshot(self.question(operation, query))
            .await;
        let answer = answer.map_err(NoAnswer::Failure)?;
        let whole = answer.whole(ask::MOST_BODY).await;
        let (head, body) = whole.map_err(|_| NoAnswer::Broken)?;
        Ok(Answered {
            status: head.status,
            fields: head.headers,
            body,
        })
    }

    /// What request line and fields take beside the URI.
    pub(super) fn head_beside_uri(&self) -> usize {
        let question = self.question(None, "");
        question.head_bytes() - question.target.path_and_query.len()
    }

    fn question(&self, operation: Option<Operation>, query: &str) -> Outgoing {
        let mut target = self.path.clone();
        if !query.is_empty() {
            target = format!("{target}?{query}");
        }
        // A published path with a query of letters is always a target.
        let target = Target::parse(target.into()).unwrap_or_default();
        Outgoing::new(0, Method::GET, operation, target, self.fields.clone())
    }
}

impl NoAnswer {
    pub(super) fn anomaly(&self) -> Reason {
        match self {
            Self::Failure(failure) => of_failure(failure),
            Self::Broken => Reason::UpstreamBroken,
        }
    }

    pub(super) fn finding(&self, step: Step, subject: &Subject<'_>) -> Finding {
        match self {
            Self::Failure(failure) => of(failure, step, subject),
            Self::Broken => {
                let what = "the answer began and did not end, or is over 1 MB";
                Finding::anomaly(step, Reason::UpstreamBroken, what)
            }
        }
    }
}

/// What a failure at `step` means. One of TLS belongs to the step about TLS, whenever it comes.
fn of(failure: &Failure, step: Step, subject: &Subject<'_>) -> Finding {
    let anomaly = of_failure(failure);
    let host = &subject.settings.origin.host;
    let seconds = |limit: Duration| limit.as_secs_f64();
    let timeouts = &subject.config.timeouts;
    let what = match failure {
        Failure::Tls(error) => {
            let step = match error.kind {
                Kind::ClientCertificateDemanded => Step::ClientCertificate,
                _ => Step::UpstreamTls,
            };
            return Finding {
                cure: Some(error.cure.clone()),
                ..Finding::anomaly(step, anomaly, error.what.clone())
            };
        }
        Failure::Name(error) => format!("{host} is not resolved: {error}"),
        Failure::Connect(tried) => format!("no connection to {tried}"),
        Failure::ConnectTimeout => format!(
            "no TCP and TLS within {} seconds (upstream_connect)",
            seconds(timeouts.upstream_connect)
        ),
        Failure::Unsent(_) => "the connection closed before the request was sent".to_owned(),
        Failure::Closed { .. } => "the connection closed before the answer".to_owned(),
        Failure::ResponseTimeout => format!(
            "no answer within {} seconds (upstream_response)",
            seconds(timeouts.upstream_response)
        ),
        Failure::Invalid(_) | Failure::HeadTooLarge | Failure::Framing(_) | Failure::Upgrade => {
            failure.explained()
        }
    };
    Finding::anomaly(step, anomaly, what)
}
