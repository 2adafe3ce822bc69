//! The rounds: which proxy gets which load when, and the samples before and after each load.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, LoadRun};
use crate::origin::Origin;
use crate::pki::Pki;
use crate::proxies::{Proxy, RunningProxy};
use crate::row::{Cell, Memory, Row};
use crate::scenarios::{KEEP_ALIVE, Pace, Scenario};
use crate::{Result, preflight, procfs};

/// Time for threads and worker processes to start, and for resources of past requests to be freed.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// The state that all cells share.
pub(crate) struct Bench {
    pub(crate) origin: Origin,
    pub(crate) pki: Pki,
    /// The directory of the PKI, the configurations and the logs.
    pub(crate) dir: PathBuf,
    /// Set when the user interrupts the bench.
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) rounds: usize,
    pub(crate) seconds: Duration,
    pub(crate) idle: usize,
    /// Threads or processes of each proxy.
    pub(crate) workers: usize,
}

impl Bench {
    /// Runs every scenario against every proxy, each with `workers`, in every round.
    pub(crate) fn under_load(
        &self,
        proxies: &[Proxy],
        workers: usize,
        scenarios: &[Scenario],
    ) -> Result<Vec<Row>> {
        if scenarios.is_empty() {
            return Ok(Vec::new());
        }
        let mut running = Vec::new();
        for proxy in proxies {
            let proxy = proxy.start(&self.dir, self.origin.port, workers)?;
            preflight::check(&proxy, &self.pki).map_err(|e| with_log(e, &proxy))?;
            running.push(proxy);
        }
        let mut cells = vec![vec![Vec::new(); running.len()]; scenarios.len()];
        for round in 0..self.rounds {
            for (number, scenario) in scenarios.iter().enumerate() {
                for offset in 0..running.len() {
                    // The order changes each time, so that no proxy always runs first on the
                    // coolest machine.
                    let index = (round + number + offset) % running.len();
                    let proxy = &running[index];
                    let cell = self
                        .cell(proxy, scenario)
                        .map_err(|e| with_log(format!("{}: {e}", scenario.name).into(), proxy))?;
                    cells[number][index].push(cell);
                }
            }
            eprintln!("round {} of {} done", round + 1, self.rounds);
        }
        let mut rows = Vec::new();
        for (scenario, cells) in scenarios.iter().zip(&cells) {
            let row = |name, title: &str, unit, get: fn(&Cell) -> f64| {
                let of_proxy = |(proxy, cells): (&Proxy, &Vec<Cell>)| {
                    (proxy.kind, cells.iter().map(get).collect(), cells.clone())
                };
                let rounds = proxies.iter().zip(cells).map(of_proxy).collect();
                Row::new(name, title.to_owned(), unit, rounds)
            };
            let (name, title) = (scenario.name, scenario.title);
            rows.push(row(name, title, "CPU us", |cell| cell.cpu_us_per_request));
            // At a constant rate, the time that a client waits is of interest too.
            if matches!(scenario.pace, Pace::Open { .. }) {
                rows.push(row(name, title, "p99 us", |cell| cell.p99_us.into()));
            }
        }
        Ok(rows)
    }

    pub(crate) fn cell(&self, proxy: &RunningProxy, scenario: &Scenario) -> Result<Cell> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        proxy.truncate_log()?;
        let load = LoadRun::start(proxy.address, scenario, &self.pki)?;
        load.wait_until_ready();
        thread::sleep(self.seconds / 4);
        let before = self.sample(proxy)?;
        load.set_recording(true);
        thread::sleep(self.seconds);
        load.set_recording(false);
        let after = self.sample(proxy)?;
        cell(&before, &after, load.finish()?)
    }

    fn sample(&self, proxy: &RunningProxy) -> Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            proxy: procfs::cpu_of_tree(proxy.pid())?,
            load: procfs::cpu(std::process::id())?,
            origin: procfs::cpu(self.origin.pid())?,
            machine: procfs::machine_busy()?,
        })
    }

    /// Measures the memory of new processes. The memory that an allocator keeps after load would
    /// hide what a connection needs.
    pub(crate) fn memory(&self, proxies: &[Proxy]) -> Result<Vec<Row>> {
        let mut measured = vec![Vec::new(); proxies.len()];
        for _ in 0..self.rounds {
            for (proxy, measured) in proxies.iter().zip(&mut measured) {
                let running = proxy.start(&self.dir, self.origin.port, self.workers)?;
                let memory = self
                    .memory_of(&running)
                    .map_err(|e| with_log(e, &running))?;
                measured.push(memory);
            }
        }
        let row = |name, title, unit, get: fn(&Memory) -> f64| {
            let of_proxy = |(proxy, measured): (&Proxy, &Vec<Memory>)| {
                (proxy.kind, measured.iter().map(get).collect(), Vec::new())
            };
            let rounds = proxies.iter().zip(&measured).map(of_proxy).collect();
            Row::new(name, title, unit, rounds)
        };
        let start = "memory at start".to_owned();
        let idle = format!("memory per idle connection ({})", self.idle);
        Ok(vec![
            row("memory-start", start, "MB", |m| m.start_kb / 1024.0),
            row("memory-idle", idle, "KB", |m| m.per_idle_connection_kb),
        ])
    }

    fn memory_of(&self, proxy: &RunningProxy) -> Result<Memory> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        thread::sleep(SETTLE);
        let start = procfs::memory_of_tree(proxy.pid())? as f64;
        let idle =
            load::with_idle_connections(proxy.address, self.idle, KEEP_ALIVE, &self.pki, || {
                thread::sleep(SETTLE);
                procfs::memory_of_tree(proxy.pid())
            })?;
        Ok(Memory {
            start_kb: start,
            per_idle_connection_kb: (idle as f64 - start) / self.idle as f64,
        })
    }
}

struct Sample {
    at: Instant,
    proxy: Duration,
    load: Duration,
    origin: Duration,
    machine: Duration,
}

fn cell(before: &Sample, after: &Sample, mut latencies: Vec<u32>) -> Result<Cell> {
    latencies.sort_unstable();
    let requests = latencies.len();
    let percentile = |percent: usize| latencies.get(requests * percent / 100).copied();
    let (Some(p50_us), Some(p99_us)) = (percentile(50), percentile(99)) else {
        return Err("no request completed".into());
    };
    let proxy = after.proxy.checked_sub(before.proxy);
    let proxy = proxy.ok_or("a process of the proxy exited under load")?;
    let load = after.load.saturating_sub(before.load);
    let origin = after.origin.saturating_sub(before.origin);
    let machine = after.machine.saturating_sub(before.machine);
    let others = machine.saturating_sub(proxy + load + origin);
    let elapsed = after.at - before.at;
    let cores = thread::available_parallelism()?.get();
    let per_request = |time: Duration| time.as_secs_f64() * 1e6 / requests as f64;
    Ok(Cell {
        requests,
        requests_per_second: requests as f64 / elapsed.as_secs_f64(),
        cpu_us_per_request: per_request(proxy),
        p50_us,
        p99_us,
        load_cpu_us_per_request: per_request(load),
        origin_cpu_us_per_request: per_request(origin),
        others_percent: 100.0 * others.as_secs_f64() / elapsed.as_secs_f64() / cores as f64,
    })
}

/// Adds the last lines of the proxy's log to `error`.
pub(crate) fn with_log(
    error: Box<dyn Error + Send + Sync>,
    proxy: &RunningProxy,
) -> Box<dyn Error + Send + Sync> {
    format!("{}: {error}\n{}", proxy.kind.name(), proxy.log_tail()).into()
}
