//! TLS towards NDES: which servers the proxy trusts.
//!
//! Called when the configuration is loaded, once for each upstream. Nothing here disables the
//! verification of the certificate.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{verify_server_cert_signed_by_trust_anchor, verify_server_name};
use rustls::crypto::aws_lc_rs::kx_group;
use rustls::crypto::{WebPkiSupportedAlgorithms, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, version};

use crate::base::hash::sha256;
use crate::base::problem::Diagnostic;

use super::certificate::{Certificate, date, seconds};
use super::provider;
use super::refusal::{PresentedChain, key_of_handshake};

#[cfg(test)]
mod tests;

/// How to connect to one upstream by TLS.
#[derive(Clone, Debug)]
pub struct Trust {
    /// Holds the sessions that may be resumed. This object verified them: a changed configuration
    /// makes a new one, with new roots and without old sessions.
    pub config: Arc<ClientConfig>,
    /// Warnings about roots that look wrong.
    pub warnings: Vec<Diagnostic>,
}

/// Trusts `roots` and nothing else.
///
/// With `pin_sha256` (the SHA-256 of the DER of the SubjectPublicKeyInfo of the leaf), the key is
/// compared instead of the name. Chain and dates are verified all the same.
///
/// # Errors
/// None of the roots can be used.
pub fn config(
    roots: Vec<CertificateDer<'static>>,
    pin_sha256: Option<[u8; 32]>,
    now: SystemTime,
) -> Result<Trust, Diagnostic> {
    let mut anchors = RootCertStore::empty();
    let mut warnings = Vec::new();
    for (at, root) in roots.into_iter().enumerate() {
        warnings.extend(root_finding(&root, seconds(now)));
        if anchors.add(root).is_err() {
            warnings.push(Diagnostic::warning(
                format!("certificate {} of the roots is not readable", at + 1),
                "export it again, or take it out",
            ));
        }
    }
    if anchors.is_empty() {
        return Err(Diagnostic::error(
            "holds no certificate that can be used as a root",
            "name the file of the CA that issued the NDES server's certificate: on the CA run \
             certutil -ca.cert root.cer",
        ));
    }
    // Without X25519MLKEM768, because Windows does not support it and would answer with a
    // HelloRetryRequest, which costs one more round trip per connection.
    let provider = provider(vec![
        kx_group::X25519,
        kx_group::SECP256R1,
        kx_group::SECP384R1,
    ]);
    let verifier = Verifier {
        roots: anchors,
        algorithms: provider.signature_verification_algorithms,
        pin_sha256,
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .map_err(|error| Diagnostic::error(error.to_string(), "report this as a bug"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    Ok(Trust {
        config: Arc::new(config),
        warnings,
    })
}

/// rustls does not check the dates and the purpose of a root, and reports a signature by a short
/// key as a bad signature.
fn root_finding(der: &CertificateDer<'_>, now: i64) -> Option<Diagnostic> {
    let root = Certificate::read(der).ok()?;
    let which = &root.subject;
    let renewed = "add the CA's present certificate: on the CA run certutil -ca.cert root.cer";
    if now > root.not_after {
        Some(Diagnostic::warning(
            format!("{which} expired on {}", date(root.not_after)),
            renewed,
        ))
    } else if now < root.not_before {
        let what = format!("{which} is valid only from {}", date(root.not_before));
        Some(Diagnostic::warning(what, "check this machine's clock"))
    } else if root.key.is_short() {
        let what = format!(
            "{which} has too short a key, {}: what it signed is refused",
            root.key
        );
        Some(Diagnostic::warning(
            what,
            "renew the CA with RSA 2048 or ECDSA P-256",
        ))
    } else if !root.is_ca && !root.self_issued {
        Some(Diagnostic::warning(
            format!("{which} is not of a CA: it makes nothing trusted"),
            format!("put the certificate of its issuer here: {}", root.issuer),
        ))
    } else {
        None
    }
}

/// The checks of the verifier of rustls, except that a pin can replace the name, and that an error
/// says what was presented and expected.
#[derive(Debug)]
struct Verifier {
    roots: RootCertStore,
    algorithms: WebPkiSupportedAlgorithms,
    pin_sha256: Option<[u8; 32]>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let presented = PresentedChain {
            end_entity,
            intermediates,
            server_name,
            now,
        };
        let parsed =
            ParsedCertificate::try_from(end_entity).map_err(|error| presented.invalid(&error))?;
        let algorithms = self.algorithms.all;
        verify_server_cert_signed_by_trust_anchor(
            &parsed,
            &self.roots,
            intermediates,
            now,
            algorithms,
        )
        .map_err(|error| presented.untrusted(&error, &self.roots))?;

        match self.pin_sha256 {
            // The key as rustls reads it, because the server signs with this one.
            Some(pin) if sha256(&parsed.subject_public_key_info()) == pin => {}
            Some(pin) => return Err(presented.other_key(pin).into()),
            None => verify_server_name(&parsed, server_name)
                .map_err(|error| presented.misnamed(&error))?,
        }
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.algorithms)
            .map_err(|error| key_of_handshake(cert, error))
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.algorithms)
            .map_err(|error| key_of_handshake(cert, error))
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.algorithms.supported_schemes()
    }
}
