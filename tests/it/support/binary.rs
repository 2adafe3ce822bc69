//! The real program, started as an admin starts it.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::JoinHandle;
use std::time::Instant;

use rustix::process::{Pid, Signal};
use serde_json::Value;
use tempfile::TempDir;

use super::proxy::{SETTINGS, application, ask, metric, write_files};
use super::{MAX_WAIT, PUBLIC, eventually};

/// `ndes-proxy run`, until it exits or is dropped. Its log is JSON.
pub struct Binary {
    pub https: SocketAddr,
    pub admin: SocketAddr,
    process: Child,
    lines: Arc<Mutex<Vec<Value>>>,
    /// While this is locked, the output of the program is not read.
    output: Arc<Mutex<()>>,
    reader: Option<JoinHandle<()>>,
    files: Arc<TempDir>,
}

impl Binary {
    /// `settings`: further sections of the configuration.
    pub fn run(upstream: SocketAddr, settings: &str) -> Self {
        Self::listening(upstream, "", settings)
    }

    /// `listen`: further lines of that section.
    pub fn listening(upstream: SocketAddr, listen: &str, settings: &str) -> Self {
        let files = tempfile::tempdir().unwrap();
        write_files(files.path());
        let config = files.path().join("ndes-proxy.toml");
        let standard = SETTINGS.replace("[listen]", &format!("[listen]\n{listen}"));
        let text = format!(
            "{standard}\n{settings}\n[log]\nformat = \"json\"\n{}",
            application(PUBLIC, "public", upstream)
        );
        std::fs::write(&config, text).unwrap();
        Self::start(Arc::new(files), |_| {})
    }

    /// Starts with the configuration in `files`. `change` may add to the environment.
    pub fn start(files: Arc<TempDir>, change: impl FnOnce(&mut Command)) -> Self {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"));
        command.arg("run").arg("--config");
        command
            .arg(files.path().join("ndes-proxy.toml"))
            .stdout(Stdio::piped());
        change(&mut command);
        let mut process = command.spawn().unwrap();

        let stdout = BufReader::new(process.stdout.take().unwrap());
        let lines = Arc::new(Mutex::new(Vec::new()));
        let output = Arc::new(Mutex::new(()));
        let (kept, readable) = (lines.clone(), output.clone());
        let reader = std::thread::spawn(move || {
            for line in stdout.lines() {
                drop(readable.lock().unwrap());
                let line = line.expect("UTF-8");
                let json = serde_json::from_str(&line);
                kept.lock()
                    .unwrap()
                    .push(json.expect("a JSON object a line"));
            }
        });
        let mut binary = Self {
            https: ([0; 4], 0).into(),
            admin: ([0; 4], 0).into(),
            process,
            lines,
            output,
            reader: Some(reader),
            files,
        };
        eventually("serving", || binary.serving().is_some());
        let serving = binary.serving().unwrap();
        let text = |key: &str| serving[key].as_str().unwrap().to_owned();
        binary.https = text("https").trim_matches(['[', ']']).parse().unwrap();
        binary.admin = text("admin").parse().unwrap();
        binary
    }

    fn serving(&self) -> Option<Value> {
        let lines = self.lines();
        lines.into_iter().find(|line| line["message"] == "serving")
    }

    /// Stops reading the log until the result is dropped.
    pub fn block_output(&self) -> MutexGuard<'_, ()> {
        self.output.lock().unwrap()
    }

    /// The directory of its configuration, `ndes-proxy.toml`, and of the files that it names.
    pub fn directory(&self) -> &Path {
        self.files.path()
    }

    /// Requests a reload and waits until it is complete, whether it succeeded or failed.
    pub fn reload(&self) {
        let reloads = || self.metric("ndes_proxy_reloads_total", &[]);
        let before = reloads();
        self.signal(Signal::HUP);
        eventually("a reload", || reloads() > before);
    }

    /// Returns the sum of the series `name` that have these labels; 0 if there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let text = String::from_utf8(ask(self.admin, "/metrics").body).unwrap();
        metric(&text, name, labels)
    }

    /// Returns the log lines so far whose message begins with `start`.
    pub fn messages(&self, start: &str) -> Vec<String> {
        let lines = self.lines();
        let messages = lines.iter().filter_map(|line| line["message"].as_str());
        let found = messages.filter(|message| message.starts_with(start));
        found.map(str::to_owned).collect()
    }

    /// Returns all log lines so far.
    pub fn lines(&self) -> Vec<Value> {
        self.lines.lock().unwrap().clone()
    }

    /// Returns the access lines so far.
    pub fn access_lines(&self) -> Vec<Value> {
        let mut lines = self.lines();
        lines.retain(|line| line["target"] == "access");
        lines
    }

    pub fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.process);
        rustix::process::kill_process(pid, signal).unwrap();
    }

    /// Waits until the process itself has exited, even if another process writes to its log.
    pub fn wait_alone(&mut self) -> ExitStatus {
        let mut status = None;
        eventually("its exit", || {
            status = self.process.try_wait().unwrap();
            status.is_some()
        });
        status.unwrap()
    }

    /// Waits for the exit. Returns the exit status and the whole log.
    pub fn wait(mut self) -> (ExitStatus, Vec<Value>) {
        let deadline = Instant::now() + MAX_WAIT;
        // Its standard output ends with it.
        let reader = self.reader.take().unwrap();
        while !reader.is_finished() {
            assert!(Instant::now() < deadline, "the process did not exit");
            std::thread::yield_now();
        }
        reader.join().unwrap();
        (self.process.wait().unwrap(), self.lines())
    }
}

impl Drop for Binary {
    fn drop(&mut self) {
        _ = self.process.kill();
        _ = self.process.wait();
    }
}
