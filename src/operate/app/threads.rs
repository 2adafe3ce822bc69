//! The workers' threads, and what watches them.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tracing::warn;

use crate::base::shutdown::Shutdown;
use crate::edge::{Heartbeat, Worker};
use crate::operate::systemd::Manager;

/// Tells systemd that the process works, only while each of its workers does. In a shutdown they
/// end one by one, within a time of its own.
pub(super) async fn watch(
    time: Duration,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    manager: Manager,
) {
    // A quarter: one round to ask, one to hear, and as much again for a busy machine.
    let mut rounds = tokio::time::interval(time / 4);
    loop {
        rounds.tick().await;
        if shutdown.has_begun() || heartbeat.all_answered() {
            manager.alive();
        } else {
            warn!("a worker does not answer; systemd restarts the process unless it soon does");
        }
    }
}

/// A worker's thread. Its result: connections that were cut.
pub(super) fn start(worker: Worker) -> io::Result<JoinHandle<io::Result<usize>>> {
    let name = format!("worker-{}", worker.index);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        let cut = runtime.block_on(worker.run());
        // What was cut ends here, and leaves its records.
        drop(runtime);
        cut
    })
}

pub(super) fn join(worker: JoinHandle<io::Result<usize>>) -> usize {
    match worker.join() {
        Ok(Ok(cut)) => cut,
        Ok(Err(error)) => {
            warn!("a worker ended: {error}");
            0
        }
        Err(_panic) => {
            warn!("a worker ended by a defect");
            0
        }
    }
}
