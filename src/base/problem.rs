//! What is wrong with the configuration or a file it names, said so that an admin can mend it.

use std::fmt;
use std::path::{Path, PathBuf};

/// Whether a problem keeps the proxy from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Works, but somebody should know.
    Warning,
    /// The proxy does not start, a reload is refused.
    Error,
}

/// What is wrong, and what to do about it: without the place, which the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// One sentence, no full stop: what was found.
    pub what: String,
    /// One sentence, no full stop: what to write or to run instead.
    pub cure: String,
}

impl Diagnostic {
    pub fn error(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            what: what.into(),
            cure: cure.into(),
        }
    }

    pub fn warning(what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            what: what.into(),
            cure: cure.into(),
        }
    }

    pub fn at(self, location: &Location) -> Problem {
        Problem {
            location: location.clone(),
            diagnostic: self,
        }
    }
}

/// Where in the configuration file something was said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    /// Counted from 1; none where a key is absent from an otherwise empty file.
    pub line: Option<usize>,
    /// Full key, as `application[0].certificate.chain`.
    pub key: String,
}

impl Location {
    pub fn file(path: &Path) -> Self {
        Self {
            file: path.to_owned(),
            line: None,
            key: String::new(),
        }
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.file.display())?;
        if let Some(line) = self.line {
            write!(f, ":{line}")?;
        }
        if !self.key.is_empty() {
            write!(f, ": {}", self.key)?;
        }
        Ok(())
    }
}

/// A value of the configuration together with the place where it was said.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub location: Location,
}

/// A finding at its place; one line for the admin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    pub location: Location,
    pub diagnostic: Diagnostic,
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.diagnostic.severity {
            Severity::Warning => "warning",
            Severity::Error => "error",
        };
        write!(
            f,
            "{}: {word}: {}; {}",
            self.location, self.diagnostic.what, self.diagnostic.cure
        )
    }
}

/// All problems found in one pass: those of the file itself by line, then those of what it names.
#[derive(Clone, Debug, Default)]
pub struct Problems(pub Vec<Problem>);

impl Problems {
    pub fn add(&mut self, location: &Location, diagnostic: Diagnostic) {
        self.0.push(diagnostic.at(location));
    }

    pub fn has_errors(&self) -> bool {
        self.0
            .iter()
            .any(|problem| problem.diagnostic.severity == Severity::Error)
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0
            .iter()
            .try_for_each(|problem| writeln!(f, "{problem}"))
    }
}

impl std::error::Error for Problems {}
