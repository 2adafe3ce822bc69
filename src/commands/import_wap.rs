//! `ndes-proxy import-wap`: the published applications of Web Application Proxy as a configuration.
//!
//! Reads what `Get-WebApplicationProxyApplication | ConvertTo-Json` writes. Only what can be SCEP
//! is taken over, and never more than SCEP: what is left out, and why, stands in comments.

use std::path::Path;

use crate::base::problem::{Diagnostic, Location, Problem, Problems};
use crate::base::text;

mod notes;
mod publication;
mod select;
mod toml_writer;
mod url;
mod write;

use publication::Publication;
use select::{Selection, select};

/// A configuration, and what its reader must know.
#[derive(Clone, Debug)]
pub struct Imported {
    /// TOML, for `ndes-proxy check` once the files that it names are there.
    pub configuration: String,
    pub warnings: Problems,
}

/// Reads `file` and writes a configuration.
///
/// # Errors
/// Why there is none: the file cannot be read, or nothing in it can be SCEP.
pub fn load(file: &Path) -> Result<Imported, Problems> {
    let bytes = std::fs::read(file).map_err(|error| {
        let cure = "give the path of the file that PowerShell wrote";
        alone(
            Location::file(file),
            Diagnostic::error(format!("cannot be read: {error}"), cure),
        )
    })?;
    convert(file, &bytes)
}

/// `file` names the bytes in problems and in the configuration.
///
/// # Errors
/// As for [`load`].
pub fn convert(file: &Path, bytes: &[u8]) -> Result<Imported, Problems> {
    let text = text::decode(bytes).ok_or_else(|| {
        alone(
            Location::file(file),
            Diagnostic::error("this is neither UTF-8 nor UTF-16", COMMAND),
        )
    })?;
    let publications = publication::read(&text).map_err(|(line, diagnostic)| {
        let location = Location {
            line,
            ..Location::file(file)
        };
        alone(location, diagnostic)
    })?;
    let Selection { taken, left } = select(&publications);

    let mut warnings = Problems::default();
    for site in &taken {
        let diagnostics = site.diagnostics();
        warnings
            .0
            .extend(diagnostics.map(|diagnostic| diagnostic.at(&location(file, site.publication))));
    }
    for left in left.iter().filter(|left| left.meant_for_scep) {
        let diagnostic = left.diagnostic.clone();
        warnings.add(&location(file, left.publication), diagnostic);
    }
    if taken.is_empty() {
        let cure = "publish NDES by hand: config/minimal.toml is all that is needed";
        let what = match publications.len() {
            1 => "the publication in it cannot be taken over".to_owned(),
            count => format!("none of the {count} publications in it can be taken over"),
        };
        let mut problems = Problems(left.into_iter().map(|left| left.at(file)).collect());
        problems.add(&Location::file(file), Diagnostic::error(what, cure));
        return Err(problems);
    }
    Ok(Imported {
        configuration: write::configuration(file, &taken, &left),
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

fn alone(location: Location, diagnostic: Diagnostic) -> Problems {
    Problems(vec![diagnostic.at(&location)])
}

const COMMAND: &str = "on the WAP server, run in PowerShell: \
    Get-WebApplicationProxyApplication | ConvertTo-Json > wap.json";

#[cfg(test)]
mod tests;
