//! The proxies under load: ndes-proxy, nginx and HAProxy. Each runs as a child process in the
//! foreground, with an equivalent configuration. The three configuration files are beside this one.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, geteuid, kill_process};

use crate::{Result, procfs};

/// Maximum time for a proxy to listen, and to exit after SIGTERM. It is this long because of
/// valgrind.
const PROCESS_TIMEOUT: Duration = Duration::from_secs(60);

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NdesProxy,
    Nginx,
    Haproxy,
}

/// An installed proxy.
pub(crate) struct Proxy {
    pub(crate) kind: Kind,
    pub(crate) version: String,
    template: String,
    /// The program, preceded by the tool that runs it and that tool's arguments, if any.
    command: Vec<OsString>,
}

/// A running proxy. Dropping it ends the process.
pub(crate) struct RunningProxy {
    pub(crate) kind: Kind,
    pub(crate) address: SocketAddr,
    /// Time from its start until it listened.
    pub(crate) startup: Duration,
    child: Child,
    log: File,
    log_path: PathBuf,
}

impl Kind {
    pub(crate) const ALL: [Self; 3] = [Self::NdesProxy, Self::Nginx, Self::Haproxy];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::NdesProxy => "ndes-proxy",
            Self::Nginx => "nginx",
            Self::Haproxy => "haproxy",
        }
    }

    pub(crate) fn template(self) -> &'static str {
        match self {
            Self::NdesProxy => include_str!("ndes-proxy.toml"),
            Self::Nginx => include_str!("nginx.conf"),
            Self::Haproxy => include_str!("haproxy.cfg"),
        }
    }

    /// Returns the arguments to run with `config` in the foreground.
    fn arguments(self, config: &Path) -> Vec<PathBuf> {
        match self {
            Self::NdesProxy => vec!["run".into(), "--config".into(), config.into()],
            Self::Nginx => vec!["-c".into(), config.into()],
            Self::Haproxy => vec!["-db".into(), "-f".into(), config.into()],
        }
    }
}

impl Proxy {
    /// Returns nginx or HAProxy, or `None` if it is not installed.
    pub(crate) fn peer(kind: Kind) -> Option<Self> {
        let program = installed(kind.name())?;
        let version = version_line(&program)?;
        Some(Self {
            kind,
            version,
            template: kind.template().to_owned(),
            command: vec![program.into()],
        })
    }

    /// Returns ndes-proxy: `program`, or the one that cargo has just built.
    pub(crate) fn ndes_proxy(program: Option<PathBuf>) -> Self {
        let program = program.unwrap_or_else(|| env!("CARGO_BIN_EXE_ndes-proxy").into());
        Self {
            kind: Kind::NdesProxy,
            version: concat!("ndes-proxy version ", env!("CARGO_PKG_VERSION")).to_owned(),
            template: Kind::NdesProxy.template().to_owned(),
            command: vec![program.into()],
        }
    }

    /// Returns this proxy, run by `tool`, which must run it within the tool's own process.
    pub(crate) fn run_by(mut self, tool: Vec<OsString>) -> Self {
        self.command.splice(0..0, tool);
        self
    }

    /// Returns this proxy with another configuration.
    pub(crate) fn with_template(mut self, template: String) -> Self {
        self.template = template;
        self
    }

    /// Starts the proxy with `workers` threads or processes and the PKI in `dir`, in front of the
    /// origin on port `origin`. Returns when it listens.
    pub(crate) fn start(&self, dir: &Path, origin: u16, workers: usize) -> Result<RunningProxy> {
        let name = self.kind.name();
        let port = free_port()?;
        // By default nginx changes from root to a user that cannot read the directory.
        let user = if geteuid().is_root() {
            "user root;"
        } else {
            ""
        };
        let config = self
            .template
            .replace("@PORT@", &port.to_string())
            .replace("@ADMIN@", &free_port()?.to_string())
            .replace("@ORIGIN@", &origin.to_string())
            .replace("@WORKERS@", &workers.to_string())
            .replace("@USER@", user)
            .replace("@DIR@", &dir.display().to_string());
        let config_path = dir.join(format!("{name}.conf"));
        fs::write(&config_path, config)?;

        let log_path = dir.join(format!("{name}-{port}.log"));
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log_path)?;
        let began = Instant::now();
        let (program, first) = self.command.split_first().ok_or("no program")?;
        let child = Command::new(program)
            .args(first)
            .args(self.kind.arguments(&config_path))
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log.try_clone()?)
            // Ctrl-C reaches only the bench, which then ends its child processes.
            .process_group(0)
            .spawn()
            .map_err(|e| format!("{}: {e}", program.display()))?;
        let mut running = RunningProxy {
            kind: self.kind,
            address: (Ipv4Addr::LOCALHOST, port).into(),
            startup: Duration::ZERO,
            child,
            log,
            log_path,
        };
        running.wait_until_listening()?;
        running.startup = began.elapsed();
        Ok(running)
    }
}

impl RunningProxy {
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Empties the log, which includes the access log of ndes-proxy, so that a long run does not
    /// fill the disk.
    pub(crate) fn truncate_log(&self) -> Result<()> {
        Ok(self.log.set_len(0)?)
    }

    pub(crate) fn reload(&self) {
        signal(self.pid(), Signal::HUP);
    }

    /// Returns the last lines of the log, which explain an error.
    pub(crate) fn log_tail(&self) -> String {
        let text = fs::read(&self.log_path).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(2000)..]);
        format!("log of {}: {}", self.kind.name(), text.trim())
    }

    fn wait_until_listening(&mut self) -> Result<()> {
        let deadline = Instant::now() + PROCESS_TIMEOUT;
        while TcpStream::connect(self.address).is_err() {
            if let Some(status) = self.child.try_wait()? {
                let log = self.log_tail();
                return Err(format!("{} exited with {status}; {log}", self.kind.name()).into());
            }
            if Instant::now() > deadline {
                let log = self.log_tail();
                return Err(format!("{} does not listen; {log}", self.kind.name()).into());
            }
            thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }
}

impl Drop for RunningProxy {
    fn drop(&mut self) {
        // Listed first, so that the workers are still known if the parent has to be killed.
        let tree = procfs::tree(self.pid()).unwrap_or_default();
        signal(self.pid(), Signal::TERM);
        let deadline = Instant::now() + PROCESS_TIMEOUT;
        while let Ok(None) = self.child.try_wait() {
            if Instant::now() > deadline {
                for pid in tree {
                    signal(pid, Signal::KILL);
                }
                let _ = self.child.wait();
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
    }
}

fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = pid.try_into().ok().and_then(Pid::from_raw) {
        // It may already have exited.
        let _ = kill_process(pid, signal);
    }
}

/// Finds a program. Debian installs servers in directories that only root has in PATH.
fn installed(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/sbin".into(), "/usr/local/sbin".into()])
        .map(|dir| dir.join(name))
        .find(|program| program.is_file())
}

/// Returns the first line of the output of `-v`, or `None` if the program cannot be run.
fn version_line(program: &Path) -> Option<String> {
    let output = Command::new(program).arg("-v").output().ok()?;
    // nginx writes its version to standard error.
    let text = [output.stdout, output.stderr].concat();
    let text = String::from_utf8_lossy(&text);
    Some(text.lines().next()?.to_owned())
}

fn free_port() -> Result<u16> {
    Ok(TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?
        .local_addr()?
        .port())
}
