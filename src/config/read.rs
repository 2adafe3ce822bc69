//! Walks the TOML document key by key, so that one pass finds every problem and reports it with its
//! line. serde parses single values; the walk knows which keys exist.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

mod words;

use super::example::Example;
use crate::base::problem::{Diagnostic, Located, Location, Problems};

/// The file that is being read and the problems found in it so far.
pub(super) struct Document<'i> {
    file: PathBuf,
    text: &'i str,
    problems: RefCell<Problems>,
}

impl<'i> Document<'i> {
    pub(super) fn new(file: &Path, text: &'i str) -> Self {
        Self {
            file: file.to_owned(),
            text,
            problems: RefCell::default(),
        }
    }

    /// Returns the top-level table. Returns `None` if the text is not TOML, because the part that
    /// can be parsed would lead to reports of missing keys that the admin did write.
    pub(super) fn root(&self) -> Option<Section<'_, 'i>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut last = None;
        for error in &errors {
            let line = error.span().map(|span| self.line(span.start));
            // One typing error often causes several errors; the first of a line is the most useful.
            if last.replace(line) == Some(line) {
                continue;
            }
            let location = Location {
                line,
                ..Location::file(&self.file)
            };
            let what = format!(
                "this is not valid TOML: {}",
                error.message().replace('\n', " ")
            );
            let cure = match error.message() {
                "duplicate key" => "write each key and each [table] only once",
                _ => {
                    "write `key = value`, with text in \"double quotes\", or in 'single quotes' if it contains a \
                     backslash"
                }
            };
            self.report(&location, Diagnostic::error(what, cure));
        }
        errors.is_empty().then(|| Section {
            document: self,
            key: String::new(),
            line: None,
            table: table.into_inner(),
            known: Vec::new(),
        })
    }

    /// Returns the problems in the order of the lines of the file.
    pub(super) fn into_problems(self) -> Problems {
        let mut problems = self.problems.into_inner();
        problems.0.sort_by_key(|problem| problem.location.line);
        problems
    }

    fn line(&self, offset: usize) -> usize {
        1 + self
            .text
            .as_bytes()
            .iter()
            .take(offset)
            .filter(|byte| **byte == b'\n')
            .count()
    }

    pub(super) fn report(&self, location: &Location, diagnostic: Diagnostic) {
        self.problems.borrow_mut().add(location, diagnostic);
    }
}

/// One table of the document. Reading a key removes it; `finish` reports the keys that are left.
pub(super) struct Section<'d, 'i> {
    pub(super) document: &'d Document<'i>,
    key: String,
    line: Option<usize>,
    table: DeTable<'i>,
    known: Vec<&'static str>,
}

impl<'d, 'i> Section<'d, 'i> {
    /// Returns the value of `key`, or `None` if it is absent or wrong. A wrong value is reported.
    pub(super) fn value<T: Example>(&mut self, key: &'static str) -> Option<Located<T>> {
        let (value, location) = self.take(key)?;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Located { value, location }),
            Err(error) => {
                let diagnostic = words::diagnostic::<T>(error.message());
                self.document.report(&location, diagnostic);
                None
            }
        }
    }

    pub(super) fn value_or<T: Example>(&mut self, key: &'static str, default: T) -> T {
        self.value(key).map_or(default, |located| located.value)
    }

    /// Returns the items of the list `key`. Each wrong item is reported at its own line and left
    /// out. Returns `None` if the key is absent or not a list.
    pub(super) fn list<T: Example>(&mut self, key: &'static str) -> Option<Vec<Located<T>>> {
        let (value, location) = self.take(key)?;
        let cure = || format!("write {key} = [{}]", T::example());
        let DeValue::Array(items) = value.into_inner() else {
            let diagnostic = Diagnostic::error("this must be a list", cure());
            self.document.report(&location, diagnostic);
            return None;
        };
        if items.is_empty() {
            let diagnostic = Diagnostic::error("this list is empty", cure());
            self.document.report(&location, diagnostic);
        }
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let location = Location {
                line: Some(self.document.line(item.span().start)),
                ..location.clone()
            };
            match T::deserialize(ValueDeserializer::from(item)) {
                Ok(value) => list.push(Located { value, location }),
                Err(error) => {
                    let diagnostic = words::diagnostic::<T>(error.message());
                    self.document.report(&location, diagnostic);
                }
            }
        }
        Some(list)
    }

    /// Like `value`, for a key without a default: its absence is reported with `cure`.
    pub(super) fn required<T: Example>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Located<T>> {
        self.report_missing(key, cure);
        self.value(key)
    }

    /// Like `list`, for a key without a default: its absence is reported with `cure`.
    pub(super) fn required_list<T: Example>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Vec<Located<T>>> {
        self.report_missing(key, cure);
        self.list(key)
    }

    /// Returns the table `[key]`, or an empty one if it is absent or not a table.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let cure = format!("write [{}]", words::header(&self.full_key(key)));
        let found = self.take(key);
        let table = found.and_then(|(value, location)| self.table_of(value, location, &cure));
        table.unwrap_or_else(|| Section {
            document: self.document,
            key: self.full_key(key),
            line: self.line,
            table: DeTable::new(),
            known: Vec::new(),
        })
    }

    /// Returns the tables `[[key]]`, or one table if the admin wrote `[key]` or `key = { }`. An
    /// item that is not a table is reported with `cure` and left out.
    pub(super) fn sections(&mut self, key: &'static str, cure: &str) -> Vec<Self> {
        let Some((value, location)) = self.take(key) else {
            return Vec::new();
        };
        let span = value.span();
        let items = match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            single => vec![Spanned::new(span, single)],
        };
        let tables = items.into_iter().enumerate().filter_map(|(index, item)| {
            let location = Location {
                line: Some(self.document.line(item.span().start)),
                key: format!("{}[{index}]", location.key),
                ..location.clone()
            };
            self.table_of(item, location, cure)
        });
        tables.collect()
    }

    /// Like `sections`, if at least one is required: their absence is reported with `cure`.
    pub(super) fn required_sections(&mut self, key: &'static str, cure: &str) -> Vec<Self> {
        self.report_missing(key, cure);
        self.sections(key, cure)
    }

    /// Reports the keys that were not read, each with the most similar key that exists.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name = words::bounded(key.get_ref());
            let location = Location {
                line: Some(self.document.line(key.span().start)),
                ..self.location(&name)
            };
            let known = self.known.join(", ");
            self.document.report(
                &location,
                Diagnostic::error(
                    "this key is unknown",
                    match words::nearest(&name, &self.known) {
                        Some(near) => format!("write `{near}`, or one of: {known}"),
                        None => format!("remove it, or write one of: {known}"),
                    },
                ),
            );
        }
    }

    /// Returns the location of this section, or of `key` if that is absent from it.
    pub(super) fn location(&self, key: &str) -> Location {
        Location {
            line: self.line,
            key: self.full_key(key),
            ..Location::file(&self.document.file)
        }
    }

    fn report_missing(&self, key: &str, cure: &str) {
        if !self.table.contains_key(key) {
            self.document.report(
                &self.location(key),
                Diagnostic::error("this key is missing", cure),
            );
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Spanned<DeValue<'i>>, Location)> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        let line = Some(self.document.line(value.span().start));
        Some((
            value,
            Location {
                line,
                ..self.location(key)
            },
        ))
    }

    fn table_of(
        &self,
        value: Spanned<DeValue<'i>>,
        location: Location,
        cure: &str,
    ) -> Option<Self> {
        let DeValue::Table(table) = value.into_inner() else {
            let diagnostic = Diagnostic::error("this must be a table", cure);
            self.document.report(&location, diagnostic);
            return None;
        };
        Some(Section {
            document: self.document,
            key: location.key,
            line: location.line,
            table,
            known: Vec::new(),
        })
    }

    fn full_key(&self, key: &str) -> String {
        match (self.key.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.key.clone(),
            _ => format!("{}.{key}", self.key),
        }
    }
}

/// Resolves a path of the configuration against the directory of the file.
pub(super) fn resolved(directory: &Path, path: Located<PathBuf>) -> Located<PathBuf> {
    Located {
        value: directory.join(path.value),
        location: path.location,
    }
}
