//! TLS on both sides: the certificates that the proxy presents, and the roots that it trusts.
//!
//! - `files`: certificates and keys in the formats that a Windows admin has
//! - `hello`: what a client offers, for the log
//! - `certificate`: one certificate as text
//! - `identity`: the certificate and key of a public name, checked before anything is published
//! - `unverified`: what any server presents, without trusting it
//! - `server`: the public side; `client`: the side towards NDES
//! - `refusal`: why TLS with NDES failed, and what to do

use std::sync::Arc;

use rustls::crypto::{CryptoProvider, SupportedKxGroup, aws_lc_rs};

pub mod certificate;
pub mod client;
mod der;
pub mod files;
pub mod hello;
pub mod identity;
pub mod refusal;
pub mod server;
pub mod unverified;

#[cfg(test)]
mod testpki;

/// The cryptography of aws-lc with the given key exchange groups, the preferred one first.
///
/// Passed to every rustls builder explicitly, because a process-wide default would be a global.
fn provider(groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: groups,
        ..aws_lc_rs::default_provider()
    })
}
