//! TLS on the public side: one configuration for each application.
//!
//! Called when the configuration is loaded. The acceptor selects one of the results by SNI after it
//! has read the ClientHello.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, SignatureAlgorithm, version};

use super::provider;

#[cfg(test)]
mod tests;

/// TLS 1.2 and 1.3 with AEAD suites only, without 0-RTT: a replayed PKIOperation would reach NDES.
///
/// `identities` are certificates for the same names with keys of different kinds. `alpn` has values
/// such as `b"http/1.1"`, the preferred one first.
///
/// # Errors
/// There is no identity, or the provider does not support TLS 1.2 and 1.3.
pub fn config(
    mut identities: Vec<Arc<CertifiedKey>>,
    alpn: Vec<Vec<u8>>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, Error> {
    if identities.is_empty() {
        return Err(Error::NoCertificatesPresented);
    }
    // A stable sort: certificates of one kind keep the order of the configuration file.
    identities.sort_by_key(|identity| identity.key.algorithm() == SignatureAlgorithm::RSA);

    let groups = vec![
        kx_group::X25519MLKEM768,
        kx_group::X25519,
        kx_group::SECP256R1,
        kx_group::SECP384R1,
    ];
    let mut config = ServerConfig::builder_with_provider(provider(groups))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(CheapestThatTheClientKnows { identities }));
    config.alpn_protocols = alpn;
    config.max_early_data_size = 0;
    config.ticketer = ticketer;
    // A client opens one connection at a time; a second ticket would cost a hash and a record each
    // time.
    config.send_tls13_tickets = 1;
    // A client that resumes has a ticket. The store would take a lock and memory in each TLS 1.2
    // handshake, only for clients that support session ids but no tickets, and would be lost at
    // each reload.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Keys for session tickets: random, replaced every six hours, with the previous one still
/// accepted.
///
/// There is one ticketer for the whole process, also over reloads. Applications may share it,
/// because rustls resumes a session only under the name (SNI) with which it was opened.
///
/// # Errors
/// The system provides no random bytes.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    aws_lc_rs::Ticketer::new()
}

/// The fatal alert `unrecognized_name` (112; RFC 6066 §3) as a plaintext record.
///
/// The acceptor writes it as the response to a ClientHello for a name that is not published, and
/// closes. rustls itself would send `access_denied`.
pub const UNRECOGNIZED_NAME_ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112];

/// Prefers ECDSA to RSA, because a signature costs the server a tenth.
#[derive(Debug)]
struct CheapestThatTheClientKnows {
    /// Not empty. RSA is last.
    identities: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for CheapestThatTheClientKnows {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has left out the schemes for which a TLS 1.2 client offers no cipher suite.
        let schemes = hello.signature_schemes();
        let fits = |identity: &&Arc<CertifiedKey>| identity.key.choose_scheme(schemes).is_some();
        // If none fits, rustls refuses the first one with handshake_failure, the alert that names
        // the cause. Without any certificate it would send access_denied.
        self.identities
            .iter()
            .find(fits)
            .or_else(|| self.identities.first())
            .cloned()
    }
}
