//! The load generator: two threads, each with its own runtime and its share of the connections.
//!
//! It compares every response with the one that the origin must have sent. The first difference
//! fails the run.

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
use crate::worker::{Exchange, Phase, Schedule, Worker, workers};

pub(crate) const THREADS: usize = 2;

/// A scenario that runs against one proxy until [`LoadRun::finish`].
pub(crate) struct LoadRun {
    phase: Arc<Phase>,
    threads: Vec<JoinHandle<Result<Vec<u32>>>>,
    pacer: Option<JoinHandle<()>>,
    workers: usize,
}

impl LoadRun {
    pub(crate) fn start(proxy: SocketAddr, scenario: &Scenario, pki: &Pki) -> Result<Self> {
        let phase = Arc::new(Phase::new(scenario));
        let mut senders = Vec::new();
        let start = || match scenario.pace {
            Pace::Closed => Schedule::Closed(Arc::clone(&phase)),
            Pace::Open { .. } => {
                let (sender, receiver) = unbounded_channel();
                senders.push(sender);
                Schedule::Open(receiver)
            }
        };
        let mut count = 0;
        let mut per_thread: Vec<Vec<Worker>> = (0..THREADS).map(|_| Vec::new()).collect();
        for (number, workers_of_one) in workers(proxy, scenario, pki, &phase, start)?
            .into_iter()
            .enumerate()
        {
            count += workers_of_one.len();
            per_thread[number % THREADS].extend(workers_of_one);
        }
        let threads = per_thread.into_iter().map(|workers| {
            let phase = Arc::clone(&phase);
            thread::spawn(move || runtime()?.block_on(run(workers, &phase)))
        });
        let threads = threads.collect();
        let pacer = match scenario.pace {
            Pace::Closed => None,
            Pace::Open { per_second } => {
                let phase = Arc::clone(&phase);
                Some(thread::spawn(move || {
                    send_starts(per_second, &senders, &phase)
                }))
            }
        };
        Ok(Self {
            phase,
            threads,
            pacer,
            workers: count,
        })
    }

    /// Waits until each worker has received its first response and so has a connection, or until an
    /// error occurs.
    pub(crate) fn wait_until_ready(&self) {
        let phase = &self.phase;
        while phase.ready.load(Ordering::Relaxed) < self.workers
            && !phase.stop.load(Ordering::Relaxed)
        {
            thread::sleep(Duration::from_millis(1));
        }
    }

    /// Sets whether the latencies of requests that complete from now on are recorded.
    pub(crate) fn set_recording(&self, on: bool) {
        self.phase.recording.store(on, Ordering::Relaxed);
    }

    /// Stops the load. Returns the latencies in microseconds of all requests that completed while
    /// recording was on.
    ///
    /// # Errors
    ///
    /// Returns the first error of a request.
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

/// Sends `count` requests on each connection of `scenario` (on each stream for HTTP/2), then closes
/// the connections. Returns after the last response.
pub(crate) fn send_exactly(
    proxy: SocketAddr,
    scenario: &Scenario,
    count: usize,
    pki: &Pki,
) -> Result<()> {
    let phase = Arc::new(Phase::new(scenario));
    let workers = workers(proxy, scenario, pki, &phase, || Schedule::Counted(count))?;
    let workers = workers.into_iter().flatten().collect();
    runtime()?.block_on(run(workers, &phase)).map(drop)
}

/// Opens `count` connections, sends one request on each, and calls `measure` while they are idle.
pub(crate) fn with_idle_connections<T>(
    proxy: SocketAddr,
    count: usize,
    tls: Tls,
    pki: &Pki,
    measure: impl FnOnce() -> Result<T>,
) -> Result<T> {
    const CONCURRENCY: usize = 32;
    let client = Arc::new(Client::new(proxy, tls, Http::One.protocol(), pki)?);
    let exchange = Arc::new(Exchange::new(Request::ShortGet, PUBLIC_NAME)?);
    let runtime = runtime()?;
    let connections = runtime.block_on(async {
        let mut tasks = JoinSet::new();
        for number in 0..CONCURRENCY {
            let (client, exchange) = (Arc::clone(&client), Arc::clone(&exchange));
            tasks.spawn(async move {
                let mut opened = Vec::new();
                for _ in (number..count).step_by(CONCURRENCY) {
                    let mut connection = client.connect().await?;
                    exchange.over_http1(&mut connection).await?;
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
            // Fails if the proxy has closed the connection: it was not idle then.
            exchange.over_http1(&mut connection).await?;
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
    while let Some(latencies_of_one) = tasks.join_next().await {
        match latencies_of_one? {
            Ok(latencies_of_one) => latencies.extend(latencies_of_one),
            Err(e) => {
                phase.stop.store(true, Ordering::Relaxed);
                return Err(e);
            }
        }
    }
    Ok(latencies)
}

/// Sends each worker its start times, one worker after the other. Runs on its own thread because
/// the runtime's timer has a resolution of a millisecond.
fn send_starts(per_second: u32, workers: &[UnboundedSender<Instant>], phase: &Phase) {
    let start = Instant::now();
    for (number, worker) in (0..).zip(workers.iter().cycle()) {
        let due = start + Duration::from_secs(1) * number / per_second;
        thread::sleep(due.saturating_duration_since(Instant::now()));
        if phase.stop.load(Ordering::Relaxed) || worker.send(Instant::now()).is_err() {
            return;
        }
    }
}
