//! A worker sends one request after the other over HTTP/1 or HTTP/2 and compares each response.
//! `load` starts many of them.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Instant;

use bytes::Bytes;
use rustls::HandshakeKind;
use tokio::sync::Semaphore;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::Result;
use crate::client::{Client, Connection};
use crate::http2::{self, Multiplexed};
use crate::pki::{Pki, public_name};
use crate::request::{LARGE_RESPONSE_BYTES, Request};
use crate::scenarios::{Handshake, Http, Scenario};

/// The state that all workers share.
#[derive(Default)]
pub(crate) struct Phase {
    pub(crate) recording: AtomicBool,
    pub(crate) stop: AtomicBool,
    /// Number of workers that have received their first response.
    pub(crate) ready: AtomicUsize,
    permits: Option<Semaphore>,
}

impl Phase {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            permits: scenario.max_concurrent.map(Semaphore::new),
            ..Self::default()
        }
    }
}

/// Creates the workers of each connection of `scenario`. Those of one connection belong on one
/// thread.
pub(crate) fn workers(
    proxy: SocketAddr,
    scenario: &Scenario,
    pki: &Pki,
    phase: &Arc<Phase>,
    mut schedule: impl FnMut() -> Schedule,
) -> Result<Vec<Vec<Worker>>> {
    let names: Vec<String> = (0..scenario.public_names).map(public_name).collect();
    let mut exchanges = Vec::new();
    for name in &names {
        exchanges.push(Arc::new(Exchange::new(scenario.request, name)?));
    }
    let mut worker = |transport, exchange: &Arc<Exchange>| Worker {
        transport,
        exchange: Arc::clone(exchange),
        schedule: schedule(),
        phase: Arc::clone(phase),
    };
    let mut by_connection = Vec::new();
    let names = names.iter().zip(&exchanges).cycle();
    for (name, exchange) in names.take(scenario.connections) {
        let client = Client::new(proxy, scenario.tls, scenario.http.protocol(), pki)?;
        let client = client.named(name)?;
        by_connection.push(match scenario.http {
            Http::One => {
                let sequential = Sequential::new(client, scenario.tls.handshake);
                vec![worker(Transport::Http1(Box::new(sequential)), exchange)]
            }
            Http::Two { streams } => {
                let shared = Arc::new(Multiplexed::new(client));
                let transport = || Transport::Http2(Arc::clone(&shared));
                (0..streams)
                    .map(|_| worker(transport(), exchange))
                    .collect()
            }
        });
    }
    Ok(by_connection)
}

/// Sends one request after the other and records their latencies.
pub(crate) struct Worker {
    transport: Transport,
    exchange: Arc<Exchange>,
    schedule: Schedule,
    phase: Arc<Phase>,
}

enum Transport {
    Http1(Box<Sequential>),
    /// One stream at a time of a connection that other workers use too.
    Http2(Arc<Multiplexed>),
}

/// A connection for each request, or one for all of them, depending on `handshake`.
struct Sequential {
    client: Client,
    handshake: Handshake,
    idle: Option<Connection>,
    first: bool,
}

impl Worker {
    pub(crate) async fn run(mut self) -> Result<Vec<u32>> {
        let mut latencies = Vec::new();
        let mut first = true;
        while let Some(start) = self.schedule.next().await {
            let _permit = match &self.phase.permits {
                Some(permits) => Some(permits.acquire().await?),
                None => None,
            };
            match &mut self.transport {
                Transport::Http1(sequential) => sequential.exchange(&self.exchange).await?,
                Transport::Http2(connection) => self.exchange.over_http2(connection).await?,
            }
            if std::mem::take(&mut first) {
                self.phase.ready.fetch_add(1, Ordering::Relaxed);
            }
            if self.phase.recording.load(Ordering::Relaxed) {
                latencies.push(start.elapsed().as_micros().try_into()?);
            }
        }
        Ok(latencies)
    }
}

impl Sequential {
    fn new(client: Client, handshake: Handshake) -> Self {
        Self {
            client,
            handshake,
            idle: None,
            first: true,
        }
    }

    async fn exchange(&mut self, exchange: &Exchange) -> Result<()> {
        let mut connection = match self.idle.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        exchange.over_http1(&mut connection).await?;
        if self.handshake == Handshake::Once {
            self.idle = Some(connection);
        } else {
            connection.close().await;
        }
        Ok(())
    }

    async fn connect(&mut self) -> Result<Connection> {
        let connection = self.client.connect().await?;
        let expected = match self.handshake {
            Handshake::ResumedEach if !self.first => HandshakeKind::Resumed,
            Handshake::ResumedEach | Handshake::Once | Handshake::FullEach => HandshakeKind::Full,
        };
        self.first = false;
        match connection.handshake() {
            Some(kind) if kind == expected => Ok(connection),
            other => Err(format!("handshake {other:?} instead of {expected:?}").into()),
        }
    }
}

/// When the next request starts.
pub(crate) enum Schedule {
    Closed(Arc<Phase>),
    Open(UnboundedReceiver<Instant>),
    /// Each request follows the previous one, until this number has been sent.
    Counted(usize),
}

impl Schedule {
    async fn next(&mut self) -> Option<Instant> {
        match self {
            Self::Closed(phase) => (!phase.stop.load(Ordering::Relaxed)).then(Instant::now),
            Self::Open(schedule) => schedule.recv().await,
            Self::Counted(left) => {
                *left = left.checked_sub(1)?;
                Some(Instant::now())
            }
        }
    }
}

/// A request and its expected response.
pub(crate) struct Exchange {
    http1: Vec<u8>,
    http2: http::Request<Bytes>,
    expected: Option<Vec<u8>>,
}

impl Exchange {
    /// Prepares `request` with `host` in the header field Host.
    pub(crate) fn new(request: Request, host: &str) -> Result<Self> {
        let http1 = request.bytes(host);
        Ok(Self {
            http2: http2::translate(&http1)?,
            http1,
            expected: request.expected_response(),
        })
    }

    pub(crate) async fn over_http1(&self, connection: &mut Connection) -> Result<()> {
        let response = connection.exchange(&self.http1).await?;
        self.compare(response.status, response.body)
    }

    async fn over_http2(&self, connection: &Multiplexed) -> Result<()> {
        let (status, body) = connection.exchange(&self.http2).await?;
        self.compare(status, &body)
    }

    fn compare(&self, status: u16, body: &[u8]) -> Result<()> {
        let matches = match &self.expected {
            Some(expected) => body == *expected,
            None => body.len() == LARGE_RESPONSE_BYTES,
        };
        if status == 200 && matches {
            return Ok(());
        }
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]);
        Err(format!("status {status} with {} bytes: {start}", body.len()).into())
    }
}
