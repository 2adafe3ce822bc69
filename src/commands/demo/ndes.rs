//! A simulated NDES: HTTPS, the limits of HTTP.sys, and the responses of mscep.dll with the Intune
//! policy module, or in any other [`Condition`].
//!
//! Called by the demo, and by tests and benches that need an upstream. It issues certificates only
//! with a real SCEP server behind it.

use std::error::Error;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::task::{JoinHandle, JoinSet};
use tokio_rustls::TlsAcceptor;

use super::condition::Condition;
use super::enrolment::Enrolment;
use super::http_sys::HttpSysLimits;
use super::pki::Issued;
use super::ra::ScepCertificates;
use super::record::RecordedRequest;
use super::relay::ScepServer;

mod server;
mod state;

use server::Server;
use state::State;

/// The options of a simulated NDES.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 selects any free port.
    pub listen: SocketAddr,
    pub limits: HttpSysLimits,
    pub condition: Condition,
    /// The result of PKIOperation. `None` means 500, as from an NDES that cannot read a message.
    pub enrolment: Option<Enrolment>,
    /// Responds to GetCACaps, GetCACert and PKIOperation unless the condition defines the response.
    pub scep_server: Option<ScepServer>,
    /// Whether to keep the last 1000 requests for [`SimulatedNdes::requests`].
    pub record: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            listen: (Ipv4Addr::LOCALHOST, 0).into(),
            limits: HttpSysLimits::default(),
            condition: Condition::default(),
            enrolment: None,
            scep_server: None,
            record: false,
        }
    }
}

/// A simulated NDES that runs until it is stopped or dropped.
pub struct SimulatedNdes {
    pub address: SocketAddr,
    server: Arc<Server>,
    accepting: JoinHandle<()>,
}

impl SimulatedNdes {
    /// Returns the number of TCP connections so far, including those without a TLS handshake.
    pub fn connections(&self) -> u64 {
        self.server.connections.load(Ordering::Relaxed)
    }

    /// Returns the last 1000 requests, oldest first. The list is empty without [`Options::record`].
    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.server.record.requests()
    }

    /// Changes the condition. Requests that [`Condition::Late`] delayed get the response of the new
    /// condition.
    ///
    /// # Errors
    /// The crypto library cannot generate a key for the certificates of the condition.
    pub fn set(&self, condition: Condition) -> Result<(), rcgen::Error> {
        self.server.state.set(condition)
    }

    /// Changes the result of PKIOperation. `None` means 500.
    pub fn set_enrolment(&self, enrolment: Option<Enrolment>) {
        self.server.state.set_enrolment(enrolment);
    }

    /// Changes the certificates of GetCACert, as a renewal does.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn set_certificates(&self, scep: &ScepCertificates) -> Result<(), rcgen::Error> {
        self.server.state.set_certificates(scep)
    }

    /// Closes the listener and all connections. The port is free when this returns.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // The result is always that the task was cancelled.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for SimulatedNdes {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Starts a simulated NDES with `certificate` for TLS and `scep` for GetCACert.
///
/// # Errors
/// Errors of binding `options.listen`. `InvalidInput` if rustls does not accept the certificate, or
/// the certificates of `options.condition` cannot be generated.
pub async fn start(
    options: Options,
    certificate: &Issued,
    scep: &ScepCertificates,
) -> io::Result<SimulatedNdes> {
    let tls = certificate.server_config().map_err(invalid)?;
    let state = State::new(options.condition, options.enrolment.clone(), scep).map_err(invalid)?;
    let listener = TcpListener::bind(options.listen).await?;
    let address = listener.local_addr()?;
    let server = Arc::new(Server::new(options, state));
    let accepting = tokio::spawn(accept(
        listener,
        TlsAcceptor::from(Arc::new(tls)),
        Arc::clone(&server),
    ));
    Ok(SimulatedNdes {
        address,
        server,
        accepting,
    })
}

fn invalid(error: impl Error + Send + Sync + 'static) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, error)
}

async fn accept(listener: TcpListener, tls: TlsAcceptor, server: Arc<Server>) {
    // Dropping this with the task closes all connections.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    server.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(Arc::clone(&server).serve(stream, tls.clone()));
                }
                // Out of file descriptors: temporary, until other connections are closed.
                Err(error) => {
                    tracing::warn!(%error, "simulated NDES: accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            },
            Some(_) = connections.join_next() => {}
        }
    }
}

const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

#[cfg(test)]
mod tests;
