//! Walks the TOML document key by key, so that every problem is found in one pass and told with
//! its line. serde reads the single values; the walk knows which keys exist.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, DeValue, ValueDeserializer};

use crate::problem::{Finding, Located, Place, Problems};

/// The file being read and what was found wrong with it so far.
pub(super) struct Document<'i> {
    file: PathBuf,
    text: &'i str,
    pub(super) problems: RefCell<Problems>,
}

impl<'i> Document<'i> {
    pub(super) fn new(file: &Path, text: &'i str) -> Self {
        Self {
            file: file.to_owned(),
            text,
            problems: RefCell::default(),
        }
    }

    /// The top of the document; what is no TOML is reported and left out.
    pub(super) fn root(&self) -> Section<'_, 'i> {
        let (table, errors) = DeTable::parse_recoverable(self.text);
        for error in errors {
            let place = Place {
                line: error.span().map(|span| self.line(span.start)),
                ..Place::file(&self.file)
            };
            self.report(
                &place,
                Finding::error(
                    format!("this is not TOML: {}", error.message().replace('\n', " ")),
                    "write `key = value`, text in double quotes, paths of Windows in 'single quotes'",
                ),
            );
        }
        Section {
            document: self,
            key: String::new(),
            line: None,
            table: table.into_inner(),
            known: Vec::new(),
        }
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

    pub(super) fn report(&self, place: &Place, finding: Finding) {
        self.problems.borrow_mut().add(place, finding);
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
    pub(super) fn value<T: DeserializeOwned>(&mut self, key: &'static str) -> Option<Located<T>> {
        let (value, place) = self.take(key)?;
        match T::deserialize(ValueDeserializer::from(value)) {
            Ok(value) => Some(Located { value, place }),
            Err(error) => {
                let (what, cure) = split(error.message());
                self.document.report(&place, Finding::error(what, cure));
                None
            }
        }
    }

    pub(super) fn value_or<T: DeserializeOwned>(&mut self, key: &'static str, default: T) -> T {
        self.value(key).map_or(default, |located| located.value)
    }

    /// A list whose items are told apart, so that each wrong one is reported at its own line.
    /// None where the key is absent.
    pub(super) fn list<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
    ) -> Option<Vec<Located<T>>> {
        let (value, place) = self.take(key)?;
        let DeValue::Array(items) = value.into_inner() else {
            self.document.report(
                &place,
                Finding::error("this must be a list", format!("write {key} = [\"...\"]")),
            );
            return None;
        };
        let mut list = Vec::with_capacity(items.len());
        for item in items {
            let place = Place {
                line: Some(self.document.line(item.span().start)),
                ..place.clone()
            };
            match T::deserialize(ValueDeserializer::from(item)) {
                Ok(value) => list.push(Located { value, place }),
                Err(error) => {
                    let (what, cure) = split(error.message());
                    self.document.report(&place, Finding::error(what, cure));
                }
            }
        }
        if list.is_empty() {
            self.document.report(
                &place,
                Finding::error("the list has no usable item", "write at least one"),
            );
        }
        Some(list)
    }

    /// As `value`, where the key has no default: its absence is reported with `cure`.
    pub(super) fn required<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Located<T>> {
        self.report_missing(key, cure);
        self.value(key)
    }

    /// As `list`, where the key has no default.
    pub(super) fn required_list<T: DeserializeOwned>(
        &mut self,
        key: &'static str,
        cure: &str,
    ) -> Option<Vec<Located<T>>> {
        self.report_missing(key, cure);
        self.list(key)
    }

    /// As `sections`, where at least one is needed.
    pub(super) fn required_sections(&mut self, key: &'static str, cure: &str) -> Vec<Self> {
        self.report_missing(key, cure);
        self.sections(key)
    }

    /// The table `[key]`; an empty one where it is absent.
    pub(super) fn section(&mut self, key: &'static str) -> Self {
        let full = self.full_key(key);
        match self.take(key) {
            None => Section {
                document: self.document,
                key: full,
                line: self.line,
                table: DeTable::new(),
                known: vec![],
            },
            Some((value, place)) => self.table_of(value, place, full, &format!("[{key}]")),
        }
    }

    /// The tables `[[key]]`, or one table where `[key]` or `key = { }` was written for it.
    pub(super) fn sections(&mut self, key: &'static str) -> Vec<Self> {
        let full = self.full_key(key);
        let Some((value, place)) = self.take(key) else {
            return Vec::new();
        };
        let span = value.span();
        let items = match value.into_inner() {
            DeValue::Array(items) => items.into_iter().collect(),
            single => vec![Spanned::new(span, single)],
        };
        items
            .into_iter()
            .enumerate()
            .map(|(index, item)| {
                let place = Place {
                    line: Some(self.document.line(item.span().start)),
                    ..place.clone()
                };
                self.table_of(
                    item,
                    place,
                    format!("{full}[{index}]"),
                    &format!("[[{key}]]"),
                )
            })
            .collect()
    }

    /// Reports the keys that nothing asked for, with the nearest one that exists.
    pub(super) fn finish(self) {
        for (key, _) in self.table.iter() {
            let name = bounded(key.get_ref());
            let place = Place {
                line: Some(self.document.line(key.span().start)),
                ..self.place(&name)
            };
            let known = self.known.join(", ");
            self.document.report(
                &place,
                Finding::error(
                    "this key is unknown",
                    match nearest(&name, &self.known) {
                        Some(near) => format!("write `{near}`, or one of: {known}"),
                        None => format!("remove it, or write one of: {known}"),
                    },
                ),
            );
        }
    }

    /// The place of this section, or of a key of it that is absent.
    pub(super) fn place(&self, key: &str) -> Place {
        Place {
            line: self.line,
            key: self.full_key(key),
            ..Place::file(&self.document.file)
        }
    }

    fn report_missing(&self, key: &str, cure: &str) {
        if !self.table.contains_key(key) {
            self.document.report(
                &self.place(key),
                Finding::error("this key is missing", cure),
            );
        }
    }

    fn take(&mut self, key: &'static str) -> Option<(Spanned<DeValue<'i>>, Place)> {
        self.known.push(key);
        let value = self.table.remove(key)?;
        let line = Some(self.document.line(value.span().start));
        Some((
            value,
            Place {
                line,
                ..self.place(key)
            },
        ))
    }

    fn table_of(
        &self,
        value: Spanned<DeValue<'i>>,
        place: Place,
        key: String,
        heading: &str,
    ) -> Self {
        let table = match value.into_inner() {
            DeValue::Table(table) => table,
            _ => {
                self.document.report(
                    &place,
                    Finding::error("this must be a table", format!("write {heading}")),
                );
                DeTable::new()
            }
        };
        Section {
            document: self.document,
            key,
            line: place.line,
            table,
            known: Vec::new(),
        }
    }

    fn full_key(&self, key: &str) -> String {
        match (self.key.is_empty(), key.is_empty()) {
            (true, _) => key.to_owned(),
            (_, true) => self.key.clone(),
            _ => format!("{}.{key}", self.key),
        }
    }
}

/// Errors of our newtypes read `what; cure`; those of serde have no cure of their own.
fn split(message: &str) -> (String, String) {
    let message = message.trim().replace('\n', " ");
    match message.split_once("; ") {
        Some((what, cure)) => (what.to_owned(), cure.to_owned()),
        None => (message, "see this key in config/ndes-proxy.toml".to_owned()),
    }
}

/// A key as the admin wrote it, short enough for one line.
fn bounded(key: &str) -> String {
    key.chars().take(60).flat_map(char::escape_debug).collect()
}

fn nearest<'k>(name: &str, known: &[&'k str]) -> Option<&'k str> {
    known
        .iter()
        .copied()
        .map(|key| (distance(name, key), key))
        .filter(|(far, _)| *far <= 2)
        .min()
        .map(|(_, key)| key)
}

/// Levenshtein's edit distance.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}
