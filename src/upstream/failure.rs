//! Why an upstream gave no answer. The client learns the kind of it, the log all of it.

use std::error::Error as _;
use std::io;

use crate::rejection::Rejection;
use crate::tls::refusal::UpstreamTlsError;

#[derive(Debug, thiserror::Error)]
pub enum Failure {
    #[error("its name is not resolved: {0}; check the name in `url`, or give its `address`")]
    Name(#[source] io::Error),
    #[error("no connection to {0}; is NDES running, and does the firewall let port 443 through?")]
    Connect(String),
    #[error(
        "no verified connection within upstream_connect; is NDES running, and does the firewall let port 443 through?"
    )]
    ConnectTimeout,
    #[error("{0}")]
    Tls(UpstreamTlsError),
    /// The connection died before a byte of the request was written.
    #[error("the connection closed before the request was sent")]
    Unsent(#[source] hyper::Error),
    #[error("the connection closed before the answer: NDES or something before it broke off")]
    Closed {
        #[source]
        error: hyper::Error,
        /// It had served a request before.
        reused: bool,
    },
    #[error("the answer is not valid HTTP/1.1")]
    Invalid(#[source] hyper::Error),
    #[error("the answer switches to another protocol, which nobody asked for")]
    Upgrade,
    #[error(
        "no answer in time: for PKIOperation see upstream_pki_operation, else upstream_response"
    )]
    ResponseTimeout,
}

impl Failure {
    /// What went wrong after at least one byte of the request was written.
    pub(super) fn in_answer(error: hyper::Error, reused: bool) -> Self {
        if error.is_parse() || error.is_parse_status() {
            Self::Invalid(error)
        } else {
            Self::Closed { error, reused }
        }
    }

    /// Metric label and log field.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Name(_) => "name",
            Self::Connect(_) => "connect",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls(error) => error.reason(),
            Self::Unsent(_) => "unsent",
            Self::Closed { .. } => "closed",
            Self::Invalid(_) => "invalid",
            Self::Upgrade => "upgrade",
            Self::ResponseTimeout => "timeout",
        }
    }

    pub fn rejection(&self) -> Rejection {
        match self {
            Self::Name(_) => Rejection::UpstreamName,
            Self::Connect(_) => Rejection::UpstreamConnect,
            Self::ConnectTimeout => Rejection::UpstreamConnectTimeout,
            Self::Tls(_) => Rejection::UpstreamTls,
            Self::Unsent(_) | Self::Closed { .. } => Rejection::UpstreamClosed,
            Self::Invalid(_) | Self::Upgrade => Rejection::UpstreamInvalid,
            Self::ResponseTimeout => Rejection::UpstreamTimeout,
        }
    }

    /// The error and everything below it, for the log.
    pub(super) fn explained(&self) -> String {
        let mut text = self.to_string();
        let mut below = self.source();
        while let Some(error) = below {
            text = format!("{text}: {error}");
            below = error.source();
        }
        text
    }
}
