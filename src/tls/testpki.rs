//! A throw-away PKI and TLS handshakes in memory, for the tests of this module.

use std::io;
use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_RSA_SHA256,
};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig};
use tokio::io::DuplexStream;
use tokio_rustls::{TlsAcceptor, TlsConnector, client, server};

/// A CA that can issue.
pub(super) struct Ca {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl Ca {
    pub(super) fn root(name: &str) -> Self {
        Self::root_with(name, ecdsa())
    }

    pub(super) fn root_with(name: &str, key: KeyPair) -> Self {
        let params = ca_params(name);
        let made = params.self_signed(&key).unwrap();
        Self {
            der: made.der().clone(),
            pem: made.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn intermediate(&self, name: &str) -> Self {
        let (params, key) = (ca_params(name), ecdsa());
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Self {
            der: made.der().clone(),
            pem: made.pem(),
            issuer: Issuer::new(params, key),
        }
    }

    pub(super) fn issue(&self, params: &CertificateParams, key: KeyPair) -> Pair {
        let made = params.signed_by(&key, &self.issuer).unwrap();
        Pair {
            der: made.der().clone(),
            pem: made.pem(),
            key,
        }
    }

    /// ECDSA certificate for `name`, which is CN and SAN.
    pub(super) fn server(&self, name: &str) -> Pair {
        self.issue(&server_params(name, &[name]), ecdsa())
    }
}

/// A certificate and its key.
pub(super) struct Pair {
    pub(super) der: CertificateDer<'static>,
    pub(super) pem: String,
    pub(super) key: KeyPair,
}

impl Pair {
    /// As a server shows it, followed by `others`.
    pub(super) fn certified(&self, others: &[&CertificateDer<'static>]) -> Arc<CertifiedKey> {
        let chain = std::iter::once(&self.der)
            .chain(others.iter().copied())
            .cloned()
            .collect();
        let key = PrivateKeyDer::Pkcs8(self.key.serialize_der().into());
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        Arc::new(CertifiedKey::from_der(chain, key, &provider).unwrap())
    }
}

/// A server certificate, valid from 1975 to 4096.
pub(super) fn server_params(common_name: &str, san: &[&str]) -> CertificateParams {
    let san: Vec<String> = san.iter().map(|name| (*name).to_owned()).collect();
    let mut params = CertificateParams::new(san).unwrap();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    params
}

pub(super) fn ecdsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

pub(super) fn rsa() -> KeyPair {
    KeyPair::generate_for(&PKCS_RSA_SHA256).unwrap()
}

/// What each side says of one handshake under `name`.
pub(super) async fn handshake(
    server: &Arc<ServerConfig>,
    client: &Arc<ClientConfig>,
    name: &str,
) -> (
    io::Result<client::TlsStream<DuplexStream>>,
    io::Result<server::TlsStream<DuplexStream>>,
) {
    let (near, far) = tokio::io::duplex(1 << 16);
    tokio::join!(
        TlsConnector::from(Arc::clone(client)).connect(server_name(name), near),
        TlsAcceptor::from(Arc::clone(server)).accept(far),
    )
}

pub(super) fn server_name(name: &str) -> ServerName<'static> {
    ServerName::try_from(name.to_owned()).unwrap()
}

fn ca_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    params
}
