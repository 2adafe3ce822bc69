//! The threads of the workers, and the watchdog over them.

use std::io;
use std::thread::JoinHandle;
use std::time::Duration;

use tokio::runtime;
use tracing::warn;

use crate::base::shutdown::Shutdown;
use crate::edge::{Heartbeat, Worker};
use crate::operate::systemd::Manager;

/// Resets systemd's watchdog, whose time is `time`, as long as each worker responds. In a shutdown
/// workers stop one by one, within its own deadline, and the watchdog is always reset.
pub(super) async fn watch(
    time: Duration,
    heartbeat: Heartbeat,
    shutdown: Shutdown,
    manager: Manager,
) {
    // A quarter: one round to ask, one to collect the responses, and as much again for a busy
    // machine.
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

/// Starts the thread of a worker, which returns the number of connections that were cut.
pub(super) fn start(worker: Worker) -> io::Result<JoinHandle<io::Result<usize>>> {
    let name = format!("worker-{}", worker.index);
    let runtime = runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    std::thread::Builder::new().name(name).spawn(move || {
        let cut = runtime.block_on(worker.run());
        // Drops the connections that were cut, which write their records.
        drop(runtime);
        cut
    })
}

/// Waits for a worker and returns the number of connections that were cut.
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
