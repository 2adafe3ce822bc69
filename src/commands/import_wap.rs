//! `ndes-proxy import-wap`: converts the published applications of Web Application Proxy to a
//! configuration.
//!
//! Reads the output of `Get-WebApplicationProxyApplication | ConvertTo-Json`. Imports only
//! publications that can be SCEP, and never publishes more than SCEP. Comments in the configuration
//! say what was left out and why.

use std::path::Path;

use crate::base::problem::{Diagnostic, Location, Problem, Problems};
use crate::base::text;

mod notes;
mod publication;
mod select;
mod toml_writer;
mod url;
mod write;

use publication::{EXPORT_COMMAND, Publication};
use select::{Selection, select};

/// A configuration, and warnings about it.
#[derive(Clone, Debug)]
pub struct Imported {
    /// TOML that passes `ndes-proxy check` once the files that it names exist.
    pub configuration: String,
    pub warnings: Problems,
}

/// Reads `file` and returns a configuration.
///
/// # Errors
/// The file cannot be read, or no publication in it can be SCEP.
pub fn load(file: &Path) -> Result<Imported, Problems> {
    let bytes = std::fs::read(file).map_err(|error| {
        let cure = "pass the path of the file that PowerShell wrote";
        single(
            Location::file(file),
            Diagnostic::error(format!("cannot be read: {error}"), cure),
        )
    })?;
    convert(file, &bytes)
}

/// Converts `bytes` to a configuration. `file` is their name in problems and in the configuration.
///
/// # Errors
/// No publication in `bytes` can be SCEP, or `bytes` are not the output of PowerShell.
pub fn convert(file: &Path, bytes: &[u8]) -> Result<Imported, Problems> {
    let text = text::decode(bytes).ok_or_else(|| {
        single(
            Location::file(file),
            Diagnostic::error("the file is neither UTF-8 nor UTF-16", EXPORT_COMMAND),
        )
    })?;
    let publications = publication::read(&text).map_err(|(line, diagnostic)| {
        let location = Location {
            line,
            ..Location::file(file)
        };
        single(location, diagnostic)
    })?;
    let Selection { selected, skipped } = select(&publications);

    let mut warnings = Problems::default();
    for application in &selected {
        let location = location(file, application.publication);
        let diagnostics = application.diagnostics();
        warnings
            .0
            .extend(diagnostics.map(|diagnostic| diagnostic.at(&location)));
    }
    for skipped in skipped.iter().filter(|skipped| skipped.is_scep) {
        let diagnostic = skipped.diagnostic.clone();
        warnings.add(&location(file, skipped.publication), diagnostic);
    }
    if selected.is_empty() {
        let cure = "write the configuration by hand: config/minimal.toml is a complete example";
        let what = match publications.len() {
            1 => "the publication in the file cannot be imported".to_owned(),
            count => format!("none of the {count} publications in the file can be imported"),
        };
        let problems = skipped.into_iter().map(|skipped| skipped.at(file));
        let mut problems = Problems(problems.collect());
        problems.add(&Location::file(file), Diagnostic::error(what, cure));
        return Err(problems);
    }
    Ok(Imported {
        configuration: write::configuration(file, &selected, &skipped),
        warnings,
    })
}

fn location(file: &Path, publication: &Publication) -> Location {
    Location {
        key: publication.to_string(),
        ..Location::file(file)
    }
}

impl select::Skipped<'_> {
    fn at(self, file: &Path) -> Problem {
        self.diagnostic.at(&location(file, self.publication))
    }
}

fn single(location: Location, diagnostic: Diagnostic) -> Problems {
    Problems(vec![diagnostic.at(&location)])
}

#[cfg(test)]
mod tests;
