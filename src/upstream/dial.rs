//! Opens a connection: name, TCP, and TLS with the certificate verified.

use std::io;
use std::net::SocketAddr;
use std::sync::atomic::Ordering;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::connection::Connection;
use super::wire::Wire;
use super::{Client, Failure};
use crate::base::sync::lock;
use crate::tls::certificate::Certificate;
use crate::tls::refusal;

impl Client {
    /// Opens a verified connection. The caller bounds the time.
    pub(super) async fn connect(&self) -> Result<Connection, Failure> {
        let tcp = first_to_answer(&self.addresses().await?, self.settings.timeouts.connect).await?;
        // A head and a body must not wait for the acknowledgement of each other.
        tcp.set_nodelay(true)
            .map_err(|error| Failure::Connect(error.to_string()))?;
        let tls = self.secure(Wire::new(tcp)).await?;
        self.note_expiry(tls.get_ref().1.peer_certificates());
        Ok(Connection::new(tls))
    }

    /// Performs the TLS handshake on `wire` and verifies the certificate. The caller bounds the
    /// time.
    pub async fn secure<W>(&self, wire: W) -> Result<TlsStream<W>, Failure>
    where
        W: AsyncRead + AsyncWrite + Unpin,
    {
        let name = ServerName::try_from(self.settings.server_name.as_str().to_owned())
            .map_err(|error| Failure::Name(io::Error::other(error)))?;
        let tls = TlsConnector::from(self.tls.clone())
            .connect(name.clone(), wire)
            .await;
        tls.map_err(|error| Failure::Tls(refusal::classify(&error, &name)))
    }

    fn note_expiry(&self, presented: Option<&[CertificateDer<'_>]>) {
        let leaf = presented.and_then(<[_]>::first);
        if let Some(Ok(leaf)) = leaf.map(Certificate::read) {
            self.not_after.store(leaf.not_after, Ordering::Relaxed);
            self.metrics.certificate(leaf.not_after);
        }
    }

    /// Resolves the name anew for each connection. The resolver of the system respects the time to
    /// live, so no result is used beyond it. While the name server fails, the last result is used.
    pub async fn addresses(&self) -> Result<Vec<SocketAddr>, Failure> {
        if let Some(address) = self.settings.address {
            return Ok(vec![address]);
        }
        let last = || lock(&self.resolved);
        match tokio::net::lookup_host((
            self.settings.origin.host.as_str(),
            self.settings.origin.port,
        ))
        .await
        {
            Ok(found) => {
                let found: Vec<SocketAddr> = found.collect();
                last().clone_from(&found);
                Ok(found)
            }
            Err(error) if last().is_empty() => Err(Failure::Name(error)),
            Err(_) => Ok(last().clone()),
        }
    }
}

/// Tries the addresses one after the other. Each has its share of `limit`, so that a dead one does
/// not hide the others.
pub async fn first_to_answer(
    addresses: &[SocketAddr],
    limit: Duration,
) -> Result<TcpStream, Failure> {
    let share = limit / addresses.len().max(1) as u32;
    let share = share.max(Duration::from_millis(250));
    let mut tried = Vec::new();
    for address in addresses {
        match timeout(share, TcpStream::connect(address)).await {
            Ok(Ok(tcp)) => return Ok(tcp),
            Ok(Err(error)) => tried.push(format!("{address} ({error})")),
            Err(_elapsed) => tried.push(format!("{address} (no answer)")),
        }
    }
    Err(Failure::Connect(tried.join(", ")))
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    async fn listener() -> (TcpListener, SocketAddr) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    #[tokio::test]
    async fn a_dead_address_does_not_hide_the_others() {
        let ((_listener, alive), (gone, dead)) = (listener().await, listener().await);
        drop(gone);
        let limit = Duration::from_secs(5);
        for addresses in [vec![alive], vec![dead, alive], vec![dead, dead, alive]] {
            let tcp = first_to_answer(&addresses, limit).await.unwrap();
            assert_eq!(tcp.peer_addr().unwrap(), alive);
        }
        let error = first_to_answer(&[dead, dead], limit).await.unwrap_err();
        let told = error.to_string();
        assert_eq!(told.matches(&dead.to_string()).count(), 2, "{told}");
    }
}
