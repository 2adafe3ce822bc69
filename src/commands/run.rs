//! `ndes-proxy run`: serves until a signal.

use std::convert::Infallible;
use std::future::pending;
use std::path::Path;
use std::process::ExitCode;

use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use super::check;
use super::output::fail;
use crate::base::problem::{Location, Problems};
use crate::config::Config;
use crate::observe::log::Log;
use crate::operate::app::{self, StartError, StopCause};
use crate::operate::handover::Handover;
use crate::operate::reload;
use crate::operate::systemd::Systemd;

/// sysexits.h: a configuration that cannot be used.
pub const EX_CONFIG: u8 = 78;

/// Serves what the configuration in `file` publishes, until a signal.
pub fn run(file: &Path) -> ExitCode {
    // Before there are threads, because this removes variables from the environment.
    let systemd = match Systemd::from_env() {
        Ok(systemd) => systemd,
        Err(error) => return fail(format!("what systemd passes cannot be used: {error}"), 1),
    };
    match Config::load(file) {
        Ok((config, warnings)) => serve(&config, warnings, systemd, |_| Ok(())),
        Err(problems) => fail(problems, EX_CONFIG),
    }
}

/// Serves until a signal. Calls `announce` with the bound proxy before it serves; if that returns
/// an exit code, the proxy does not serve.
pub fn serve(
    config: &Config,
    mut warnings: Problems,
    systemd: Systemd,
    announce: impl FnOnce(&app::Bound) -> Result<(), ExitCode>,
) -> ExitCode {
    let system = Location::file(Path::new("system"));
    let diagnostics = check::system_diagnostics(config).into_iter();
    warnings
        .0
        .extend(diagnostics.map(|diagnostic| diagnostic.at(&system)));
    check::raise_open_file_limit();
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error, 1),
    };
    runtime.block_on(async {
        // Before anything is bound, because a client that sees an open port may send a signal.
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(error, 1),
        };
        let (log, _writer) = match Log::start(&config.log) {
            Ok(log) => log,
            Err(error) => return fail(error, 1),
        };
        let bound = match app::build(config, warnings, systemd, log) {
            Ok(bound) => bound,
            Err(error @ StartError::Configuration(_)) => return fail(error, EX_CONFIG),
            Err(error) => return fail(error, 1),
        };
        for warning in &bound.warnings.0 {
            tracing::warn!("{warning}");
        }
        if let Err(code) = announce(&bound) {
            return code;
        }
        let handover = match bound.handover() {
            Ok(handover) => handover,
            Err(error) => return fail(error, 1),
        };
        let stop = signals.obey(bound.reload.clone(), handover);
        match bound.run(stop).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error, 1),
        }
    })
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Signal,
    user2: Signal,
}

impl Signals {
    fn new() -> std::io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: signal(SignalKind::hangup())?,
            user2: signal(SignalKind::user_defined2())?,
        })
    }

    /// Reloads at SIGHUP and hands over at SIGUSR2. Returns at SIGTERM or SIGINT, or when another
    /// process serves after SIGUSR2.
    async fn obey(mut self, reload: reload::Request, handover: Handover) -> StopCause {
        let reload = async {
            while self.hangup.recv().await.is_some() {
                reload.reload();
            }
            pending::<Infallible>().await
        };
        let follow = async {
            while self.user2.recv().await.is_some() {
                if handover.start().await {
                    return;
                }
            }
            pending().await
        };
        tokio::select! {
            _ = self.terminate.recv() => StopCause::Signal,
            _ = self.interrupt.recv() => StopCause::Signal,
            () = follow => StopCause::HandedOver,
            never = reload => match never {},
        }
    }
}
