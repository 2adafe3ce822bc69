//! `cargo bench --bench throughput`: load on the real `ndes-proxy`, and on nginx and HAProxy with the same job, in one
//! run. See `benches/README.md`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // it is a program for a terminal

mod client;
mod counts;
mod fit;
mod http2;
mod load;
mod measure;
mod origin;
mod pki;
mod preflight;
mod procfs;
mod proxies;
mod report;
mod scenarios;
mod worker;

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokio::signal::unix::{SignalKind, signal};

use counts::Counts;
use measure::Bench;
use pki::Pki;
use proxies::{Kind, Proxy};
use report::Report;
use scenarios::Scenario;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// What `--only` calls the two rows on memory.
const MEMORY: &str = "memory";

/// Load on ndes-proxy, nginx and HAProxy: CPU per request, latency, memory.
#[derive(Parser)]
struct Options {
    /// One round, half a second per cell, 500 idle connections: to see that all works, not to compare.
    #[arg(long)]
    quick: bool,
    /// Rounds; each starts with another proxy [default: 5].
    #[arg(long)]
    rounds: Option<usize>,
    /// Measured seconds per scenario, proxy and round [default: 2].
    #[arg(long)]
    seconds: Option<f64>,
    /// Threads or processes of each proxy, but in the row with one.
    #[arg(long, value_name = "N", default_value_t = 2)]
    workers: usize,
    /// Idle connections of the memory row [default: 5000].
    #[arg(long)]
    idle: Option<usize>,
    /// Only the row of this name, or of all names that begin with it where NAME ends in `*`; may be given several times.
    #[arg(long, value_name = "NAME")]
    only: Vec<String>,
    /// Writes all figures of all rounds to this file.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Without ndes-proxy.
    #[arg(long)]
    peers_only: bool,
    /// Measures this ndes-proxy, not the one that cargo has just built.
    #[arg(long, value_name = "FILE")]
    program: Option<PathBuf>,
    /// Instead of all that: instructions and system calls of ndes-proxy per request, counted by callgrind.
    #[arg(long)]
    counts: bool,
    /// What the counts are compared with [default: benches/counts.txt].
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
    /// Writes the counts to this file, to compare others with.
    #[arg(long, value_name = "FILE")]
    record: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    bench: bool,
    /// Be the origin, with the PKI in this directory: how the bench starts itself a second time.
    #[arg(long, hide = true, value_name = "DIR")]
    origin: Option<PathBuf>,
}

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.origin {
        Some(dir) => origin::run(dir),
        None if options.counts => count(&options),
        None if options.bench => run(&options),
        // `cargo test --all-targets` starts benches too.
        None => {
            println!("nothing measured: run it as `cargo bench --bench throughput`");
            Ok(())
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("error: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run(options: &Options) -> Result<()> {
    let (rounds, seconds, idle) = match options.quick {
        true => (1, 0.5, 500),
        false => (5, 2.0, 5000),
    };
    let rounds = options.rounds.unwrap_or(rounds).max(1);
    let seconds = options.seconds.unwrap_or(seconds);
    let mut scenarios = scenarios::all();
    let mut one_worker = vec![scenarios::one_worker()];
    options.check_names(scenarios.iter().chain(&one_worker))?;
    scenarios.retain(|scenario| options.wants(scenario.name));
    one_worker.retain(|scenario| options.wants(scenario.name));

    raise_open_files()?;
    let (proxies, absent) = find_proxies(options)?;
    let dir = tempfile::tempdir()?;
    let pki = Pki::create(dir.path())?;
    let bench = Bench {
        origin: origin::Origin::start(dir.path())?,
        pki,
        dir: dir.path().to_owned(),
        interrupted: watch_signals()?,
        rounds,
        seconds: Duration::try_from_secs_f64(seconds)?,
        idle: options.idle.unwrap_or(idle).max(1),
        workers: options.workers,
    };
    let mut rows = bench.under_load(&proxies, options.workers, &scenarios)?;
    let fits = fit::fits(&rows, &scenarios);
    rows.extend(bench.under_load(&proxies, 1, &one_worker)?);
    if options.wants(MEMORY) {
        rows.extend(bench.memory(&proxies)?);
    }

    let report = Report {
        machine: procfs::machine()?,
        date: time::OffsetDateTime::now_utc().date().to_string(),
        rounds,
        seconds_per_cell: seconds,
        proxies: proxies.into_iter().map(|proxy| proxy.version).collect(),
        absent,
        rows,
        fits,
    };
    println!("\n{report}");
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(&report)?)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// `--counts`.
fn count(options: &Options) -> Result<()> {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.txt");
    let against = match &options.against {
        Some(path) => path,
        None => Path::new(recorded),
    };
    let dir = tempfile::tempdir()?;
    let pki = Pki::create(dir.path())?;
    let origin = origin::Origin::start(dir.path())?;
    let proxy = Proxy::ours(options.program.clone());
    let counts = counts::count(proxy, dir.path(), &origin, &pki)?;
    println!("{}", counts.beside(&Counts::read(against)?)?);
    match &options.record {
        Some(path) => counts.write(path),
        None => Ok(()),
    }
}

impl Options {
    fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| is_named(row, name))
    }

    /// A misspelt name must not look like a run without errors.
    fn check_names<'a>(&self, scenarios: impl Iterator<Item = &'a Scenario>) -> Result<()> {
        let mut rows: Vec<&str> = scenarios.map(|scenario| scenario.name).collect();
        rows.push(MEMORY);
        match self
            .only
            .iter()
            .find(|name| !rows.iter().any(|row| is_named(row, name)))
        {
            Some(name) => Err(format!("--only {name}: the names are {}", rows.join(", ")).into()),
            None => Ok(()),
        }
    }
}

fn is_named(row: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => row.starts_with(start),
        None => row == name,
    }
}

/// The proxies that are there, and the names of those that are not; says both.
fn find_proxies(options: &Options) -> Result<(Vec<Proxy>, Vec<&'static str>)> {
    let (mut proxies, mut absent) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let found = match kind {
            Kind::NdesProxy if options.peers_only => continue,
            Kind::NdesProxy => Some(Proxy::ours(options.program.clone())),
            Kind::Nginx | Kind::Haproxy => Proxy::peer(kind),
        };
        match found {
            Some(proxy) => {
                println!("{}", proxy.version);
                proxies.push(proxy);
            }
            None => {
                println!("{}: NOT INSTALLED, not compared", kind.name());
                absent.push(kind.name());
            }
        }
    }
    println!("access log: ndes-proxy to a file, nginx and haproxy off");
    match proxies.is_empty() {
        true => Err("no proxy to measure".into()),
        false => Ok((proxies, absent)),
    }
}

/// As many open files as the system allows: the default of 1024 ends the memory row. Children inherit it.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Turns SIGINT and SIGTERM into a flag that is read between cells, so that children and files go away as always.
fn watch_signals() -> Result<Arc<AtomicBool>> {
    let interrupted = Arc::new(AtomicBool::new(false));
    let flag = Arc::clone(&interrupted);
    let runtime = load::runtime()?;
    let (mut int, mut term) = {
        let _inside = runtime.enter();
        (
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
        )
    };
    thread::spawn(move || {
        runtime.block_on(async {
            tokio::select! {
                _ = int.recv() => {}
                _ = term.recv() => {}
            }
        });
        flag.store(true, Ordering::Relaxed);
    });
    Ok(interrupted)
}
