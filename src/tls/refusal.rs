//! Why TLS with an upstream failed, in words that an admin can act on.
//!
//! Made by the verifier in `client`, carried by rustls inside its own error, and taken out again by
//! [`classify`], which the connector calls. Used only for the log and `check`: a client on the
//! Internet learns nothing of it.

use std::io;

use rustls::pki_types::ServerName;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};

use super::certificate::printable;
use crate::base::reason::Reason;

mod presented;

pub(super) use presented::{PresentedChain, key_of_handshake};

/// TLS with an upstream failed before a byte of any request was sent.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what}; {cure}")]
pub struct UpstreamTlsError {
    pub reason: Reason,
    /// What was presented and what was expected. Bounded, and without control characters.
    pub what: String,
    /// What to write or to run.
    pub cure: String,
}

impl UpstreamTlsError {
    fn new(reason: Reason, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            reason,
            what: what.into(),
            cure: cure.into(),
        }
    }
}

/// rustls hands out the error of a verifier as it is.
impl From<UpstreamTlsError> for Error {
    fn from(refusal: UpstreamTlsError) -> Self {
        CertificateError::Other(OtherError(std::sync::Arc::new(refusal))).into()
    }
}

/// Returns what an error of the TLS handshake with `server_name` means. `error` is from
/// tokio-rustls.
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
    let (reason, what, cure) = match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(inner))) => {
            if let Some(refusal) = inner.downcast_ref::<UpstreamTlsError>() {
                return refusal.clone();
            }
            (
                Reason::InvalidCertificate,
                "showed a certificate that is not accepted",
                NEW_CERTIFICATE,
            )
        }
        Error::InvalidCertificate(_) | Error::NoCertificatesPresented => (
            Reason::InvalidCertificate,
            "showed a certificate that is not accepted",
            NEW_CERTIFICATE,
        ),
        Error::AlertReceived(AlertDescription::ProtocolVersion)
        | Error::PeerIncompatible(
            PeerIncompatible::ServerDoesNotSupportTls12Or13
            | PeerIncompatible::ServerTlsVersionIsDisabledByOurConfig,
        ) => (
            Reason::OldTls,
            "speaks neither TLS 1.2 nor TLS 1.3",
            "enable TLS 1.2 for servers on it (SCHANNEL registry keys) and restart it",
        ),
        Error::AlertReceived(AlertDescription::CertificateRequired) => (
            Reason::ClientCertificateDemanded,
            "demands a client certificate",
            "in IIS set SSL Settings, Client certificates to Ignore for the site, and see netsh \
             http show sslcert for clientcertnegotiation",
        ),
        Error::AlertReceived(AlertDescription::UnrecognisedName) => (
            Reason::NameNotServed,
            "does not serve this name",
            "set server_name to the host name of its https binding",
        ),
        Error::AlertReceived(
            AlertDescription::HandshakeFailure | AlertDescription::InsufficientSecurity,
        )
        | Error::PeerIncompatible(_) => (
            Reason::NoCommonCipher,
            "has no cipher suite in common with the proxy",
            CIPHERS,
        ),
        Error::InvalidMessage(
            InvalidMessage::InvalidContentType
            | InvalidMessage::UnknownProtocolVersion
            | InvalidMessage::MessageTooLarge
            | InvalidMessage::InvalidEmptyPayload,
        ) => (
            Reason::NotTls,
            "answers with something that is not TLS",
            "check the port in url and address: IIS speaks TLS on the port of its https binding, \
             not on that of http",
        ),
        _ => (
            Reason::TlsOther,
            "broke the TLS handshake",
            "look in the System log of the server for Schannel",
        ),
    };
    UpstreamTlsError::new(
        reason,
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
            Reason::TlsClosed,
            format!("server {name} closed the connection in the TLS handshake ({text})"),
            format!(
                "Windows does so where no https binding fits the name (set server_name), where \
                 the binding has no certificate, or where no cipher suite fits: {CIPHERS}"
            ),
        ),
        _ => UpstreamTlsError::new(
            Reason::TlsOther,
            format!("the TLS handshake with {name} failed ({text})"),
            "check the way to the server",
        ),
    }
}

const NEW_CERTIFICATE: &str = "bind a certificate from your CA to the site in IIS";

const CIPHERS: &str = "run NDES on Windows Server 2016 or later, or on 2012 R2 bind an ECDSA \
     certificate (with an RSA one it has only CBC and DHE suites); where suites were restricted, \
     allow TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 or TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256";
