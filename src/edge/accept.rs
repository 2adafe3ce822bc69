//! The workers: each is a thread with its own runtime, which accepts connections and serves them to
//! their end. No part of a request moves between threads.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use arc_swap::ArcSwap;
use ipnet::IpNet;
use socket2::{Domain, Protocol, Socket, Type};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::UnboundedReceiver;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout_at};
use tracing::warn;

use super::dispatcher::{Dispatched, Dispatcher, NewConnection};
use super::handshake::Stream;
use super::heartbeat::Heartbeat;
use super::limit::{ConnectionLimit, ConnectionPermit};
use super::proxy_protocol::{self, Source};
use super::{h1, h2, handshake};
use crate::base::client::ClientKey;
use crate::base::shutdown::Shutdown;
use crate::observe::metrics::ConnectionResult;
use crate::proxy::exchange::Exchange;
use crate::proxy::generation::Generation;
use crate::proxy::peer::Peer;
use crate::proxy::process::Process;

/// The state that all workers share.
#[derive(Clone)]
pub struct Edge {
    pub process: Arc<Process>,
    pub current: Arc<ArcSwap<Generation>>,
    pub connection_limit: Arc<ConnectionLimit>,
    pub dispatcher: Dispatcher,
    pub heartbeat: Heartbeat,
    /// The networks whose PROXY protocol header is believed. `None` if connections begin without
    /// one.
    pub proxies: Option<Arc<[IpNet]>>,
    pub shutdown: Shutdown,
}

/// The part of the public side that one thread serves.
pub struct Worker {
    pub index: usize,
    pub edge: Edge,
    pub listeners: Vec<std::net::TcpListener>,
    /// Connections that other workers accepted for this one.
    pub inbox: UnboundedReceiver<Dispatched>,
}

/// Connections per listener that may wait to be accepted.
const BACKLOG: i32 = 4_096;

impl Edge {
    /// Binds `address`. The same socket serves all workers, so the kernel gives a connection to any
    /// worker that is free, and no connection is lost when a worker stops.
    pub fn listen(address: SocketAddr) -> io::Result<std::net::TcpListener> {
        let socket = Socket::new(
            Domain::for_address(address),
            Type::STREAM,
            Some(Protocol::TCP),
        )?;
        socket.set_reuse_address(true)?;
        if address.is_ipv6() {
            // `[::]` also serves IPv4, whatever the default of the system is.
            socket.set_only_v6(false)?;
        }
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(BACKLOG)?;
        Ok(socket.into())
    }
}

impl Worker {
    /// Serves until shutdown, then until the last connection has closed or the deadline of the
    /// shutdown has passed. Returns how many connections were cut.
    pub async fn run(mut self) -> io::Result<usize> {
        let listeners = self
            .listeners
            .into_iter()
            .map(TcpListener::from_std)
            .collect::<io::Result<Vec<_>>>()?;
        let mut connections = JoinSet::new();
        let mut heartbeat = self.edge.heartbeat.of(self.index);
        loop {
            tokio::select! {
                () = self.edge.shutdown.begun() => break,
                () = heartbeat.answer() => {}
                Some(joined) = connections.join_next() => {
                    if joined.is_err_and(|error| error.is_panic()) {
                        self.edge.process.metrics.panics.inc();
                    }
                }
                Some(dispatched) = self.inbox.recv() => if let Ok(connection) = dispatched.into_current_runtime() {
                    connections.spawn(serve(self.index, self.edge.clone(), connection));
                },
                accepted = accept(&listeners) => match accepted {
                    Ok((tcp, address)) => {
                        // Without a permit the socket is dropped, which closes the connection.
                        let permit = self.edge.connection_limit.try_acquire(&self.edge.process);
                        let connection = permit.and_then(|permit| self.edge.dispatcher.assign(self.index, tcp, address, permit));
                        if let Some(connection) = connection {
                            connections.spawn(serve(self.index, self.edge.clone(), connection));
                        }
                    }
                    // The connection closed before it was accepted, which is no reason to delay the
                    // next one.
                    Err(error) if is_connection_error(&error) => {}
                    Err(error) => {
                        // There is no file descriptor left; one may be free a moment later.
                        warn!("a connection cannot be accepted: {error}; raise the open-file limit (LimitNOFILE=)");
                        sleep(Duration::from_millis(100)).await;
                    }
                },
            }
        }
        drop(listeners);
        // Serves the connections that others have accepted for this worker. They keep later ones.
        self.inbox.close();
        while let Some(dispatched) = self.inbox.recv().await {
            if let Ok(connection) = dispatched.into_current_runtime() {
                connections.spawn(serve(self.index, self.edge.clone(), connection));
            }
        }
        let detached = self.edge.process.detached.clone();
        let drained = async {
            loop {
                tokio::select! {
                    joined = connections.join_next() => if joined.is_none() { break },
                    () = heartbeat.answer() => {}
                }
            }
            detached.close();
            detached.wait().await;
        };
        if timeout_at(self.edge.shutdown.deadline(), drained)
            .await
            .is_ok()
        {
            return Ok(0);
        }
        self.edge.process.cut();
        Ok(connections.len())
    }
}

/// Returns the next connection of any listener.
async fn accept(listeners: &[TcpListener]) -> io::Result<(TcpStream, SocketAddr)> {
    poll_fn(|cx| {
        let ready = listeners
            .iter()
            .map(|listener| listener.poll_accept(cx))
            .find(Poll::is_ready);
        ready.unwrap_or(Poll::Pending)
    })
    .await
}

/// Returns whether only one connection has failed: Linux returns the error of a connection in the
/// backlog as an error of accept(2).
fn is_connection_error(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted
            | Kind::ConnectionReset
            | Kind::HostUnreachable
            | Kind::NetworkUnreachable
            | Kind::NetworkDown
    )
}

/// Serves a connection from its first byte to its last.
async fn serve(worker: usize, edge: Edge, connection: NewConnection) {
    let NewConnection {
        tcp,
        from,
        mut permit,
        load: _load,
    } = connection;
    let shutdown = edge.shutdown.clone();
    let ready = tokio::select! {
        // Boxed, so that its memory is freed once it is done.
        ready = Box::pin(establish(worker, edge, tcp, from, &mut permit)) => ready,
        // No request has arrived on this connection, so the shutdown does not wait for it.
        () = shutdown.grace_period_over() => return,
    };
    match ready {
        Some((exchange, stream, true)) => h2::serve(exchange, stream, permit, shutdown).await,
        Some((exchange, stream, false)) => h1::serve(exchange, stream, permit, shutdown).await,
        None => {}
    }
}

/// Performs everything that comes before the first request: PROXY protocol, limits and TLS. The flag
/// is `true` if HTTP/2 follows. Returns `None` if the connection must be closed.
async fn establish(
    worker: usize,
    edge: Edge,
    mut tcp: TcpStream,
    from: SocketAddr,
    permit: &mut ConnectionPermit,
) -> Option<(Exchange, Stream, bool)> {
    let generation = edge.current.load_full();
    // Responses are written whole; waiting for more bytes would only delay them.
    _ = tcp.set_nodelay(true);
    let deadline = Instant::now() + generation.timeouts.tls_handshake;
    let source = match edge.proxies.as_deref() {
        None => Source::Client(from),
        Some(trusted) => {
            let source = read_proxy_header(&mut tcp, from, trusted, deadline).await;
            if source.is_none() {
                edge.process
                    .metrics
                    .connection(ConnectionResult::BadProxyHeader);
            }
            source?
        }
    };
    let address = match source {
        Source::Client(address) if permit.count_for(address.ip().into()) => address,
        Source::Client(_) => return None,
        // The health checks of a load balancer are not counted.
        Source::Balancer => from,
    };
    let established = handshake::accept(&generation, tcp, deadline).await;
    if matches!(source, Source::Client(_)) {
        handshake::count(&edge.process, &established, address);
    }
    let established = established.ok()?;
    let peer = Peer {
        connection: edge.process.next_connection(),
        address,
        key: ClientKey::from(address.ip()),
        tls: established.version,
        sni: established.sni.map(Arc::new),
    };
    let exchange = Exchange {
        process: edge.process,
        current: edge.current,
        generation,
        outdated: false,
        peer: Arc::new(peer),
        worker,
    };
    Some((exchange, established.stream, established.h2))
}

/// Reads the PROXY protocol header. Returns `None` if the connection must be closed.
async fn read_proxy_header(
    tcp: &mut TcpStream,
    from: SocketAddr,
    trusted: &[IpNet],
    deadline: Instant,
) -> Option<Source> {
    let ip = from.ip().to_canonical();
    if !trusted.iter().any(|network| network.contains(&ip)) {
        return None;
    }
    timeout_at(deadline, proxy_protocol::read(tcp))
        .await
        .ok()?
        .ok()
}
