//! One request after the other, over HTTP/1 or a stream of HTTP/2, each answer compared; `load` starts many of these.

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
use crate::request::{LARGE_ANSWER, Request};
use crate::scenarios::{Handshake, Http, Scenario};

/// What all workers look at.
#[derive(Default)]
pub(crate) struct Phase {
    pub(crate) recording: AtomicBool,
    pub(crate) stop: AtomicBool,
    /// How many have had their first answer.
    pub(crate) begun: AtomicUsize,
    turns: Option<Semaphore>,
}

impl Phase {
    pub(crate) fn new(scenario: &Scenario) -> Self {
        Self {
            turns: scenario.at_once.map(Semaphore::new),
            ..Self::default()
        }
    }
}

/// Those of each connection of `scenario`, which belong on one thread.
pub(crate) fn workers(
    proxy: SocketAddr,
    scenario: &Scenario,
    pki: &Pki,
    phase: &Arc<Phase>,
    mut starts: impl FnMut() -> Starts,
) -> Result<Vec<Vec<Worker>>> {
    let names: Vec<String> = (0..scenario.names).map(public_name).collect();
    let mut exchanges = Vec::new();
    for name in &names {
        exchanges.push(Arc::new(Exchange::new(scenario.request, name)?));
    }
    let mut worker = |lane, exchange: &Arc<Exchange>| Worker {
        lane,
        exchange: Arc::clone(exchange),
        starts: starts(),
        phase: Arc::clone(phase),
    };
    let mut of_all = Vec::new();
    let names = names.iter().zip(&exchanges).cycle();
    for (name, exchange) in names.take(scenario.connections) {
        let client = Client::new(proxy, scenario.tls, scenario.http.protocol(), pki)?;
        let client = client.named(name)?;
        of_all.push(match scenario.http {
            Http::One => {
                let alone = Alone::new(client, scenario.tls.handshake);
                vec![worker(Lane::One(Box::new(alone)), exchange)]
            }
            Http::Two { streams } => {
                let shared = Arc::new(Multiplexed::new(client));
                let lane = || Lane::Two(Arc::clone(&shared));
                (0..streams).map(|_| worker(lane(), exchange)).collect()
            }
        });
    }
    Ok(of_all)
}

/// Sends one request after the other.
pub(crate) struct Worker {
    lane: Lane,
    exchange: Arc<Exchange>,
    starts: Starts,
    phase: Arc<Phase>,
}

enum Lane {
    One(Box<Alone>),
    /// A stream at a time of a connection that others use too.
    Two(Arc<Multiplexed>),
}

/// One connection after the other, or one for all requests.
struct Alone {
    client: Client,
    handshake: Handshake,
    kept: Option<Connection>,
    first: bool,
}

impl Worker {
    pub(crate) async fn run(mut self) -> Result<Vec<u32>> {
        let mut latencies = Vec::new();
        let mut first = true;
        while let Some(start) = self.starts.next().await {
            let _turn = match &self.phase.turns {
                Some(turns) => Some(turns.acquire().await?),
                None => None,
            };
            match &mut self.lane {
                Lane::One(alone) => alone.exchange(&self.exchange).await?,
                Lane::Two(connection) => self.exchange.over_two(connection).await?,
            }
            if std::mem::take(&mut first) {
                self.phase.begun.fetch_add(1, Ordering::Relaxed);
            }
            if self.phase.recording.load(Ordering::Relaxed) {
                latencies.push(start.elapsed().as_micros().try_into()?);
            }
        }
        Ok(latencies)
    }
}

impl Alone {
    fn new(client: Client, handshake: Handshake) -> Self {
        Self {
            client,
            handshake,
            kept: None,
            first: true,
        }
    }

    async fn exchange(&mut self, exchange: &Exchange) -> Result<()> {
        let mut connection = match self.kept.take() {
            Some(connection) => connection,
            None => self.connect().await?,
        };
        exchange.over_one(&mut connection).await?;
        if self.handshake == Handshake::Once {
            self.kept = Some(connection);
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
            other => Err(format!("handshake {other:?} where {expected:?} was expected").into()),
        }
    }
}

/// When the next request starts.
pub(crate) enum Starts {
    Closed(Arc<Phase>),
    Open(UnboundedReceiver<Instant>),
    /// So many are left, one after the other.
    Counted(usize),
}

impl Starts {
    async fn next(&mut self) -> Option<Instant> {
        match self {
            Self::Closed(phase) => (!phase.stop.load(Ordering::Relaxed)).then(Instant::now),
            Self::Open(starts) => starts.recv().await,
            Self::Counted(left) => {
                *left = left.checked_sub(1)?;
                Some(Instant::now())
            }
        }
    }
}

/// A request and what must come back.
pub(crate) struct Exchange {
    one: Vec<u8>,
    two: http::Request<Bytes>,
    answer: Option<Vec<u8>>,
}

impl Exchange {
    /// With `host` in the field of that name.
    pub(crate) fn new(request: Request, host: &str) -> Result<Self> {
        let one = request.bytes(host);
        Ok(Self {
            two: http2::translate(&one)?,
            one,
            answer: request.answer(),
        })
    }

    pub(crate) async fn over_one(&self, connection: &mut Connection) -> Result<()> {
        let answer = connection.exchange(&self.one).await?;
        self.compare(answer.status, answer.body)
    }

    async fn over_two(&self, connection: &Multiplexed) -> Result<()> {
        let (status, body) = connection.exchange(&self.two).await?;
        self.compare(status, &body)
    }

    fn compare(&self, status: u16, body: &[u8]) -> Result<()> {
        let whole = match &self.answer {
            Some(expected) => body == *expected,
            None => body.len() == LARGE_ANSWER,
        };
        if status == 200 && whole {
            return Ok(());
        }
        let start = String::from_utf8_lossy(&body[..body.len().min(200)]);
        Err(format!("answer {status} with {} bytes: {start}", body.len()).into())
    }
}
