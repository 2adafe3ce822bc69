//! The load generator: two threads, each with its own runtime and its share of the connections.
//!
//! Every answer is compared with what the origin must have said; the first that differs fails the run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustls::HandshakeKind;
use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::Result;
use crate::client::{Client, Connection};
use crate::pki::Pki;
use crate::scenarios::{Handshake, LARGE_ANSWER, Pace, Request, Scenario, Tls};

pub(crate) const THREADS: usize = 2;

/// A scenario that runs against one proxy, until [`Load::finish`].
pub(crate) struct Load {
    phase: Arc<Phase>,
    threads: Vec<JoinHandle<Result<Vec<u32>>>>,
    pacer: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Phase {
    recording: AtomicBool,
    stop: AtomicBool,
}

impl Load {
    pub(crate) fn start(proxy: SocketAddr, scenario: &Scenario, pki: &Pki) -> Result<Self> {
        let phase = Arc::new(Phase::default());
        let exchange = Arc::new(Exchange::new(scenario.request));
        let mut senders = Vec::new();
        let mut shares: Vec<Vec<Worker>> = (0..THREADS).map(|_| Vec::new()).collect();
        for number in 0..scenario.connections {
            let pace = match scenario.pace {
                Pace::Closed => Starts::Closed(Arc::clone(&phase)),
                Pace::Open { .. } => {
                    let (sender, receiver) = unbounded_channel();
                    senders.push(sender);
                    Starts::Open(receiver)
                }
            };
            shares[number % THREADS].push(Worker {
                client: Client::new(proxy, scenario.tls, pki)?,
                handshake: scenario.tls.handshake,
                exchange: Arc::clone(&exchange),
                starts: pace,
                phase: Arc::clone(&phase),
            });
        }
        let threads = shares.into_iter().map(|share| {
            let phase = Arc::clone(&phase);
            thread::spawn(move || runtime()?.block_on(run(share, &phase)))
        });
        let threads = threads.collect();
        let pacer = match scenario.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => {
                let phase = Arc::clone(&phase);
                Some(thread::spawn(move || pace(per_second, &senders, &phase)))
            }
        };
        Ok(Self {
            phase,
            threads,
            pacer,
        })
    }

    /// From now on requests that end count, or do not.
    pub(crate) fn record(&self, on: bool) {
        self.phase.recording.store(on, Ordering::Relaxed);
    }

    /// Ends the load. Returns the latencies in microseconds of all requests that ended while recording, or the first
    /// error of any.
    pub(crate) fn finish(self) -> Result<Vec<u32>> {
        self.phase.stop.store(true, Ordering::Relaxed);
        if let Some(pacer) = self.pacer {
            pacer.join().map_err(|_| "the pacer panicked")?;
        }
        let mut latencies = Vec::new();
        for thread in self.threads {
            latencies.extend(thread.join().map_err(|_| "a load thread panicked")??);
        }
        Ok(latencies)
    }
}

/// Sends `count` requests on each connection of `scenario`, which all close then; returns when the last answer is there.
pub(crate) fn exactly(
    proxy: SocketAddr,
    scenario: &Scenario,
    count: usize,
    pki: &Pki,
) -> Result<()> {
    let phase = Arc::new(Phase::default());
    let exchange = Arc::new(Exchange::new(scenario.request));
    let worker = |_| {
        Ok(Worker {
            client: Client::new(proxy, scenario.tls, pki)?,
            handshake: scenario.tls.handshake,
            exchange: Arc::clone(&exchange),
            starts: Starts::Counted(count),
            phase: Arc::clone(&phase),
        })
    };
    let workers: Result<Vec<Worker>> = (0..scenario.connections).map(worker).collect();
    runtime()?.block_on(run(workers?, &phase)).map(drop)
}

/// Opens `count` connections with one request on each, and calls `measure` while they are idle.
pub(crate) fn while_idle<T>(
    proxy: SocketAddr,
    count: usize,
    tls: Tls,
    pki: &Pki,
    measure: impl FnOnce() -> Result<T>,
) -> Result<T> {
    const AT_ONCE: usize = 32;
    let client = Arc::new(Client::new(proxy, tls, pki)?);
    let exchange = Arc::new(Exchange::new(Request::ShortGet));
    let runtime = runtime()?;
    let connections = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..AT_ONCE {
            let (client, exchange) = (Arc::clone(&client), Arc::clone(&exchange));
            tasks.spawn(async move {
                let mut opened = Vec::new();
                for _ in (number..count).step_by(AT_ONCE) {
                    let mut connection = client.connect().await?;
                    exchange.run(&mut connection).await?;
                    opened.push(connection);
                }
                Result::Ok(opened)
            });
        }
        let mut connections = Vec::with_capacity(count);
        while let Some(opened) = tasks.join_next().await {
            connections.extend(opened??);
        }
        Result::Ok(connections)
    })?;
    let measured = measure()?;
    runtime.block_on(async {
        for mut connection in connections {
            // A connection that the proxy closed meanwhile was not idle but gone.
            exchange.run(&mut connection).await?;
            connection.close().await;
        }
        Ok(measured)
    })
}

pub(crate) fn runtime() -> Result<Runtime> {
    Ok(runtime::Builder::new_current_thread()
        .enable_all()
        .build()?)
}

async fn run(workers: Vec<Worker>, phase: &Phase) -> Result<Vec<u32>> {
    let mut tasks = JoinSet::new();
    for worker in workers {
        tasks.spawn(worker.run());
    }
    let mut latencies = Vec::new();
    while let Some(of_one) = tasks.join_next().await {
        match of_one? {
            Ok(of_one) => latencies.extend(of_one),
            Err(e) => {
                phase.stop.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    }
    Ok(latencies)
}

/// Hands a start to each connection in turn. A thread of its own, as the runtime's timer only knows milliseconds.
fn pace(per_second: u32, connections: &[UnboundedSender<Instant>], phase: &Phase) {
    let start = Instant::now();
    for (number, connection) in (0..).zip(connections.iter().cycle()) {
        let due = start + Duration::from_secs(1) * number / per_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if phase.stop.load(Ordering::Relaxed) || connection.send(Instant::now()).is_err() {
            return;
        }
    }
}

/// One connection after the other, or one for all requests.
struct Worker {
    client: Client,
    handshake: Handshake,
    exchange: Arc<Exchange>,
    starts: Starts,
    phase: Arc<Phase>,
}

impl Worker {
    async fn run(mut self) -> Result<Vec<u32>> {
        let mut latencies = Vec::new();
        let mut kept = None;
        let mut first = true;
        while let Some(start) = self.starts.next().await {
            let mut connection = match kept.take() {
                Some(connection) => connection,
                None => self.connect(first).await?,
            };
            first = false;
            self.exchange.run(&mut connection).await?;
            if self.phase.recording.load(Ordering::Relaxed) {
                latencies.push(start.elapsed().as_micros().try_into()?);
            }
            if self.handshake == Handshake::Once {
                kept = Some(connection);
            } else {
                connection.close().await;
            }
        }
        Ok(latencies)
    }

    async fn connect(&self, first: bool) -> Result<Connection> {
        let connection = self.client.connect().await?;
        let expected = match self.handshake {
            Handshake::ResumedEach if !first => HandshakeKind::Resumed,
            Handshake::ResumedEach | Handshake::Once | Handshake::FullEach => HandshakeKind::Full,
        };
        match connection.handshake() {
            Some(kind) if kind == expected => Ok(connection),
            other => Err(format!("handshake {other:?} where {expected:?} was expected").into()),
        }
    }
}

/// When the next request starts.
enum Starts {
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
struct Exchange {
    request: Vec<u8>,
    answer: Option<Vec<u8>>,
}

impl Exchange {
    fn new(request: Request) -> Self {
        Self {
            request: request.bytes(),
            answer: request.answer(),
        }
    }

    async fn run(&self, connection: &mut Connection) -> Result<()> {
        let answer = connection.exchange(&self.request).await?;
        let whole = match &self.answer {
            Some(body) => answer.body == *body,
            None => answer.body.len() == LARGE_ANSWER,
        };
        if answer.status == 200 && whole {
            return Ok(());
        }
        let start = &answer.body[..answer.body.len().min(200)];
        Err(format!(
            "answer {} with {} bytes: {}",
            answer.status,
            answer.body.len(),
            String::from_utf8_lossy(start)
        )
        .into())
    }
}
