//! The client of a public connection.

use std::net::SocketAddr;
use std::sync::Arc;

use super::site::Sni;
use crate::base::client::{ClientKey, ConnectionId};

/// A public connection after its handshake.
#[derive(Clone, Debug)]
pub struct Peer {
    pub connection: ConnectionId,
    pub address: SocketAddr,
    /// What limits count for this address.
    pub key: ClientKey,
    /// The TLS version, `1.2` or `1.3`.
    pub tls: &'static str,
    /// `None` if the client sent no SNI.
    pub sni: Option<Arc<Sni>>,
}
