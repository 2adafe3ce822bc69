//! The fields of a line of text, byte for byte as tracing_subscriber writes them without colours.
//!
//! Our own instead of its `DefaultFields`: that formats a style, which is empty, before and after
//! each name and each `=`, and looks at strings a character at a time. Two lines of twenty fields
//! for each enrolment were a tenth of its cost.

use std::error::Error;
use std::fmt;

use tracing::field::{Field, Visit};
use tracing_subscriber::field::{RecordFields, VisitOutput};
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::{DefaultVisitor, Writer};

use crate::client::is_plain;

/// For outputs without colours.
pub struct Text;

impl<'w> FormatFields<'w> for Text {
    fn format_fields<R: RecordFields>(&self, line: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = Fields {
            line,
            first: true,
            result: Ok(()),
        };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct Fields<'w> {
    line: Writer<'w>,
    first: bool,
    result: fmt::Result,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        let separator = if self.first { "" } else { " " };
        self.first = false;
        self.result = self.result.and_then(|()| {
            self.line.write_str(separator)?;
            self.line.write_str(field.name())?;
            self.line.write_str("=")?;
            value(&mut self.line)
        });
    }

    /// What is rare, or has no name.
    fn leave(&mut self, to: impl FnOnce(&mut DefaultVisitor<'_>)) {
        let mut default = DefaultVisitor::new(self.line.by_ref(), self.first);
        to(&mut default);
        let written = default.finish();
        self.first = false;
        self.result = self.result.and(written);
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        if field.name() == MESSAGE || !is_plain(value.as_bytes()) {
            return self.leave(|default| default.record_str(field, value));
        }
        self.put(field, |line| {
            line.write_str("\"")?;
            line.write_str(value)?;
            line.write_str("\"")
        });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if field.name() == MESSAGE {
            return self.leave(|default| default.record_debug(field, value));
        }
        self.put(field, |line| write!(line, "{value:?}"));
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.leave(|default| default.record_error(field, value));
    }
}

/// Written without a name, its control characters escaped.
const MESSAGE: &str = "message";
