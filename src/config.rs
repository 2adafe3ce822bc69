//! The configuration: one TOML file, read by `run`, `check` and `healthcheck`.
//!
//! Every key has a default that is right for NDES; only names, certificates and the upstream must
//! be said. `config/ndes-proxy.toml` lists all keys.

mod application;
mod example;
mod limits;
mod listen;
mod rate_limit;
mod read;
mod reload;
mod restart;
mod scep;
pub mod types;
mod upstream;

use std::path::{Path, PathBuf};

use serde::Deserialize;

pub use application::{Application, CertificateFiles, ClientAddress};
pub use limits::{Limits, Timeouts};
pub use listen::{Listen, Protocol};
pub use rate_limit::{NetworkRate, RateLimit};
use read::{Document, Section};
pub use reload::Reload;
pub use scep::{OnUnreadable, PolicyModule, ScepPolicy};
pub use upstream::{Probe, Upstream};

use crate::base::problem::{Diagnostic, Location, Problems};
use crate::base::text;

/// What the file says, defaults filled in. Paths are relative to the file no more.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where it was read.
    pub file: PathBuf,
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub rate_limit: RateLimit,
    pub reload: Reload,
    pub log: Log,
    /// At least one. A handshake without SNI belongs to the first.
    pub applications: Vec<Application>,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Config {
    /// Reads and parses `file`; the certificates it names are read by `generation`.
    /// The configuration comes with the warnings, an error with all problems at once.
    pub fn load(file: &Path) -> Result<(Self, Problems), Problems> {
        let mut problems = Problems::default();
        let bytes = std::fs::read(file).map_err(|error| {
            let cure = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "let the user that runs the proxy read it (chown or chmod)"
                }
                _ => "give the path of the configuration with --config FILE",
            };
            problems.add(
                &Location::file(file),
                Diagnostic::error(format!("cannot be read: {error}"), cure),
            );
            problems.clone()
        })?;
        let text = text::decode(&bytes).ok_or_else(|| {
            let cure = "save the file as UTF-8";
            problems.add(
                &Location::file(file),
                Diagnostic::error("this is neither UTF-8 nor UTF-16", cure),
            );
            problems.clone()
        })?;
        Self::parse(file, &text)
    }

    /// `file` names the text in problems and is what relative paths are relative to.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Problems), Problems> {
        let document = Document::new(file, text);
        let directory = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        let Some(mut root) = document.root() else {
            return Err(document.into_problems());
        };
        let config = Self {
            file: file.to_owned(),
            listen: listen::listen(root.section("listen")),
            limits: limits::limits(root.section("limits")),
            timeouts: limits::timeouts(root.section("timeouts")),
            rate_limit: rate_limit::rate_limit(root.section("rate_limit")),
            reload: reload::reload(root.section("reload")),
            log: log(root.section("log")),
            applications: application::read_all(&mut root, &directory),
        };
        application::check_probe_path(&document, &config.listen, &config.applications);
        root.finish();
        let problems = document.into_problems();
        if problems.has_errors() {
            Err(problems)
        } else {
            Ok((config, problems))
        }
    }
}

fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log {
        format: section.value_or("format", LogFormat::Text),
        level: section.value_or("level", LogLevel::Info),
    };
    section.finish();
    log
}
