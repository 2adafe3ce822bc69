//! A simulated NDES: HTTPS, the limits of HTTP.sys, and what mscep.dll answers once the Intune
//! policy module is installed, or in any other [`Condition`].
//!
//! Called by the demo, and by tests and benches that want an upstream. It enrols nobody by itself;
//! with a real SCEP server behind it, it does.

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
use super::record::Seen;
use super::relay::ScepServer;

mod server;
mod state;

use server::Server;
use state::State;

/// How to simulate.
#[derive(Clone, Debug)]
pub struct Options {
    /// Port 0 takes any free one.
    pub listen: SocketAddr,
    pub limits: HttpSysLimits,
    pub condition: Condition,
    /// What PKIOperation is answered with; none is 500, as from an NDES that cannot read a message.
    pub enrolment: Option<Enrolment>,
    /// Answers GetCACaps, GetCACert and PKIOperation where the condition does not.
    pub scep_server: Option<ScepServer>,
    /// Keep the last 1000 requests for [`SimulatedNdes::requests`].
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

/// A simulated NDES at work, until it is stopped or dropped.
pub struct SimulatedNdes {
    pub address: SocketAddr,
    server: Arc<Server>,
    accepting: JoinHandle<()>,
}

impl SimulatedNdes {
    /// The number of TCP connections so far, those without a TLS handshake included.
    pub fn connections(&self) -> u64 {
        self.server.connections.load(Ordering::Relaxed)
    }

    /// The last 1000 requests, oldest first; none without [`Options::record`].
    pub fn requests(&self) -> Vec<Seen> {
        self.server.record.requests()
    }

    /// From now on it is so. Answers that [`Condition::Late`] held back come as this has it.
    ///
    /// # Errors
    /// Only when the crypto library cannot make a key for certificates that go with it.
    pub fn set(&self, condition: Condition) -> Result<(), rcgen::Error> {
        self.server.state.set(condition)
    }

    /// From now on every request to enrol ends so; none is 500.
    pub fn set_enrolment(&self, enrolment: Option<Enrolment>) {
        self.server.state.set_enrolment(enrolment);
    }

    /// From now on GetCACert gives these, as after a renewal.
    ///
    /// # Errors
    /// As for [`Self::set`].
    pub fn set_certificates(&self, scep: &ScepCertificates) -> Result<(), rcgen::Error> {
        self.server.state.set_certificates(scep)
    }

    /// Closes the listener and all connections; the port is free when this returns.
    pub async fn stop(mut self) {
        self.accepting.abort();
        // Cancelled is what it is meant to be.
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for SimulatedNdes {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Starts a simulated NDES with this TLS certificate, whose GetCACert gives these certificates.
///
/// # Errors
/// Those of binding `options.listen`; `InvalidInput` if rustls does not take the certificate, or
/// none can be made that go with `options.condition`.
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
    // Dropped with this task, and all connections with it.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => match accepted {
                Ok((stream, _)) => {
                    server.connections.fetch_add(1, Ordering::Relaxed);
                    connections.spawn(Arc::clone(&server).serve(stream, tls.clone()));
                }
                // Out of file descriptors: it passes when connections end.
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
