//! Walks the TOML document key by key, so that every problem is found in one pass and told with
//! its line. serde reads the single values; the walk knows which keys exist.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

mod words;

use super::example::Example;
use crate::base::problem::{Diagnostic, Located, Location, Problems};

/// The file being read and what was found wrong with it so far.
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

    /// The top of the document. None where it is not TOML: what is left of such a file would be
    /// reported as missing and wrong though the admin wrote it.
    pub(super) fn root(&self) -> Option<Section<'_, 'i>> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        let mut last = None;
        for error in &errors {
            let line = error.span().map(|span| self.line(span.start));
            // One slip of the pen often makes several errors: the first of a line says most.
            if last.replace(line) == Some(line) {
                continue;
            }
            let location = Location {
                line,
                ..Location::file(&self.file)
            };
            self.report(
                &location,
                Diagnostic::error(
                    format!("this is not TOML: {}", error.message().replace('\n', " ")),
                    "write `key = value`, text in \"double quotes\", what holds a backslash in 'single quotes'",
                ),
            );
        }
        errors.is_empty().then(|| Section {
            document: self,
            key: String::new(),
            line: None,
            table: table.into_inner(),
            known: Vec::new(),
        })
    }

    /// As the admin reads the file, not as the walk found them.
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

/// One table of the document. Keys are taken out of it; `finish` reports those nobody asked for.
pub(super) struct Section<'d, 'i> {
    pub(super) document: &'d Document<'i>,
    key: String,
    line: Option<usize>,
    table: DeTable<'i>,
    known: Vec<&'static str>,
}

impl<'d, 'i> Section<'d, 'i> {
    /// The value of `key`, or none where it is absent or wrong (which is then reported).
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

    /// A list whose items are told apart, so that each wrong one is reported at its own line.
    /// None where the key is absent.
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

    /// As `value`, where the key has no default: its absence is reported with `cure`.
    pub(super) fn required<T: Example>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Located<T>> {
        self.report_missing(key, cure);
        self.value(key)
    }

    /// As `list`, where the key has no default.
    pub(super) fn required_list<T: Example>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Vec<Located<T>>> {
        self.report_missing(key, cure);
        self.list(key)
    }

    /// The table `[key]`; an empty one where it is absent.
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

    /// The tables `[[key]]`, or one table where `[key]` or `key = { }` was written for it. An item
    /// that is no table is reported, with `cure`, and left out.
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

    /// As `sections`, where at least one is needed.
    pub(super) fn required_sections(&mut self, key: &'static str, cure: &str) -> Vec<Self> {
        self.report_missing(key, cure);
        self.sections(key, cure)
    }

    /// Reports the keys that nothing asked for, with the nearest one that exists.
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

    /// The place of this section, or of a key of it that is absent.
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
