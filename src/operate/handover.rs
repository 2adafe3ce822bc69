//! Hand-over on SIGUSR2: starts the program again, perhaps in a new version, and passes it the
//! listening sockets. Once the new process serves, this one drains and exits. If the new process
//! does not get that far, this one continues to serve.

use std::env;
use std::io;
use std::net::TcpListener;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use rustix::io::{Errno, FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::{Resource, getrlimit};
use tokio::io::AsyncReadExt;
use tokio::time::timeout;
use tracing::{error, info};

use crate::operate::systemd::{HANDOVER, Manager};

/// What a new process needs to take over.
pub struct Handover {
    sockets: Vec<TcpListener>,
    manager: Manager,
}

/// Why no new process takes over.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error("it cannot be started: {0}")]
    Start(#[from] io::Error),
    #[error("it exited before it served, {0}; its output has the reason")]
    Ended(std::process::ExitStatus),
    #[error("it did not serve within {} s", MOST_START.as_secs())]
    Late,
}

/// How long the new process may take until it serves.
const MOST_START: Duration = Duration::from_secs(60);

impl Handover {
    /// Duplicates `sockets`, which listen until this is dropped.
    pub(crate) fn new<'s>(
        sockets: impl IntoIterator<Item = &'s TcpListener>,
        manager: Manager,
    ) -> io::Result<Self> {
        let sockets = sockets.into_iter().map(TcpListener::try_clone);
        Ok(Self {
            sockets: sockets.collect::<io::Result<_>>()?,
            manager,
        })
    }

    /// Starts the new process. Returns true once it serves, and false if it does not take over.
    /// After true, this process must shut down.
    pub async fn start(&self) -> bool {
        match self.try_start().await {
            Ok(pid) => {
                info!(pid, "handed over: another process serves");
                self.manager.hand_over_to(pid);
                true
            }
            Err(failed) => {
                error!("the new process does not take over, this one keeps serving: {failed}");
                false
            }
        }
    }

    async fn try_start(&self) -> Result<u32, Failed> {
        let (ours, theirs) = UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let mut ours = tokio::net::UnixStream::from_std(ours)?;
        let mut successor = Successor(Some(self.spawn(theirs)?));
        let served = timeout(MOST_START, ours.read(&mut [0])).await;
        match served {
            Ok(Ok(1)) => successor.release().ok_or(Failed::Late),
            // Its end of the socket is closed, so it has exited.
            Ok(_) => Err(Failed::Ended(successor.end()?)),
            Err(_elapsed) => {
                _ = successor.end();
                Err(Failed::Late)
            }
        }
    }

    /// Starts the same program with the same arguments.
    fn spawn(&self, ready: UnixStream) -> io::Result<Child> {
        let mut arguments = env::args_os();
        // The path of the command line: after an upgrade it leads to the new program.
        let program = arguments.next().ok_or(io::ErrorKind::NotFound)?;
        let passed = in_a_row(&self.sockets)?;
        let first = passed.first().ok_or(io::ErrorKind::NotFound)?.as_raw_fd();
        Command::new(program)
            .args(arguments)
            .env("LISTEN_FDS", passed.len().to_string())
            .env("LISTEN_FDS_FIRST_FD", first.to_string())
            .env(HANDOVER, "1")
            // These are about this process.
            .env_remove("LISTEN_PID")
            .env_remove("LISTEN_FDNAMES")
            .env_remove("WATCHDOG_PID")
            .stdin(Stdio::from(OwnedFd::from(ready)))
            .spawn()
    }
}

/// A process that is to take over; killed when this is dropped, unless it is released.
struct Successor(Option<Child>);

impl Successor {
    /// Lets the process run on and returns its pid.
    fn release(&mut self) -> Option<u32> {
        self.0.take().map(|child| child.id())
    }

    fn end(&mut self) -> io::Result<std::process::ExitStatus> {
        let mut child = self.0.take().ok_or(io::ErrorKind::NotFound)?;
        // It may have exited already.
        _ = child.kill();
        child.wait()
    }
}

impl Drop for Successor {
    fn drop(&mut self) {
        _ = self.end();
    }
}

/// Returns duplicates with consecutive numbers, which a new process inherits.
fn in_a_row(sockets: &[TcpListener]) -> io::Result<Vec<OwnedFd>> {
    const TRIES: i32 = 64;
    let count = i32::try_from(sockets.len()).unwrap_or(i32::MAX);
    // From the top, because connections take the lowest free numbers.
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let top = i32::try_from(limit.min(1 << 16)).unwrap_or(1 << 16);
    for attempt in 1..=TRIES {
        let first = top - attempt.saturating_mul(count);
        if first < 3 {
            break;
        }
        let duplicates = (first..)
            .zip(sockets)
            .map(|(number, socket)| duplicate_as(socket.as_fd(), number));
        if let Some(passed) = duplicates.collect::<io::Result<Option<Vec<_>>>>()? {
            for socket in &passed {
                fcntl_setfd(socket, FdFlags::empty())?;
            }
            return Ok(passed);
        }
    }
    Err(io::Error::other("no descriptors in a row are free"))
}

/// Returns a duplicate with this number, or `None` if the number is taken.
fn duplicate_as(socket: BorrowedFd<'_>, number: i32) -> io::Result<Option<OwnedFd>> {
    match fcntl_dupfd_cloexec(socket, number) {
        Ok(duplicate) => Ok((duplicate.as_raw_fd() == number).then_some(duplicate)),
        // All numbers from there to the top are taken.
        Err(Errno::MFILE) => Ok(None),
        Err(error) => Err(error.into()),
    }
}
