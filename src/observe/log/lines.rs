//! The queue of log lines: collected in memory and written in large pieces by a thread of its own.
//!
//! It replaces tracing-appender, which allocates, wakes its thread and writes for each line. Traced
//! under short requests, that was two calls of futex, four of sched_yield and one write for each.

use std::io::{self, Write};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// The sender of lines; clones share the queue.
#[derive(Clone)]
pub(super) struct Lines(Arc<Queue>);

struct Queue {
    waiting: Mutex<Waiting>,
    /// Notified when there is the first line to write, when there are many, and at the end.
    wake: Condvar,
    dropped: AtomicU64,
}

#[derive(Default)]
struct Waiting {
    /// Whole lines.
    bytes: Vec<u8>,
    ended: bool,
}

/// The writing thread; dropping this writes the queued lines.
pub struct Writer {
    lines: Lines,
    written: mpsc::Receiver<()>,
}

/// Most bytes that wait for a slow output; further lines are dropped.
const MOST: usize = 4 << 20;
/// How long lines are collected before they are written, unless there are many.
const GATHER: Duration = Duration::from_millis(20);
const MANY: usize = 64 << 10;
/// How long a blocked output may delay the exit of the process.
const LAST: Duration = Duration::from_secs(1);

impl Lines {
    /// Starts the thread that writes to `output`.
    pub(super) fn to(mut output: impl Write + Send + 'static) -> io::Result<(Self, Writer)> {
        let lines = Self(Arc::new(Queue {
            waiting: Mutex::default(),
            wake: Condvar::new(),
            dropped: AtomicU64::new(0),
        }));
        let (done, written) = mpsc::channel();
        let queue = lines.0.clone();
        std::thread::Builder::new()
            .name("log".to_owned())
            .spawn(move || {
                queue.write_all_to(&mut output);
                // The receiver may be gone.
                _ = done.send(());
            })?;
        let writer = Writer {
            lines: lines.clone(),
            written,
        };
        Ok((lines, writer))
    }

    /// Adds a whole line, or drops and counts it if the queue is full.
    pub(super) fn put(&self, line: &[u8]) {
        self.0.put(line);
    }

    /// Returns the number of lines dropped so far.
    pub(super) fn dropped(&self) -> u64 {
        self.0.dropped.load(Ordering::Relaxed)
    }
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, line: &[u8]) {
        let mut waiting = self.waiting();
        if waiting.bytes.len() + line.len() > MOST {
            self.dropped.fetch_add(1, Ordering::Relaxed);
            return;
        }
        let first = waiting.bytes.is_empty();
        let many = waiting.bytes.len() < MANY && waiting.bytes.len() + line.len() >= MANY;
        waiting.bytes.extend_from_slice(line);
        drop(waiting);
        if first || many {
            self.wake.notify_one();
        }
    }

    fn write_all_to(&self, output: &mut impl Write) {
        let mut piece = Vec::new();
        loop {
            let mut waiting = self.waiting();
            while waiting.bytes.is_empty() && !waiting.ended {
                waiting = self
                    .wake
                    .wait(waiting)
                    .unwrap_or_else(PoisonError::into_inner);
            }
            let gathering = |waiting: &mut Waiting| waiting.bytes.len() < MANY && !waiting.ended;
            let gathered = self.wake.wait_timeout_while(waiting, GATHER, gathering);
            let mut waiting = gathered.unwrap_or_else(PoisonError::into_inner).0;
            std::mem::swap(&mut waiting.bytes, &mut piece);
            let ended = waiting.ended;
            drop(waiting);
            // There is nowhere to report an error of the log; the next piece tries again.
            _ = output.write_all(&piece).and_then(|()| output.flush());
            piece.clear();
            if ended {
                return;
            }
        }
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.lines.0.waiting().ended = true;
        self.lines.0.wake.notify_one();
        _ = self.written.recv_timeout(LAST);
    }
}

/// tracing writes each event as one whole line.
impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.0.put(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'w> MakeWriter<'w> for Lines {
    type Writer = Self;

    fn make_writer(&'w self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An output that can be inspected, and blocked by holding its lock.
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

    #[test]
    fn all_lines_are_written_in_order_before_the_end() {
        let output = Output::default();
        let (mut lines, writer) = Lines::to(output.clone()).unwrap();
        for number in 0..10_000 {
            writeln!(lines, "line {number}").unwrap();
        }
        drop(writer);
        let expected: String = (0..10_000)
            .map(|number| format!("line {number}\n"))
            .collect();
        assert!(output.0.lock().unwrap().as_slice() == expected.as_bytes());
        assert_eq!(lines.dropped(), 0);
    }

    #[test]
    fn a_blocked_output_loses_lines_and_blocks_no_sender() {
        let output = Output::default();
        let (mut lines, writer) = Lines::to(output.clone()).unwrap();
        let blocked = output.0.lock().unwrap();
        let line = [b'x'; 1_000];
        let sent = 3 * MOST / line.len();
        for _ in 0..sent {
            lines.write_all(&line).unwrap();
        }
        assert!(lines.dropped() > 0);
        drop(blocked);
        drop(writer);
        let kept = output.0.lock().unwrap().len() / line.len();
        assert_eq!(kept as u64 + lines.dropped(), sent as u64);
    }
}
