//! Problems in the configuration, or in a file that it names, with the advice that an admin needs
//! to fix them.

use std::fmt;
use std::path::{Path, PathBuf};

/// Whether a problem keeps the proxy from starting.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// The proxy works, but an admin should know.
    Warning,
    /// The proxy does not start, or a reload is refused.
    Error,
}

/// What is wrong and what to do about it, without the location, which the caller knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    pub severity: Severity,
    /// What was found: one clause without a full stop.
    pub what: String,
    /// What to write or to run instead: one clause without a full stop.
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

    /// Adds the location.
    pub fn at(self, location: &Location) -> Problem {
        Problem {
            location: location.clone(),
            diagnostic: self,
        }
    }
}

/// A location in a configuration file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Location {
    pub file: PathBuf,
    /// Counted from 1. `None` for the file as a whole, and for a key that is absent from its top
    /// level.
    pub line: Option<usize>,
    /// The full key, such as `application[0].certificate.chain`. Empty for the file as a whole.
    pub key: String,
}

impl Location {
    /// The location of the file as a whole.
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

/// A value of the configuration with its location.
#[derive(Clone, Debug)]
pub struct Located<T> {
    pub value: T,
    pub location: Location,
}

/// A diagnostic with its location. It is displayed as `file:line: key: error: what; cure`.
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

/// All problems that one pass found: those of the configuration file in the order of its lines,
/// then those of the files that it names.
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
