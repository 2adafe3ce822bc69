//! The proxy as a whole: builds all parts, binds all sockets, and only then serves.

mod threads;

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use tokio::net::TcpListener;
use tokio::sync::mpsc::UnboundedReceiver;
use tracing::{info, warn};

use crate::base::problem::Problems;
use crate::base::shutdown::{self, Trigger};
use crate::config::Config;
use crate::edge::{ConnectionLimit, Dispatched, Dispatcher, Edge, Heartbeat, Worker};
use crate::observe::log::Log;
use crate::operate::admin::Admin;
use crate::operate::handover::Handover;
use crate::operate::probe::Prober;
use crate::operate::reload::{self, Reloader};
use crate::operate::systemd::{Manager, Predecessor, Systemd};
use crate::proxy::generation::Generation;
use crate::proxy::process::Process;
use crate::tls::server;

/// Why the proxy does not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("{0}")]
    Configuration(Problems),
    #[error(
        "{key} = {address}: {error}; is another program listening there, and may this user bind the port?"
    )]
    Bind {
        key: &'static str,
        address: SocketAddr,
        error: io::Error,
    },
    #[error(
        "systemd passes a socket that listens on {0}, which the configuration does not name; write the same addresses \
         in listen.https and listen.admin as in ListenStream="
    )]
    Socket(SocketAddr),
    #[error("the system refuses what is needed: {0}")]
    System(#[from] io::Error),
    #[error("the metrics are invalid: {0}")]
    Metrics(#[from] prometheus::Error),
    #[error("no keys for session tickets: {0}")]
    Tickets(rustls::Error),
}

/// Why the proxy shuts down.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopCause {
    /// SIGTERM or SIGINT.
    Signal,
    /// Another process serves on the same sockets.
    HandedOver,
}

/// A proxy that is bound but does not serve yet. Its addresses have the real ports, also for port
/// 0.
pub struct Bound {
    pub https: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub warnings: Problems,
    /// Requests a reload, as SIGHUP does.
    pub reload: reload::Request,
    reloader: Reloader,
    manager: Manager,
    watchdog: Option<Duration>,
    predecessor: Option<Predecessor>,
    admin_listener: std::net::TcpListener,
    /// A new process may serve there while this one still drains.
    admin_is_shared: bool,
    listeners: Vec<std::net::TcpListener>,
    edge: Edge,
    trigger: Trigger,
    inboxes: Vec<UnboundedReceiver<Dispatched>>,
}

/// Builds the proxy of the files that the configuration names, and binds those of its addresses
/// that systemd has not bound. `log` receives the lines of requests.
///
/// # Errors
/// Returns why the proxy cannot start.
pub fn build(
    config: &Config,
    warnings: Problems,
    systemd: Systemd,
    log: Log,
) -> Result<Bound, StartError> {
    let process = Arc::new(Process::new(config, log)?);
    let ticketer = server::ticketer().map_err(StartError::Tickets)?;
    let generation = Generation::build(config, warnings, &process, &ticketer, None)
        .map_err(StartError::Configuration)?;
    let warnings = generation.warnings.clone();

    let Systemd {
        manager,
        mut sockets,
        watchdog,
        predecessor,
    } = systemd;
    let passed_admin = sockets.take(config.listen.admin);
    let admin_is_shared = passed_admin.is_some();
    let bind = |key, address, passed: Option<std::net::TcpListener>| match passed {
        Some(socket) => Ok(socket),
        None => Edge::listen(address).map_err(|error| StartError::Bind {
            key,
            address,
            error,
        }),
    };
    let admin_listener = bind("listen.admin", config.listen.admin, passed_admin)?;
    let https = config
        .listen
        .https
        .iter()
        .map(|address| bind("listen.https", *address, sockets.take(*address)));
    let listeners = https.collect::<Result<Vec<_>, _>>()?;
    // A predecessor may pass sockets that are no longer configured.
    if let (Some(address), None) = (sockets.left(), &predecessor) {
        return Err(StartError::Socket(address));
    }

    let (trigger, shutdown) = shutdown::channel();
    let connection_limit = Arc::new(ConnectionLimit::new(
        config.limits.connections,
        config.limits.connections_per_client,
    ));
    let (dispatcher, inboxes) = Dispatcher::new(config.listen.workers);
    let current = Arc::new(ArcSwap::from_pointee(generation));
    let (reload, reloader) = Reloader::new(
        config,
        process.clone(),
        ticketer,
        current.clone(),
        shutdown.clone(),
    );
    let edge = Edge {
        process,
        current,
        connection_limit,
        dispatcher,
        heartbeat: Heartbeat::new(config.listen.workers),
        proxies: config.listen.proxies.clone().map(Into::into),
        shutdown,
    };
    Ok(Bound {
        https: listeners
            .iter()
            .map(std::net::TcpListener::local_addr)
            .collect::<io::Result<_>>()?,
        admin: admin_listener.local_addr()?,
        warnings,
        reload,
        reloader,
        manager,
        watchdog,
        predecessor,
        admin_listener,
        admin_is_shared,
        listeners,
        edge,
        trigger,
        inboxes,
    })
}

impl Bound {
    /// Returns the hand-over to a new process. Its sockets listen until it is dropped.
    pub fn handover(&self) -> io::Result<Handover> {
        let sockets = self.listeners.iter().chain([&self.admin_listener]);
        Handover::new(sockets, self.manager.clone())
    }

    /// Serves until `stop` returns, then until the requests in flight are complete. Runs the admin
    /// listener itself, so the thread of the caller should do nothing else.
    pub async fn run(self, stop: impl Future<Output = StopCause>) -> io::Result<()> {
        let serving = Arc::new(AtomicBool::new(false));
        let admin = Admin {
            process: self.edge.process.clone(),
            current: self.edge.current.clone(),
            shutdown: self.edge.shutdown.clone(),
            serving: serving.clone(),
            reload: self.reloader.status(),
        };
        let admin_task = tokio::spawn(admin.run(TcpListener::from_std(self.admin_listener)?));
        let mut workers = Vec::new();
        for (index, inbox) in self.inboxes.into_iter().enumerate() {
            let listeners = self
                .listeners
                .iter()
                .map(std::net::TcpListener::try_clone)
                .collect::<io::Result<_>>()?;
            workers.push(threads::start(Worker {
                index,
                edge: self.edge.clone(),
                listeners,
                inbox,
            })?);
        }
        // Only the workers hold the sockets now: once they close them, no socket listens.
        drop(self.listeners);
        self.reloader.start(self.manager.clone())?;
        let prober = Prober {
            current: self.edge.current.clone(),
        };
        let probing = tokio::spawn(prober.run());
        serving.store(true, Ordering::Relaxed);
        if let Some(predecessor) = &self.predecessor {
            predecessor.dismiss()?;
        }
        self.manager.ready("serving");
        if let Some(time) = self.watchdog {
            tokio::spawn(threads::watch(
                time,
                self.edge.heartbeat.clone(),
                self.edge.shutdown.clone(),
                self.manager.clone(),
            ));
        }
        info!(https = ?self.https, admin = %self.admin, workers = workers.len(), version = env!("CARGO_PKG_VERSION"), "serving");

        let cause = stop.await;
        let time = self.edge.current.load().timeouts.shutdown;
        let open = self.edge.connection_limit.open();
        info!(
            seconds = time.as_secs(),
            open, "stopping: no new connections"
        );
        self.manager
            .stopping(&format!("stopping: {open} connections open"));
        self.trigger.begin(time);
        probing.abort();
        if self.admin_is_shared || cause == StopCause::HandedOver {
            admin_task.abort();
        }
        let joined =
            tokio::task::spawn_blocking(|| workers.into_iter().map(threads::join).sum::<usize>())
                .await;
        match joined {
            Ok(0) => info!("stopped"),
            Ok(cut) => warn!(
                cut,
                "stopped: connections that were still busy were cut; see timeouts.shutdown"
            ),
            Err(error) => warn!("stopped: a worker failed: {error}"),
        }
        admin_task.abort();
        Ok(())
    }
}
