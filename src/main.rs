//! The command line.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use tokio::runtime;

use ndes_proxy::commands::check;
use ndes_proxy::commands::demo::{self, Demo};
use ndes_proxy::commands::doctor;
use ndes_proxy::commands::doctor::terminal::{self, Progress};
use ndes_proxy::commands::explain;
use ndes_proxy::commands::healthcheck;
use ndes_proxy::commands::import_wap;
use ndes_proxy::commands::output::{self, Output, fail};
use ndes_proxy::commands::run::{self, EX_CONFIG, serve};
use ndes_proxy::config::Config;
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
    /// Check the configuration and list what would be published, without opening a socket
    Check(File),
    /// Try it: a proxy before a simulated NDES, on loopback addresses, with throw-away certificates
    Demo(demo::Arguments),
    /// Examine the whole path from a device to NDES and say what to do; exit 0, 1 (problems) or 2
    Doctor(Doctor),
    /// Explain a reason: what happened, and what to do
    ///
    /// WORD is a reason of the log, the metrics, the doctor, a Proxy-Status header field or the
    /// status page. Without it, all reasons are listed.
    Explain {
        #[arg(value_name = "WORD")]
        word: Option<String>,
    },
    /// Write a configuration for the applications that Web Application Proxy publishes
    ///
    /// FILE is the output of `Get-WebApplicationProxyApplication | ConvertTo-Json` on the WAP
    /// server. The configuration goes to standard output, warnings about what is lost or left out
    /// also to standard error.
    ImportWap {
        #[arg(value_name = "FILE")]
        file: PathBuf,
    },
    /// Check whether the running proxy is ready (for containers); exit 0 or 1
    Healthcheck(File),
}

#[derive(clap::Args)]
struct File {
    /// The configuration file
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

/// The exit code of a doctor that could not examine anything.
const DOCTOR_CANNOT: u8 = 2;

fn main() -> ExitCode {
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return output::usage(&error),
    };
    match command {
        Command::Run(File { config }) => run::run(&config),
        Command::Check(File { config }) => check(&config),
        Command::Doctor(Doctor { file, json }) => doctor(&file.config, json),
        Command::Demo(arguments) => demo(arguments),
        Command::Explain { word } => explain(word.as_deref()),
        Command::ImportWap { file } => import_wap(&file),
        Command::Healthcheck(File { config }) => match healthcheck::ask(&config) {
            Ok(()) => ExitCode::SUCCESS,
            Err(error) => fail(error, 1),
        },
    }
}

fn check(file: &Path) -> ExitCode {
    let check::Report {
        published,
        problems,
    } = check::check(file);
    if problems.has_errors() {
        return output::finish(problems, ExitCode::FAILURE);
    }
    output::finish(format_args!("{problems}{published}\n"), ExitCode::SUCCESS)
}

fn doctor(file: &Path, json: bool) -> ExitCode {
    let runtime = match runtime::Builder::new_current_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => return fail(error, DOCTOR_CANNOT),
    };
    let progress = Progress::on_stderr();
    let report = runtime.block_on(doctor::examine(file, &mut |what| progress.show(what)));
    progress.clear();
    // Do not wait for a name server that does not respond.
    runtime.shutdown_background();
    let report = match report {
        Ok(report) => report,
        Err(problems) => return fail(problems, DOCTOR_CANNOT),
    };
    let code = ExitCode::from(u8::from(report.problems > 0));
    if !json {
        return output::finish(report.to_text(terminal::style()), code);
    }
    match report.to_json() {
        Ok(json) => output::finish(format_args!("{json}\n"), code),
        Err(error) => fail(error, DOCTOR_CANNOT),
    }
}

fn explain(word: Option<&str>) -> ExitCode {
    let Some(word) = word else {
        return output::finish(explain::list(), ExitCode::SUCCESS);
    };
    match explain::explain(word) {
        Ok(explanation) => output::finish(explanation, ExitCode::SUCCESS),
        Err(error) => fail(error, 1),
    }
}

fn import_wap(file: &Path) -> ExitCode {
    match import_wap::load(file) {
        Ok(imported) => {
            let code = output::finish(imported.configuration, ExitCode::SUCCESS);
            output::report(imported.warnings);
            code
        }
        Err(problems) => {
            output::report(problems);
            ExitCode::FAILURE
        }
    }
}

fn demo(arguments: demo::Arguments) -> ExitCode {
    // The simulated NDES has a runtime of its own, beside the proxy's.
    let runtime = match runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(error, 1),
    };
    let demo = match runtime.block_on(Demo::prepare(arguments.into())) {
        Ok(demo) => demo,
        Err(error) => return fail(error, 1),
    };
    let (config, warnings) = match Config::load(&demo.config_file()) {
        Ok(loaded) => loaded,
        Err(problems) => return fail(problems, EX_CONFIG),
    };
    serve(&config, warnings, Systemd::default(), |bound| {
        let guide = demo.guide(bound.https[0], bound.admin);
        match output::write(format_args!("{guide}\n"))? {
            Output::Written => Ok(()),
            // The demo cannot be tried without its guide, and its log would be lost in the same
            // pipe.
            Output::Unread => Err(ExitCode::SUCCESS),
        }
    })
}
