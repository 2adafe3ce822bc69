//! The load generator: two threads, each with its own runtime and its share of the connections.
//!
//! Every answer is compared with what the origin must have said; the first that differs fails the run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::runtime::{self, Runtime};
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};
use tokio::task::JoinSet;

use crate::Result;
use crate::client::Client;
use crate::pki::{PUBLIC_NAME, Pki};
use crate::request::Request;
use crate::scenarios::{Http, Pace, Scenario, Tls};
use crate::worker::{Exchange, Phase, Starts, Worker, workers};

pub(crate) const THREADS: usize = 2;

/// A scenario that runs against one proxy, until [`WorkerLoad::finish`].
pub(crate) struct WorkerLoad {
    phase: Arc<Phase>,
    threads: Vec<JoinHandle<Result<Vec<u32>>>>,
    pacer: Option<JoinHandle<()>>,
    workers: usize,
}

impl WorkerLoad {
    pub(crate) fn start(proxy: SocketAddr, scenario: &Scenario, pki: &Pki) -> Result<Self> {
        let phase = Arc::new(Phase::new(scenario));
        let mut senders = Vec::new();
        let start = || match scenario.pace {
            Pace::Closed => Starts::Closed(Arc::clone(&phase)),
            Pace::Open { .. } => {
                let (sender, receiver) = unbounded_channel();
                senders.push(sender);
                Starts::Open(receiver)
            }
        };
        let mut count = 0;
        let mut dispatcher: Vec<Vec<Worker>> = (0..THREADS).map(|_| Vec::new()).collect();
        for (number, of_one) in workers(proxy, scenario, pki, &phase, start)?
            .into_iter()
            .enumerate()
        {
            count += of_one.len();
            dispatcher[number % THREADS].extend(of_one);
        }
        let threads = dispatcher.into_iter().map(|share| {
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
            workers: count,
        })
    }

    /// Until each has had its first answer, and with it its connection, or there is an error.
    pub(crate) fn wait_for_all(&self) {
        let phase = &self.phase;
        while phase.begun.load(Ordering::Relaxed) < self.workers
            && !phase.stop.load(Ordering::Relaxed)
        {
            thread::sleep(Duration::from_millis(1));
        }
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

/// Sends `count` requests on each connection of `scenario` (on each stream of HTTP/2), which all close then; returns when the last answer is there.
pub(crate) fn exactly(
    proxy: SocketAddr,
    scenario: &Scenario,
    count: usize,
    pki: &Pki,
) -> Result<()> {
    let phase = Arc::new(Phase::new(scenario));
    let workers = workers(proxy, scenario, pki, &phase, || Starts::Counted(count))?;
    let workers = workers.into_iter().flatten().collect();
    runtime()?.block_on(run(workers, &phase)).map(drop)
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
    let client = Arc::new(Client::new(proxy, tls, Http::One.protocol(), pki)?);
    let exchange = Arc::new(Exchange::new(Request::ShortGet, PUBLIC_NAME)?);
    let runtime = runtime()?;
    let connections = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..AT_ONCE {
            let (client, exchange) = (Arc::clone(&client), Arc::clone(&exchange));
            tasks.spawn(async move {
                let mut opened = Vec::new();
                for _ in (number..count).step_by(AT_ONCE) {
                    let mut connection = client.connect().await?;
                    exchange.over_one(&mut connection).await?;
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
            exchange.over_one(&mut connection).await?;
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
