//! The log: lines on standard output. Requests never wait for it; what does not fit into its queue
//! is dropped and counted.

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

/// Where the lines of requests go. Clones share it; by default there is none (tests, `check`).
///
/// Beside tracing, which all else is said with: that is good for what happens rarely. Each request
/// leaves a line of twenty fields, an enrolment another one, and by way of tracing a line took three
/// to four times as many instructions.
#[derive(Clone, Default)]
pub struct Log(Option<Open>);

#[derive(Clone)]
struct Open {
    lines: Lines,
    format: Format,
    /// Whether lines of this level are wanted.
    info: bool,
}

impl Log {
    /// Starts the log of this process, tracing included. Called once, by `main`, which keeps the
    /// writer to its end.
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
        // A second log in one process would be a defect; the first one goes on.
        _ = started;
        std::panic::set_hook(Box::new(|panic| tracing::error!("defect: {panic}")));
        Ok((Self(Some(open)), writer))
    }

    /// Only the lines of requests, to `output`.
    pub fn to(
        output: impl Write + Send + 'static,
        format: Format,
        level: LogLevel,
    ) -> io::Result<(Self, Writer)> {
        let (open, writer) = Open::to(output, format, level)?;
        Ok((Self(Some(open)), writer))
    }

    /// Writes a line of level info, if such lines are wanted; `fields` puts what it says.
    pub fn info(&self, target: &'static str, fields: impl FnOnce(&mut Line)) {
        let Some(open) = self.0.as_ref().filter(|open| open.info) else {
            return;
        };
        let mut line = Line::begin(open.format, target, SystemTime::now());
        fields(&mut line);
        open.lines.put(&line.end());
    }

    /// Lines lost so far.
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
