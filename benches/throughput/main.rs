//! `cargo bench --bench throughput`: load on the real `ndes-proxy`, and in the same run on nginx
//! and HAProxy, configured for the same task. See `benches/README.md`.

#![forbid(unsafe_code)]
#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for the terminal

mod client;
mod counts;
mod fit;
mod growth;
mod http2;
mod load;
mod measure;
mod options;
mod origin;
mod pki;
mod preflight;
mod procfs;
mod proxies;
mod report;
mod request;
mod row;
mod scenarios;
mod worker;

use std::error::Error;
use std::fmt::Display;
use std::fs;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use clap::Parser;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde::Serialize;
use tokio::signal::unix::{SignalKind, signal};

use counts::Counts;
use measure::Bench;
use options::{MEMORY, Options};
use pki::Pki;
use proxies::{Kind, Proxy};
use report::Report;

type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

fn main() -> ExitCode {
    let options = Options::parse();
    let result = match &options.origin {
        Some(dir) => origin::run(dir),
        None if options.counts => count(&options),
        None if options.growth => grow(&options),
        None if options.bench => run(&options),
        // `cargo test --all-targets` runs the benches too.
        None => {
            println!("nothing was measured; run `cargo bench --bench throughput`");
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
    let mut scenarios = scenarios::all();
    let mut one_worker = vec![scenarios::one_worker()];
    options.check_names(scenarios.iter().chain(&one_worker))?;
    scenarios.retain(|scenario| options.selects(scenario.name));
    one_worker.retain(|scenario| options.selects(scenario.name));

    let (proxies, absent) = find_proxies(options)?;
    let dir = tempfile::tempdir()?;
    let bench = bench(options, dir.path())?;
    let mut rows = bench.under_load(&proxies, options.workers, &scenarios)?;
    let fits = fit::fits(&rows, &scenarios);
    rows.extend(bench.under_load(&proxies, 1, &one_worker)?);
    if options.selects(MEMORY) {
        rows.extend(bench.memory(&proxies)?);
    }
    let report = Report {
        machine: procfs::machine()?,
        date: time::OffsetDateTime::now_utc().date().to_string(),
        rounds: bench.rounds,
        seconds_per_cell: bench.seconds.as_secs_f64(),
        proxies: proxies.into_iter().map(|proxy| proxy.version).collect(),
        absent,
        rows,
        fits,
    };
    publish(&report, options)
}

/// Runs `--growth`.
fn grow(options: &Options) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let bench = bench(options, dir.path())?;
    publish(
        &bench.growth(Proxy::ndes_proxy(options.program.clone()))?,
        options,
    )
}

/// Creates the bench with its origin and its PKI in `dir`.
fn bench(options: &Options, dir: &Path) -> Result<Bench> {
    let (rounds, seconds, idle) = match options.quick {
        true => (1, 0.5, 500),
        false => (5, 2.0, 5000),
    };
    let seconds = options.seconds.unwrap_or(seconds);
    raise_open_files()?;
    let pki = Pki::create(dir)?;
    Ok(Bench {
        origin: origin::Origin::start(dir)?,
        pki,
        dir: dir.to_owned(),
        interrupted: watch_signals()?,
        rounds: options.rounds.unwrap_or(rounds).max(1),
        seconds: Duration::try_from_secs_f64(seconds)?,
        idle: options.idle.unwrap_or(idle).max(1),
        workers: options.workers,
    })
}

/// Writes a report to the terminal as a table, and to the file of `--json` as JSON.
fn publish(report: &(impl Display + Serialize), options: &Options) -> Result<()> {
    println!("\n{report}");
    if let Some(path) = &options.json {
        fs::write(path, serde_json::to_vec_pretty(report)?)
            .map_err(|e| format!("{}: {e}", path.display()))?;
    }
    Ok(())
}

/// Runs `--counts`.
fn count(options: &Options) -> Result<()> {
    let recorded = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/counts.txt");
    let against = match &options.against {
        Some(path) => path,
        None => Path::new(recorded),
    };
    let dir = tempfile::tempdir()?;
    let pki = Pki::create(dir.path())?;
    let origin = origin::Origin::start(dir.path())?;
    let proxy = Proxy::ndes_proxy(options.program.clone());
    let counts = counts::count(proxy, dir.path(), &origin, &pki)?;
    println!("{}", counts.table(&Counts::read(against)?)?);
    match &options.record {
        Some(path) => counts.write(path),
        None => Ok(()),
    }
}

/// Returns the installed proxies and the names of the missing ones, and prints both.
fn find_proxies(options: &Options) -> Result<(Vec<Proxy>, Vec<&'static str>)> {
    let (mut proxies, mut absent) = (Vec::new(), Vec::new());
    for kind in Kind::ALL {
        let found = match kind {
            Kind::NdesProxy if options.peers_only => continue,
            Kind::NdesProxy => Some(Proxy::ndes_proxy(options.program.clone())),
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

/// Raises the limit of open files to the maximum, because the default of 1024 is too low for the
/// memory row. Child processes inherit it.
fn raise_open_files() -> Result<()> {
    let maximum = getrlimit(Resource::Nofile).maximum;
    let limit = Rlimit {
        current: maximum,
        maximum,
    };
    Ok(setrlimit(Resource::Nofile, limit)?)
}

/// Turns SIGINT and SIGTERM into a flag that is checked between cells, so that child processes and
/// files are removed as usual.
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
