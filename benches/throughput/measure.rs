//! The rounds: which proxy gets which load when, and what is read before and after.

use std::error::Error;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::load::{self, WorkerLoad};
use crate::origin::Origin;
use crate::pki::Pki;
use crate::proxies::{Proxy, Running};
use crate::report::{Cell, Memory, Row};
use crate::scenarios::{KEEP_ALIVE, Pace, Scenario};
use crate::{Result, preflight, procfs};

/// For threads and worker processes to start, and for what only requests needed to go.
pub(crate) const SETTLE: Duration = Duration::from_millis(500);

/// What all cells share.
pub(crate) struct Bench {
    pub(crate) origin: Origin,
    pub(crate) pki: Pki,
    /// Where the PKI is, and configurations and logs go.
    pub(crate) dir: PathBuf,
    /// Set when the user wants it to end.
    pub(crate) interrupted: Arc<AtomicBool>,
    pub(crate) rounds: usize,
    pub(crate) seconds: Duration,
    pub(crate) idle: usize,
    /// Threads or processes of each proxy.
    pub(crate) workers: usize,
}

impl Bench {
    /// Every scenario against every proxy with `workers` in every round.
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
            preflight::check(&proxy, &self.pki).map_err(|e| explain(e, &proxy))?;
            running.push(proxy);
        }
        let mut cells = vec![vec![Vec::new(); running.len()]; scenarios.len()];
        for round in 0..self.rounds {
            for (number, scenario) in scenarios.iter().enumerate() {
                for turn in 0..running.len() {
                    // Another order each time: whoever comes first must not have the coolest machine every time.
                    let index = (round + number + turn) % running.len();
                    let proxy = &running[index];
                    let cell = self
                        .cell(proxy, scenario)
                        .map_err(|e| explain(format!("{}: {e}", scenario.name).into(), proxy))?;
                    cells[number][index].push(cell);
                }
            }
            eprintln!("round {} of {} done", round + 1, self.rounds);
        }
        let mut rows = Vec::new();
        for (scenario, cells) in scenarios.iter().zip(&cells) {
            let row = |name, title: &str, unit, get: fn(&Cell) -> f64| {
                let of_one = |(proxy, cells): (&Proxy, &Vec<Cell>)| {
                    (proxy.kind, cells.iter().map(get).collect(), cells.clone())
                };
                let rounds = proxies.iter().zip(cells).map(of_one).collect();
                Row::new(name, title.to_owned(), unit, rounds)
            };
            let (name, title) = (scenario.name, scenario.title);
            rows.push(row(name, title, "CPU us", |cell| cell.cpu_us_per_request));
            // At a given rate the question is how long a client waits, too.
            if matches!(scenario.pace, Pace::Open { .. }) {
                rows.push(row(name, title, "p99 us", |cell| cell.p99_us.into()));
            }
        }
        Ok(rows)
    }

    pub(crate) fn cell(&self, proxy: &Running, scenario: &Scenario) -> Result<Cell> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        proxy.truncate_log()?;
        let load = WorkerLoad::start(proxy.address, scenario, &self.pki)?;
        load.wait_for_all();
        thread::sleep(self.seconds / 4);
        let before = self.sample(proxy)?;
        load.record(true);
        thread::sleep(self.seconds);
        load.record(false);
        let after = self.sample(proxy)?;
        cell(&before, &after, load.finish()?)
    }

    fn sample(&self, proxy: &Running) -> Result<Sample> {
        Ok(Sample {
            at: Instant::now(),
            proxy: procfs::cpu_of_tree(proxy.pid())?,
            load: procfs::cpu(std::process::id())?,
            origin: procfs::cpu(self.origin.pid())?,
            machine: procfs::machine_busy()?,
        })
    }

    /// Memory of fresh processes: what an allocator keeps after load would hide what a connection takes.
    pub(crate) fn memory(&self, proxies: &[Proxy]) -> Result<Vec<Row>> {
        let mut seen = vec![Vec::new(); proxies.len()];
        for _ in 0..self.rounds {
            for (proxy, seen) in proxies.iter().zip(&mut seen) {
                let running = proxy.start(&self.dir, self.origin.port, self.workers)?;
                let memory = self.memory_of(&running).map_err(|e| explain(e, &running))?;
                seen.push(memory);
            }
        }
        let row = |name, title, unit, get: fn(&Memory) -> f64| {
            let of_one = |(proxy, seen): (&Proxy, &Vec<Memory>)| {
                (proxy.kind, seen.iter().map(get).collect(), Vec::new())
            };
            let rounds = proxies.iter().zip(&seen).map(of_one).collect();
            Row::new(name, title, unit, rounds)
        };
        let start = "memory at start".to_owned();
        let idle = format!("memory per idle connection ({})", self.idle);
        Ok(vec![
            row("memory-start", start, "MB", |m| m.start_kb / 1024.0),
            row("memory-idle", idle, "KB", |m| m.per_idle_connection_kb),
        ])
    }

    fn memory_of(&self, proxy: &Running) -> Result<Memory> {
        if self.interrupted.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        thread::sleep(SETTLE);
        let start = procfs::memory_of_tree(proxy.pid())? as f64;
        let idle = load::while_idle(proxy.address, self.idle, KEEP_ALIVE, &self.pki, || {
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
        return Err("not one request ended".into());
    };
    let proxy = after.proxy.checked_sub(before.proxy);
    let proxy = proxy.ok_or("a process of the proxy ended under load")?;
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

/// The error with what the proxy itself said last.
pub(crate) fn explain(
    error: Box<dyn Error + Send + Sync>,
    proxy: &Running,
) -> Box<dyn Error + Send + Sync> {
    format!("{}: {error}\n{}", proxy.kind.name(), proxy.last_words()).into()
}
