//! The command line.

use std::convert::Infallible;
use std::future::pending;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

use ndes_proxy::base::problem::{Location, Problems};
use ndes_proxy::commands::check;
use ndes_proxy::commands::demo::{self, Demo};
use ndes_proxy::commands::doctor;
use ndes_proxy::commands::doctor::terminal::{self, Progress};
use ndes_proxy::commands::explain;
use ndes_proxy::commands::healthcheck;
use ndes_proxy::commands::import_wap;
use ndes_proxy::config::Config;
use ndes_proxy::observe::log::Log;
use ndes_proxy::operate::app::{self, Ending, StartError};
use ndes_proxy::operate::handover::Handover;
use ndes_proxy::operate::reload;
use ndes_proxy::operate::systemd::Systemd;

/// Publishes Microsoft NDES (SCEP) to the Internet.
#[derive(Parser)]
#[command(version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Serve until SIGTERM or SIGINT
    Run(File),
    /// Say what would be published and what is wrong, without opening a socket
    Check(File),
    /// Try it: a proxy before a simulated NDES, on loopback addresses, with throw-away certificates
    Demo(demo::Arguments),
    /// Examine the whole way from a device to NDES and say what to do; exit 0, 1 (problems) or 2
    Doctor(Doctor),
    /// Explain a reason: what happened, and what to do
    ///
    /// WORD is a reason of the log, the metrics, the doctor, a Proxy-Status header field or the
    /// status page. Without it, all reasons are listed.
    Explain {
        #[arg(value_name = "WORD")]
        word: Option<String>,
    },
    /// Write a configuration of what Web Application Proxy publishes
    ///
    /// FILE is what `Get-WebApplicationProxyApplication | ConvertTo-Json` gave on the WAP server.
    /// The configuration goes to standard output, what is lost or left out also to standard error.
    ImportWap {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Ask the running proxy whether it is ready (for containers); exit 0 or 1
    Healthcheck(File),
}

#[derive(clap::Args)]
struct File {
    /// The configuration
    #[arg(
        long,
        value_name = "FILE",
        default_value = "/etc/ndes-proxy/ndes-proxy.toml"
    )]
    config: PathBuf,
}

#[derive(clap::Args)]
struct Doctor {
    #[command(flatten)]
    file: File,
    /// One JSON object instead of text
    #[arg(long)]
    json: bool,
}

/// The doctor could not examine anything.
const DOCTOR_CANNOT: u8 = 2;

/// sysexits.h: a configuration that cannot be used.
const EX_CONFIG: u8 = 78;

fn main() -> ExitCode {
    match Cli::parse().command {
        Command::Run(File { config }) => run(&config),
        Command::Check(File { config }) => check(&config),
        Command::Doctor(Doctor { file, json }) => doctor(&file.config, json),
        Command::Demo(arguments) => demo(arguments),
        Command::Explain { word } => explain(word.as_deref()),
        Command::ImportWap { file } => import_wap(&file),
        Command::Healthcheck(File { config }) => match healthcheck::ask(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
        },
    }
}

fn run(file: &Path) -> ExitCode {
    // First of all: it takes what it uses out of the environment.
    let systemd = match Systemd::from_env() {
        Ok(systemd) => systemd,
        Err(error) => return fail(&format!("what systemd passes cannot be used: {error}"), 1),
    };
    match Config::load(file) {
        Ok((config, warnings)) => serve(&config, warnings, systemd, |_| {}),
        Err(problems) => fail(&problems, EX_CONFIG),
    }
}

/// Serves until a signal. `announce` is called with the bound proxy.
fn serve(
    config: &Config,
    mut warnings: Problems,
    systemd: Systemd,
    announce: impl FnOnce(&app::Bound),
) -> ExitCode {
    let system = Location::file(Path::new("system"));
    let diagnostics = check::system_diagnostics(config).into_iter();
    warnings
        .0
        .extend(diagnostics.map(|diagnostic| diagnostic.at(&system)));
    check::raise_open_file_limit();
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    runtime.block_on(async {
        // Before anything is bound: whoever sees an open port may send a signal.
        let signals = match Signals::new() {
            Ok(signals) => signals,
            Err(error) => return fail(&error, 1),
        };
        let (log, _writer) = match Log::start(&config.log) {
            Ok(log) => log,
            Err(error) => return fail(&error, 1),
        };
        let bound = match app::build(config, warnings, systemd, log) {
            Ok(bound) => bound,
            Err(error @ StartError::Configuration(_)) => return fail(&error, EX_CONFIG),
            Err(error) => return fail(&error, 1),
        };
        for warning in &bound.warnings.0 {
            tracing::warn!("{warning}");
        }
        announce(&bound);
        let handover = match bound.handover() {
            Ok(handover) => handover,
            Err(error) => return fail(&error, 1),
        };
        let stop = signals.obey(bound.reload.clone(), handover);
        match bound.run(stop).await {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(&error, 1),
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

    /// Returns at SIGTERM or SIGINT, or when another process serves after SIGUSR2.
    async fn obey(mut self, reload: reload::Request, handover: Handover) -> Ending {
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
            _ = self.terminate.recv() => Ending::Stop,
            _ = self.interrupt.recv() => Ending::Stop,
            () = follow => Ending::HandedOver,
            never = reload => match never {},
        }
    }
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn check(file: &Path) -> ExitCode {
    let report = check::check(file);
    print!("{}", report.problems);
    if report.problems.has_errors() {
        return ExitCode::FAILURE;
    }
    println!("{}", report.published);
    ExitCode::SUCCESS
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn doctor(file: &Path, json: bool) -> ExitCode {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, DOCTOR_CANNOT),
    };
    let progress = Progress::on_stderr();
    let report = runtime.block_on(doctor::examine(file, &mut |what| progress.show(what)));
    progress.clear();
    // A name server that does not answer is not waited for.
    runtime.shutdown_background();
    let report = match report {
        Ok(report) => report,
        Err(problems) => return fail(&problems, DOCTOR_CANNOT),
    };
    if json {
        match report.to_json() {
            Ok(json) => println!("{json}"),
            Err(error) => return fail(&error, DOCTOR_CANNOT),
        }
    } else {
        print!("{}", report.to_text(terminal::style()));
    }
    ExitCode::from(u8::from(report.problems > 0))
}

#[expect(clippy::print_stdout, reason = "the answer of the command")]
fn explain(word: Option<&str>) -> ExitCode {
    let Some(word) = word else {
        print!("{}", explain::list());
        return ExitCode::SUCCESS;
    };
    match explain::explain(word) {
        Ok(explanation) => print!("{explanation}"),
        Err(error) => return fail(&error, 1),
    }
    ExitCode::SUCCESS
}

#[expect(
    clippy::print_stdout,
    clippy::print_stderr,
    reason = "the answer of the command"
)]
fn import_wap(file: &Path) -> ExitCode {
    match import_wap::load(file) {
        Ok(imported) => {
            print!("{}", imported.configuration);
            eprint!("{}", imported.warnings);
            ExitCode::SUCCESS
        }
        Err(problems) => {
            eprint!("{problems}");
            ExitCode::FAILURE
        }
    }
}

#[expect(
    clippy::print_stdout,
    reason = "the guide is the answer of the command"
)]
fn demo(arguments: demo::Arguments) -> ExitCode {
    // The simulated NDES has a runtime of its own, beside the proxy's.
    let runtime = match runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(&error, 1),
    };
    let demo = match runtime.block_on(Demo::prepare(arguments.into())) {
        Ok(demo) => demo,
        Err(error) => return fail(&error, 1),
    };
    match Config::load(&demo.config_file()) {
        Ok((config, warnings)) => serve(&config, warnings, Systemd::default(), |bound| {
            println!("{}", demo.guide(bound.https[0], bound.admin))
        }),
        Err(problems) => fail(&problems, EX_CONFIG),
    }
}

#[expect(clippy::print_stderr, reason = "there is no log yet")]
fn fail(error: &dyn std::fmt::Display, code: u8) -> ExitCode {
    eprintln!("ndes-proxy: {error}");
    ExitCode::from(code)
}
