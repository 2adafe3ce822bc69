//! TLS on both sides: the certificates that the proxy shows, the roots that it trusts.
//!
//! - `files`: certificates and keys as a Windows admin has them on disk
//! - `hello`: what a client offers, for the log
//! - `certificate`: what there is to tell a person about one certificate
//! - `identity`: a public name's certificate and key, checked before anything is published
//! - `look`: what any server shows, without trust in it
//! - `server`: the public side; `client`: the side towards NDES
//! - `refusal`: why TLS to NDES failed, said so that it can be mended

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
/// Passed to every rustls builder by hand: a process-wide default would be a global.
fn provider(groups: Vec<&'static dyn SupportedKxGroup>) -> Arc<CryptoProvider> {
    Arc::new(CryptoProvider {
        kx_groups: groups,
        ..aws_lc_rs::default_provider()
    })
}
