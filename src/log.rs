//! The log: lines on standard output. Requests never wait for it; what does not fit into its queue
//! is dropped and counted.

mod json;
mod lines;
mod text;

use std::io::{self, IsTerminal};

use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat, LogLevel};
pub use lines::{Lines, Writer};
pub use text::Text;

/// Starts the log of this process. Called once, by `main`, which keeps the writer to its end.
pub fn start(config: &Log) -> io::Result<(Lines, Writer)> {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let (lines, writer) = Lines::to(io::stdout())?;
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(lines.clone());
    let started = match config.format {
        LogFormat::Text if io::stdout().is_terminal() => subscriber.with_ansi(true).try_init(),
        LogFormat::Text => subscriber.with_ansi(false).fmt_fields(Text).try_init(),
        LogFormat::Json => subscriber
            .json()
            .flatten_event(true)
            .map_event_format(json::Json::of)
            .try_init(),
    };
    // A second log in one process would be a defect; the first one goes on.
    _ = started;
    std::panic::set_hook(Box::new(|panic| tracing::error!("defect: {panic}")));
    Ok((lines, writer))
}

#[cfg(test)]
mod tests;
