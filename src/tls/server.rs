//! The public side's TLS: one configuration for each application.
//!
//! Called when the configuration is loaded; the acceptor chooses among the results by SNI, after
//! it has read the ClientHello.

use std::sync::Arc;

use rustls::crypto::aws_lc_rs::{self, kx_group};
use rustls::server::{ClientHello, NoServerSessionStorage, ProducesTickets, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{Error, ServerConfig, SignatureAlgorithm, version};

use super::provider;

#[cfg(test)]
mod tests;

/// TLS 1.2 and 1.3, AEAD suites only, without 0-RTT: a replayed PKIOperation would reach NDES.
///
/// `identities`: certificates for the same names with keys of different kinds. `alpn`: as
/// `b"http/1.1"`, the preferred one first.
///
/// # Errors
/// No identity, or a provider that cannot do TLS 1.2 and 1.3.
pub fn config(
    mut identities: Vec<Arc<CertifiedKey>>,
    alpn: Vec<Vec<u8>>,
    ticketer: Arc<dyn ProducesTickets>,
) -> Result<Arc<ServerConfig>, Error> {
    if identities.is_empty() {
        return Err(Error::NoCertificatesPresented);
    }
    // Stable: among certificates of one kind the order of the configuration file stays.
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
    // A client opens one connection at a time; a second ticket costs a hash and a record each time.
    config.send_tls13_tickets = 1;
    // Whoever resumes has a ticket. The store would take a lock and memory in each TLS 1.2
    // handshake, only for clients that know session ids but no tickets, and would be lost at each
    // reload.
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}

/// Keys for session tickets: made at random, replaced every six hours, the one before still read.
///
/// One for the whole process, also over reloads. Applications may share it, for rustls resumes a
/// session only under the name (SNI) that it was opened with.
///
/// # Errors
/// The system gives no random bytes.
pub fn ticketer() -> Result<Arc<dyn ProducesTickets>, Error> {
    aws_lc_rs::Ticketer::new()
}

/// Fatal alert `unrecognized_name` (112; RFC 6066 section 3) as a plaintext record.
///
/// The acceptor writes it as the answer to a ClientHello that asks for a name which nobody
/// published, and closes: left to itself rustls would say `access_denied`.
pub const UNRECOGNIZED_NAME_ALERT: [u8; 7] = [0x15, 0x03, 0x03, 0x00, 0x02, 0x02, 112];

/// ECDSA before RSA: a signature costs the server a tenth.
#[derive(Debug)]
struct CheapestThatTheClientKnows {
    /// Not empty; RSA last.
    identities: Vec<Arc<CertifiedKey>>,
}

impl ResolvesServerCert for CheapestThatTheClientKnows {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        // rustls has left out the schemes for which a TLS 1.2 client offers no cipher suite.
        let schemes = hello.signature_schemes();
        let fits = |identity: &&Arc<CertifiedKey>| identity.key.choose_scheme(schemes).is_some();
        // Where none fits, rustls refuses the first with handshake_failure, the alert that names
        // the cause; without any certificate it would say access_denied.
        self.identities
            .iter()
            .find(fits)
            .or_else(|| self.identities.first())
            .cloned()
    }
}
