//! The log: lines on standard output. Requests never wait for it: lines that do not fit into its
//! queue are dropped and counted.

mod line;
mod lines;
mod value;

use std::io::{self, IsTerminal, Write};
use std::time::SystemTime;

use tracing_subscriber::filter::LevelFilter;

use crate::config::{LogFormat, LogLevel};
pub use line::{Format, Line};
use lines::Lines;
pub use lines::Writer;
pub(crate) use value::put;
pub use value::{Bare, Cut, Name, Text, Value};

/// The log of requests. Clones share it; the default writes nothing (tests, `check`).
///
/// Everything else is logged with tracing, which is good for rare events. Each request writes a
/// line of twenty fields, an enrolment another one, and with tracing a line took three to four
/// times as many instructions.
#[derive(Clone, Default)]
pub struct Log(Option<Open>);

#[derive(Clone)]
struct Open {
    lines: Lines,
    format: Format,
    /// Whether lines of level info are enabled.
    info: bool,
}

impl Log {
    /// Starts the log of this process, including tracing. Called once; the caller keeps the writer
    /// until the process exits.
    ///
    /// # Errors
    /// Returns an error if the thread of the writer cannot be started.
    pub fn start(config: &crate::config::Log) -> io::Result<(Self, Writer)> {
        let level = match config.level {
            LogLevel::Error => LevelFilter::ERROR,
            LogLevel::Warn => LevelFilter::WARN,
            LogLevel::Info => LevelFilter::INFO,
            LogLevel::Debug => LevelFilter::DEBUG,
        };
        let format = match config.format {
            LogFormat::Text if io::stdout().is_terminal() => Format::Colours,
            LogFormat::Text => Format::Text,
            LogFormat::Json => Format::Json,
        };
        let (open, writer) = Open::to(io::stdout(), format, config.level)?;
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(level)
            .with_ansi(format == Format::Colours)
            .with_writer(open.lines.clone());
        let started = match format {
            Format::Text | Format::Colours => subscriber.try_init(),
            Format::Json => subscriber.json().flatten_event(true).try_init(),
        };
        // A second log in one process would be a defect; the first one stays in use.
        _ = started;
        std::panic::set_hook(Box::new(|panic| tracing::error!("defect: {panic}")));
        Ok((Self(Some(open)), writer))
    }

    /// Starts a log of requests only, which writes to `output`.
    pub fn to(
        output: impl Write + Send + 'static,
        format: Format,
        level: LogLevel,
    ) -> io::Result<(Self, Writer)> {
        let (open, writer) = Open::to(output, format, level)?;
        Ok((Self(Some(open)), writer))
    }

    /// Writes a line of level info with the fields that `fields` adds, if the level is enabled.
    pub fn info(&self, target: &'static str, fields: impl FnOnce(&mut Line)) {
        let Some(open) = self.0.as_ref().filter(|open| open.info) else {
            return;
        };
        let mut line = Line::begin(open.format, target, SystemTime::now());
        fields(&mut line);
        open.lines.put(&line.end());
    }

    /// Returns the number of lines dropped so far.
    pub fn dropped(&self) -> u64 {
        self.0.as_ref().map_or(0, |open| open.lines.dropped())
    }
}

impl Open {
    fn to(
        output: impl Write + Send + 'static,
        format: Format,
        level: LogLevel,
    ) -> io::Result<(Self, Writer)> {
        let (lines, writer) = Lines::to(output)?;
        let open = Self {
            lines,
            format,
            info: matches!(level, LogLevel::Info | LogLevel::Debug),
        };
        Ok((open, writer))
    }
}

#[cfg(test)]
mod tests;
