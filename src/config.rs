//! The configuration: one TOML file, which `run`, `check` and `healthcheck` read.
//!
//! Every key has a default that suits NDES; only the public names, the certificates and the
//! upstream are required. `config/ndes-proxy.toml` lists all keys.
//!
//! Each section has a module, which defines the type of the section and the function that reads it.
//! These build on `read`, which walks the document, and on `types`, the values with a syntax of
//! their own.

mod application;
mod example;
mod limits;
mod listen;
mod log;
mod rate_limit;
mod read;
mod reload;
mod restart;
mod scep;
pub mod types;
mod upstream;

use std::path::{Path, PathBuf};

pub use application::{Application, CertificateFiles, ClientAddress};
pub use limits::{Limits, Timeouts};
pub use listen::{Listen, Protocol};
pub use log::{Log, LogFormat, LogLevel};
pub use rate_limit::{NetworkRate, RateLimit};
use read::Document;
pub use reload::Reload;
pub use scep::{OnUnreadable, PolicyModule, ScepPolicy};
pub use upstream::{ProbeSettings, Upstream};

use crate::base::problem::{Diagnostic, Location, Problems};
use crate::base::text;

/// The content of the file with all defaults filled in. Relative paths have been resolved against
/// the directory of the file.
#[derive(Clone, Debug)]
pub struct Config {
    /// The path from which it was read.
    pub file: PathBuf,
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub rate_limit: RateLimit,
    pub reload: Reload,
    pub log: Log,
    /// At least one. The first one serves clients that send no SNI.
    pub applications: Vec<Application>,
}

impl Config {
    /// Reads and parses `file`. The certificates, keys and roots that it names are read later, by
    /// `generation`.
    ///
    /// Returns the configuration and its warnings, or all errors and warnings at once.
    pub fn load(file: &Path) -> Result<(Self, Problems), Problems> {
        let mut problems = Problems::default();
        let bytes = std::fs::read(file).map_err(|error| {
            let cure = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "give the user that runs the proxy permission to read it (chown or chmod)"
                }
                _ => "give the path of the configuration with --config FILE",
            };
            problems.add(
                &Location::file(file),
                Diagnostic::error(format!("the file cannot be read: {error}"), cure),
            );
            problems.clone()
        })?;
        let text = text::decode(&bytes).ok_or_else(|| {
            let cure = "save the file as UTF-8";
            problems.add(
                &Location::file(file),
                Diagnostic::error("the file is neither UTF-8 nor UTF-16", cure),
            );
            problems.clone()
        })?;
        Self::parse(file, &text)
    }

    /// Parses `text`, the content of `file`. Problems name `file`, and its directory is the one
    /// against which relative paths are resolved.
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
            log: log::log(root.section("log")),
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
