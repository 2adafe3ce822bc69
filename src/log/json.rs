//! Lines of JSON, byte for byte as tracing_subscriber writes them with `flatten_event`, but at half
//! the cost: that takes every piece of text through a serializer and back through UTF-8.

use std::fmt::{self, Write};

use serde_json::Number;
use tracing::field::{Field, Visit};
use tracing::{Event, Subscriber};
use tracing_subscriber::fmt::format::{self, Format, Writer};
use tracing_subscriber::fmt::time::{FormatTime, SystemTime};
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::client::is_plain;

/// `T` writes the timestamp.
pub(super) struct Json<T> {
    pub(super) time: T,
    /// For what libraries say within spans.
    pub(super) default: Format<format::Json, T>,
}

impl Json<SystemTime> {
    pub(super) fn of(default: Format<format::Json>) -> Self {
        let time = SystemTime;
        Self { time, default }
    }
}

impl<S, N, T> FormatEvent<S, N> for Json<T>
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'w> FormatFields<'w> + 'static,
    T: FormatTime,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut line: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        if event.parent().is_some() || context.lookup_current().is_some() {
            return self.default.format_event(context, line, event);
        }
        let about = event.metadata();
        line.write_str("{\"timestamp\":\"")?;
        self.time.format_time(&mut line)?;
        line.write_str("\",\"level\":\"")?;
        line.write_str(about.level().as_str())?;
        line.write_str("\"")?;
        let mut fields = Fields {
            line: line.by_ref(),
            result: Ok(()),
        };
        event.record(&mut fields);
        fields.result?;
        line.write_str(",\"target\":\"")?;
        line.write_str(about.target())?;
        line.write_str("\"}\n")
    }
}

struct Fields<'w> {
    line: Writer<'w>,
    result: fmt::Result,
}

impl Fields<'_> {
    fn put(&mut self, field: &Field, value: impl FnOnce(&mut Writer<'_>) -> fmt::Result) {
        self.result = self.result.and_then(|()| {
            self.line.write_str(",\"")?;
            self.line.write_str(field.name())?;
            self.line.write_str("\":")?;
            value(&mut self.line)
        });
    }

    fn put_string(&mut self, field: &Field, value: fmt::Arguments<'_>) {
        self.put(field, |line| {
            line.write_str("\"")?;
            Escaped(line).write_fmt(value)?;
            line.write_str("\"")
        });
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        self.put_string(field, format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        self.put_string(field, format_args!("{value:?}"));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.put(field, |line| write!(line, "{value}"));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.put(field, |line| write!(line, "{value}"));
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.put(field, |line| write!(line, "{value}"));
    }

    fn record_f64(&mut self, field: &Field, value: f64) {
        self.put(field, |line| match Number::from_f64(value) {
            Some(number) => write!(line, "{number}"),
            None => line.write_str("null"),
        });
    }
}

/// Text within quotes (RFC 8259 §7).
struct Escaped<'a, 'w>(&'a mut Writer<'w>);

impl Write for Escaped<'_, '_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if is_plain(text.as_bytes()) {
            return self.0.write_str(text);
        }
        for c in text.chars() {
            match c {
                '"' | '\\' => write!(self.0, "\\{c}")?,
                '\n' => self.0.write_str("\\n")?,
                '\r' => self.0.write_str("\\r")?,
                '\t' => self.0.write_str("\\t")?,
                '\x08' => self.0.write_str("\\b")?,
                '\x0c' => self.0.write_str("\\f")?,
                '\0'..='\x1f' => write!(self.0, "\\u{:04x}", u32::from(c))?,
                _ => self.0.write_char(c)?,
            }
        }
        Ok(())
    }
}
