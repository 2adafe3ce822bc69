//! `ndes-proxy import-wap`: the published applications of Web Application Proxy as a configuration.
//!
//! Reads what `Get-WebApplicationProxyApplication | ConvertTo-Json` writes. Only what can be SCEP
//! is taken over, and never more than SCEP: what is left out, and why, stands in comments.

use std::path::Path;

use crate::base::problem::{Finding, Place, Problem, Problems};
use crate::base::text;

mod judge;
mod lines;
mod notes;
mod publication;
mod url;
mod write;

use judge::{Judged, judge};
use publication::Publication;

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
            Place::file(file),
            Finding::error(format!("cannot be read: {error}"), cure),
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
            Place::file(file),
            Finding::error("this is neither UTF-8 nor UTF-16", COMMAND),
        )
    })?;
    let publications = publication::read(&text).map_err(|(line, finding)| {
        let place = Place {
            line,
            ..Place::file(file)
        };
        alone(place, finding)
    })?;
    let Judged { taken, left } = judge(&publications);

    let mut warnings = Problems::default();
    for site in &taken {
        let findings = site.findings();
        warnings
            .0
            .extend(findings.map(|finding| finding.at(&place(file, site.publication))));
    }
    for left in left.iter().filter(|left| left.meant_for_scep) {
        let finding = left.finding.clone();
        warnings.add(&place(file, left.publication), finding);
    }
    if taken.is_empty() {
        let cure = "publish NDES by hand: config/minimal.toml is all that is needed";
        let what = match publications.len() {
            1 => "the publication in it cannot be taken over".to_owned(),
            count => format!("none of the {count} publications in it can be taken over"),
        };
        let mut problems = Problems(left.into_iter().map(|left| left.at(file)).collect());
        problems.add(&Place::file(file), Finding::error(what, cure));
        return Err(problems);
    }
    Ok(Imported {
        configuration: write::configuration(file, &taken, &left),
        warnings,
    })
}

fn place(file: &Path, publication: &Publication) -> Place {
    Place {
        key: publication.to_string(),
        ..Place::file(file)
    }
}

impl judge::Left<'_> {
    fn at(self, file: &Path) -> Problem {
        self.finding.at(&place(file, self.publication))
    }
}

fn alone(place: Place, finding: Finding) -> Problems {
    Problems(vec![finding.at(&place)])
}

const COMMAND: &str = "on the WAP server, run in PowerShell: \
    Get-WebApplicationProxyApplication | ConvertTo-Json > wap.json";

#[cfg(test)]
mod tests;
