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

/// For outputs without colours.
pub(super) struct Plain;

impl<'w> FormatFields<'w> for Plain {
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
        self.result = self.result.and(default.finish());
        self.first = false;
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let is_plain = |byte| matches!(byte, b' '..=b'~') && byte != b'"' && byte != b'\\';
        if field.name() == MESSAGE || !value.bytes().all(is_plain) {
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

#[cfg(test)]
mod tests {
    use std::io::{self, Write};
    use std::sync::{Arc, Mutex};

    use tracing::subscriber::with_default;

    use super::*;

    #[derive(Clone, Default)]
    struct Output(Arc<Mutex<Vec<u8>>>);

    impl Write for Output {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    fn events() {
        for text in [
            "", "plain ~", "\"", "\\", "\n", "\x1b[31m", "\x7f", "ü", "\u{202e}",
        ] {
            tracing::info!(first = text, shown = %text, debug = ?text, last = text);
            tracing::warn!(target: "other", text, absent = None::<&str>, "of {text} and\x1b[0m");
            tracing::error!("{text}");
        }
        tracing::info!(
            message = "a string",
            bytes = 17_usize,
            least = i64::MIN,
            most = u64::MAX
        );
        tracing::info!(
            yes = true,
            ms = 1.257,
            zero = 0.0,
            tiny = 1e-9,
            huge = 1e300,
            none = f64::NAN
        );
        let error: &(dyn Error + 'static) = &io::Error::other("of a test");
        tracing::warn!(before = 1, error, after = 2);
        tracing::info!(
            wide = u128::MAX,
            some = Some(4_u16),
            status = tracing::field::Empty
        );
    }

    #[test]
    fn the_bytes_are_those_of_tracing_subscriber() {
        let (ours, theirs) = (Output::default(), Output::default());
        let lines = |output: &Output| {
            let output = output.clone();
            let lines = tracing_subscriber::fmt().without_time().with_ansi(false);
            lines.with_writer(move || output.clone())
        };
        with_default(lines(&ours).fmt_fields(Plain).finish(), events);
        with_default(lines(&theirs).finish(), events);
        let text = |output: &Output| String::from_utf8(output.0.lock().unwrap().clone()).unwrap();
        assert!(!text(&theirs).is_empty());
        assert_eq!(text(&ours), text(&theirs));
    }
}
