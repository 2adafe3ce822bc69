//! Why TLS with an upstream failed, in words that an admin can act on.
//!
//! Made by the verifier in `client`, carried by rustls inside its own error, and taken out again
//! by [`classify`], which the connector calls. For the log and `check` only: a client on the
//! Internet is told nothing of it.

use std::io;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use super::certificate::printable;
use crate::base::reason::Reason;

mod presented;

pub(super) use presented::{Presented, key_of_handshake};

/// TLS with an upstream failed before a byte of any request was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {cure}")]
pub struct UpstreamTlsError {
    pub kind: Kind,
    /// What was presented and what was expected. Bounded, without control characters.
    pub what: String,
    /// What to write or to run.
    pub cure: String,
}

/// The causes that are told apart, in log, metrics and README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// No way from the certificate to one of the roots.
    UnknownIssuer,
    /// The SAN has other names.
    WrongName,
    /// No SAN, only a CN that would fit.
    NameOnlyInCommonName,
    Expired,
    NotYetValid,
    /// Chain and dates are right, but the key is not the pinned one.
    PinMismatch,
    /// SHA-1, RSA under 2048 bits, or an algorithm that is not known here.
    WeakSignature,
    /// The extended key usage lacks serverAuth.
    WrongPurpose,
    /// Broken in another way.
    InvalidCertificate,
    /// Nothing but CBC or DHE suites, or other curves.
    NoCommonCipher,
    /// Nothing above TLS 1.1.
    OldTls,
    ClientCertificateDemanded,
    /// The server says that it does not serve the name sent as SNI.
    NameNotServed,
    NotTls,
    /// Closed or reset in the handshake, without an alert.
    Closed,
    Other,
}

impl Kind {
    pub const ALL: [Self; 16] = [
        Self::UnknownIssuer,
        Self::WrongName,
        Self::NameOnlyInCommonName,
        Self::Expired,
        Self::NotYetValid,
        Self::PinMismatch,
        Self::WeakSignature,
        Self::WrongPurpose,
        Self::InvalidCertificate,
        Self::NoCommonCipher,
        Self::OldTls,
        Self::ClientCertificateDemanded,
        Self::NameNotServed,
        Self::NotTls,
        Self::Closed,
        Self::Other,
    ];

    /// Returns the row of the table of reasons.
    pub const fn reason(self) -> Reason {
        match self {
            Self::UnknownIssuer => Reason::UnknownIssuer,
            Self::WrongName => Reason::WrongName,
            Self::NameOnlyInCommonName => Reason::NameOnlyInCommonName,
            Self::Expired => Reason::Expired,
            Self::NotYetValid => Reason::NotYetValid,
            Self::PinMismatch => Reason::PinMismatch,
            Self::WeakSignature => Reason::WeakSignature,
            Self::WrongPurpose => Reason::WrongPurpose,
            Self::InvalidCertificate => Reason::InvalidCertificate,
            Self::NoCommonCipher => Reason::NoCommonCipher,
            Self::OldTls => Reason::OldTls,
            Self::ClientCertificateDemanded => Reason::ClientCertificateDemanded,
            Self::NameNotServed => Reason::NameNotServed,
            Self::NotTls => Reason::NotTls,
            Self::Closed => Reason::TlsClosed,
            Self::Other => Reason::TlsOther,
        }
    }
}

impl UpstreamTlsError {
    pub fn reason(&self) -> Reason {
        self.kind.reason()
    }

    fn new(kind: Kind, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            kind,
            what: what.into(),
            cure: cure.into(),
        }
    }
}

/// The way through rustls, which hands out a verifier's error as it came.
impl From<UpstreamTlsError> for Error {
    fn from(refusal: UpstreamTlsError) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(refusal))).into()
    }
}

/// What an error of the TLS handshake with `server_name` means. `error`: as from tokio-rustls.
pub fn classify(error: &io::Error, server_name: &ServerName<'_>) -> UpstreamTlsError {
    let name = server_name.to_str();
    match error
        .get_ref()
        .and_then(|inner| inner.downcast_ref::<Error>())
    {
        Some(error) => of_rustls(error, &name),
        None => of_socket(error, &name),
    }
}

fn of_rustls(error: &Error, name: &str) -> UpstreamTlsError {
    let (kind, what, cure) = match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            if let Some(refusal) = inner.downcast_ref::<UpstreamTlsError>() {
                return refusal.clone();
            }
            (
                Kind::InvalidCertificate,
                "showed a certificate that is not accepted",
                NEW_CERTIFICATE,
            )
        }
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => (
            Kind::InvalidCertificate,
            "showed a certificate that is not accepted",
            NEW_CERTIFICATE,
        ),
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            Kind::OldTls,
            "speaks neither TLS 1.2 nor TLS 1.3",
            "enable TLS 1.2 for servers on it (SCHANNEL registry keys) and restart it",
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => (
            Kind::ClientCertificateDemanded,
            "demands a client certificate",
            "in IIS set SSL Settings, Client certificates to Ignore for the site, and see netsh \
             http show sslcert for clientcertnegotiation",
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => (
            Kind::NameNotServed,
            "does not serve this name",
            "set server_name to the host name of its https binding",
        ),
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => (
            Kind::NoCommonCipher,
            "has no cipher suite in common with the proxy",
            CIPHERS,
        ),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => (
            Kind::NotTls,
            "answers with something that is not TLS",
            "check the port in url and address: IIS speaks TLS on the port of its https binding, \
             not on that of http",
        ),
        _ => (
            Kind::Other,
            "broke the TLS handshake",
            "look in the System log of the server for Schannel",
        ),
    };
    UpstreamTlsError::new(
        kind,
        format!("server {name} {what} ({})", printable(&error.to_string())),
        cure,
    )
}

fn of_socket(error: &io::Error, name: &str) -> UpstreamTlsError {
    let text = printable(&error.to_string());
    match error.kind() {
        io::ErrorKind::UnexpectedEof
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::ConnectionAborted
        | io::ErrorKind::BrokenPipe => UpstreamTlsError::new(
            Kind::Closed,
            format!("server {name} closed the connection in the TLS handshake ({text})"),
            format!(
                "Windows does so where no https binding fits the name (set server_name), where \
                 the binding has no certificate, or where no cipher suite fits: {CIPHERS}"
            ),
        ),
        _ => UpstreamTlsError::new(
            Kind::Other,
            format!("the TLS handshake with {name} failed ({text})"),
            "check the way to the server",
        ),
    }
}

const NEW_CERTIFICATE: &str = "bind a certificate from your CA to the site in IIS";

const CIPHERS: &str = "run NDES on Windows Server 2016 or later, or on 2012 R2 bind an ECDSA \
     certificate (with an RSA one it has only CBC and DHE suites); where suites were restricted, \
     allow TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
