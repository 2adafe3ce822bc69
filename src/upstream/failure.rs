//! Why an upstream gave no response. The client learns the kind of failure; the log has the
//! details.

use std::error::Error as _;
use std::io;

use rustls::pki_types::ServerName;

use crate::base::reason::Reason;
use crate::base::rejection::Rejection;
use crate::config::types::DnsName;
use crate::tls::refusal::{self, UpstreamTlsError};

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("the name cannot be resolved; correct the name in `url`, or set `address`")]
    Name(#[source] io::Error),
    #[error(
        "no connection to {0}; check that NDES runs and that the firewall lets port 443 through"
    )]
    Connect(String),
    #[error(
        "no verified connection within upstream_connect; check that NDES runs and that the firewall lets port 443 through"
    )]
    ConnectTimeout,
    #[error("{0}")]
    Tls(UpstreamTlsError),
    /// The connection closed before a byte of the request was written.
    #[error("the connection closed before the request was sent")]
    Unsent(#[source] io::Error),
    #[error(
        "the connection closed before the answer; see HTTPERR and the event log of the server, and in IIS set SSL \
         Settings, Client certificates to Ignore"
    )]
    Closed {
        #[source]
        error: io::Error,
        /// The connection had served a request before.
        reused: bool,
    },
    #[error("the response is not valid HTTP/1.1")]
    Invalid(#[source] httparse::Error),
    #[error("the head of the response is longer than 64 KB")]
    HeadTooLarge,
    #[error("the length of the response is ambiguous: {0}")]
    Framing(&'static str),
    #[error("the response switches to another protocol, which no request asked for")]
    Upgrade,
    #[error(
        "no response in time; the limit is upstream_pki_operation for a PKIOperation, and upstream_response for other requests"
    )]
    ResponseTimeout,
}

/// The state of a connection that failed with a request on it.
#[derive(Clone, Copy, Debug)]
pub(super) struct ConnectionFailure {
    /// Whether no byte of the request was written.
    pub(super) unsent: bool,
    /// Whether the connection had served a request before.
    pub(super) reused: bool,
    /// Whether the server began another handshake after the request.
    pub(super) new_handshake: bool,
}

impl ConnectionFailure {
    /// Returns what an error on a verified connection to `server` means.
    pub(super) fn failure(self, error: io::Error, server: &DnsName) -> Failure {
        if let Some(demand) = client_certificate_demanded(&error, server) {
            return Failure::Tls(demand);
        }
        match self {
            Self { unsent: true, .. } => Failure::Unsent(error),
            Self {
                new_handshake: true,
                ..
            } => Failure::Tls(handshake_demanded(server)),
            Self { reused, .. } => Failure::Closed { error, reused },
        }
    }
}

impl Failure {
    /// Returns the row of the table of reasons.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Name(_) => Reason::UpstreamName,
            Self::Connect(_) => Reason::UpstreamConnect,
            Self::ConnectTimeout => Reason::UpstreamConnectTimeout,
            Self::Tls(error) => error.reason,
            Self::Unsent(_) => Reason::UpstreamUnsent,
            Self::Closed { .. } => Reason::UpstreamClosed,
            Self::Invalid(_) | Self::HeadTooLarge | Self::Framing(_) => Reason::UpstreamInvalid,
            Self::Upgrade => Reason::UpstreamUpgrade,
            Self::ResponseTimeout => Reason::UpstreamTimeout,
        }
    }

    /// Returns the metric label and log field `kind`.
    pub fn kind(&self) -> &'static str {
        let reason = self.reason();
        reason.row().kind.unwrap_or_else(|| reason.word())
    }

    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Name(_) => Rejection::UpstreamName,
            Self::Connect(_) => Rejection::UpstreamConnect,
            Self::ConnectTimeout => Rejection::UpstreamConnectTimeout,
            Self::Tls(_) => Rejection::UpstreamTls,
            Self::Unsent(_) | Self::Closed { .. } => Rejection::UpstreamClosed,
            Self::Invalid(_) | Self::HeadTooLarge | Self::Framing(_) | Self::Upgrade => {
                Rejection::UpstreamInvalid
            }
            Self::ResponseTimeout => Rejection::UpstreamTimeout,
        }
    }

    /// Returns the error and all its sources, for an admin.
    pub fn explained(&self) -> String {
        let mut text = self.to_string();
        let mut below = self.source();
        while let Some(error) = below {
            text = format!("{text}: {error}");
            below = error.source();
        }
        text
    }
}

/// Under TLS 1.3, a server that requires a client certificate says so only after the handshake.
fn client_certificate_demanded(error: &io::Error, server: &DnsName) -> Option<UpstreamTlsError> {
    let name = ServerName::try_from(server.as_str()).ok()?;
    let refusal = refusal::classify(error, &name);
    (refusal.reason == Reason::ClientCertificateDemanded).then_some(refusal)
}

/// Under TLS 1.2, IIS requests a client certificate by a new handshake once it knows the path.
fn handshake_demanded(server: &DnsName) -> UpstreamTlsError {
    UpstreamTlsError {
        reason: Reason::ClientCertificateDemanded,
        what: format!(
            "server {server} began another TLS handshake after the request, as IIS does to ask for a client certificate"
        ),
        cure: "in IIS set SSL Settings, Client certificates to Ignore for the site and all below it, certsrv/mscep too"
            .to_owned(),
    }
}
