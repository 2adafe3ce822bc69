//! Where log lines go: standard output, through a thread of its own. Requests never wait for it;
//! what does not fit into its queue is dropped and counted.

use std::io::IsTerminal;

use tracing_appender::non_blocking::{ErrorCounter, NonBlockingBuilder, WorkerGuard};
use tracing_subscriber::filter::LevelFilter;

use crate::config::{Log, LogFormat, LogLevel};

/// Lines that wait for a slow output, some 10 MB.
const QUEUE: usize = 16_384;

/// Keeps the log running; dropping it writes what is still queued.
pub struct Guard {
    _worker: WorkerGuard,
    pub dropped: ErrorCounter,
}

/// Starts the log of this process. Called once, by `main`.
pub fn start(config: &Log) -> Guard {
    let level = match config.level {
        LogLevel::Error => LevelFilter::ERROR,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Debug => LevelFilter::DEBUG,
    };
    let (writer, worker) = NonBlockingBuilder::default()
        .lossy(true)
        .buffered_lines_limit(QUEUE)
        .finish(std::io::stdout());
    let dropped = writer.error_counter();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(level)
        .with_writer(writer);
    let started = match config.format {
        LogFormat::Text => subscriber
            .with_ansi(std::io::stdout().is_terminal())
            .try_init(),
        LogFormat::Json => subscriber.json().flatten_event(true).try_init(),
    };
    // A second log in one process would be a defect; the first one goes on.
    _ = started;
    std::panic::set_hook(Box::new(|panic| tracing::error!("defect: {panic}")));
    Guard {
        _worker: worker,
        dropped,
    }
}
