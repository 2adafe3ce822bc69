//! Reloads the configuration and the files it names, on SIGHUP and when one of them has changed.
//! Either a new generation replaces the running one, or everything stays as it is.
//!
//! Changes are found by reading the metadata of each path, through all its links, and then by
//! comparing contents. A watch on directories (inotify) would notice a change sooner, but not on
//! NFS, SMB and some overlays, and it would have to follow every link of the path: Kubernetes swaps
//! a directory three links up.

mod files;
mod status;

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;
use tracing::{error, info, warn};

use crate::base::problem::{Problems, Severity};
use crate::base::shutdown::Shutdown;
use crate::config::Config;
use crate::observe::metrics::{Metrics, Reload};
use crate::operate::systemd::Manager;
use crate::proxy::generation::Generation;
use crate::proxy::process::Process;
use files::Files;
pub use status::Status;

/// Reloads on a thread of its own, because it reads files.
pub struct Reloader {
    requests: Receiver<()>,
    shutdown: Shutdown,
    /// The configuration at the start, whose values stay for keys that need a restart.
    started: Config,
    /// The interval of the configuration in use.
    interval: Option<Duration>,
    process: Arc<Process>,
    ticketer: Arc<dyn ProducesTickets>,
    current: Arc<ArcSwap<Generation>>,
    status: Arc<Status>,
    manager: Manager,
    files: Files,
    /// Why the last reload was refused, if it was.
    refused: Option<String>,
}

/// Requests a reload. The thread of the reloader exits once all clones are dropped.
#[derive(Clone)]
pub struct Request(Sender<()>);

/// How long files may take to settle after a change: a certificate and its key are two of them.
const SETTLE: Duration = Duration::from_millis(500);
/// Most checks for files to settle, after which they are read as they are.
const MOST_CHECKS: usize = 10;

impl Request {
    pub fn reload(&self) {
        // An error means that the process is about to exit.
        _ = self.0.send(());
    }
}

/// Why a reload happens.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Cause {
    Signal,
    Change,
}

impl Reloader {
    /// Creates a reloader. `config` is the configuration of `current`.
    pub fn new(
        config: &Config,
        process: Arc<Process>,
        ticketer: Arc<dyn ProducesTickets>,
        current: Arc<ArcSwap<Generation>>,
        shutdown: Shutdown,
    ) -> (Request, Self) {
        let (sender, requests) = channel();
        let metrics = &process.metrics;
        // A query finds both results before the first reload.
        metrics.show_reloads();
        succeeded(metrics);
        let files = Files::of(config);
        let reloader = Self {
            requests,
            shutdown,
            started: config.clone(),
            interval: config.reload.interval,
            process,
            ticketer,
            current,
            status: Arc::default(),
            manager: Manager::default(),
            files,
            refused: None,
        };
        (Request(sender), reloader)
    }

    pub fn status(&self) -> Arc<Status> {
        self.status.clone()
    }

    /// Starts the thread. Each reload is reported to `manager`.
    pub fn start(mut self, manager: Manager) -> io::Result<()> {
        self.manager = manager;
        let thread = std::thread::Builder::new().name("reload".to_owned());
        thread.spawn(move || self.run()).map(drop)
    }

    fn run(mut self) {
        while !self.shutdown.has_begun() {
            let next = match self.interval {
                Some(interval) => self.requests.recv_timeout(interval),
                None => self.requests.recv().map_err(RecvTimeoutError::from),
            };
            match next {
                Ok(()) if self.shutdown.has_begun() => return,
                Ok(()) => {
                    // Several pending requests are one reload.
                    while self.requests.try_recv().is_ok() {}
                    self.reload(Cause::Signal);
                }
                Err(RecvTimeoutError::Timeout) if self.files.are_touched() => self.on_change(),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return,
            }
        }
    }

    /// Reloads if the content of a file has changed, once the files have settled.
    fn on_change(&mut self) {
        let settle = self
            .interval
            .map_or(SETTLE, |interval| interval.min(SETTLE));
        for _ in 0..MOST_CHECKS {
            std::thread::sleep(settle);
            if !self.files.are_touched() {
                break;
            }
        }
        // A file may have been touched, or written again with the same content.
        if self.files.are_changed() {
            self.reload(Cause::Change);
        }
    }

    fn reload(&mut self, cause: Cause) {
        self.manager.reloading();
        let began = Instant::now();
        // Before the files are used, so that the next check finds any later change.
        self.files.are_touched();
        self.files.are_changed();
        match self.build() {
            Ok(pending) => self.took_effect(began, pending),
            Err(problems) => self.was_refused(cause, &problems),
        }
        self.manager.ready(&self.status.line());
    }

    /// Builds a new generation and makes it the current one. Returns the changed keys that need a
    /// restart.
    fn build(&mut self) -> Result<Vec<&'static str>, Problems> {
        let (mut config, warnings) = Config::load(&self.started.file)?;
        // Also if the build fails, because the fix will change one of these files.
        self.files.follow(&config);
        let pending = config.keep_until_restart(&self.started);
        let running = self.current.load_full();
        let (process, ticketer) = (&self.process, &self.ticketer);
        let new = Generation::build(&config, warnings, process, ticketer, Some(&running))?;
        for warning in &new.warnings.0 {
            warn!("{warning}");
        }
        Generation::replace(&self.current, new);
        self.interval = config.reload.interval;
        Ok(pending)
    }

    fn took_effect(&mut self, began: Instant, pending: Vec<&'static str>) {
        self.refused = None;
        succeeded(&self.process.metrics);
        let milliseconds = began.elapsed().as_secs_f64() * 1e3;
        let generation = self.current.load();
        let applications = generation.applications().len();
        info!(applications, milliseconds, "reloaded");
        for key in &pending {
            warn!(
                key,
                "{key} was changed: that needs a restart; all else has taken effect"
            );
        }
        self.status.took_effect(pending);
        self.process.metrics.reloaded(Reload::Success);
    }

    fn was_refused(&mut self, cause: Cause, problems: &Problems) {
        let errors = problems.0.iter();
        let errors = errors.filter(|problem| problem.diagnostic.severity == Severity::Error);
        let reason = errors
            .map(ToString::to_string)
            .collect::<Vec<_>>()
            .join(" | ");
        self.process.metrics.reload_last_successful.set(0);
        // A signal always gets a result in the log; files that fail again for the same reason do
        // not.
        if cause == Cause::Signal || self.refused.as_ref() != Some(&reason) {
            error!("reload refused, all stays as it was: {reason}");
        }
        self.status.was_refused(&reason);
        self.refused = Some(reason);
        self.process.metrics.reloaded(Reload::Failure);
    }
}

fn succeeded(metrics: &Metrics) {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    let seconds = now.map_or(0, |since| since.as_secs() as i64);
    metrics.reload_last_successful.set(1);
    metrics.reload_last_success.set(seconds);
}
