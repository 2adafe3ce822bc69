//! The real app, in this process, on free ports.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::thread::JoinHandle;

use ndes_proxy::config::Config;
use ndes_proxy::observe::log::Log;
use ndes_proxy::operate::app::{self, StopCause};
use ndes_proxy::operate::systemd::Systemd;
use tempfile::TempDir;
use tokio::sync::oneshot;

use super::client::{Connect, Connection, Response};
use super::pki::pki;
use super::{INTERNAL, MAX_WAIT, MSCEP, OTHER, PUBLIC, eventually};

/// A proxy that runs until it is dropped, which asserts that it shuts down cleanly.
pub struct Proxy {
    /// The first of `listeners`.
    pub https: SocketAddr,
    pub listeners: Vec<SocketAddr>,
    pub admin: SocketAddr,
    running: Option<(oneshot::Sender<()>, JoinHandle<std::io::Result<()>>)>,
    /// The number of connections that a test closes by a defect on purpose.
    pub panics: f64,
    _files: TempDir,
}

impl Proxy {
    /// Starts one application for `PUBLIC`, whose upstream is dialled at `upstream`. Request rates
    /// are out of the way and all else has its default, unless `change` changes it.
    pub fn start(upstream: SocketAddr, change: impl FnOnce(&mut Config)) -> Self {
        Self::start_text(&application(PUBLIC, "public", upstream), change)
    }

    /// Two applications, `PUBLIC` first and then `OTHER`, each with a certificate and an upstream.
    pub fn start_two(first: SocketAddr, second: SocketAddr) -> Self {
        let text = application(PUBLIC, "public", first) + &application(OTHER, "other", second);
        Self::start_text(&text, |_| {})
    }

    /// `applications`: those sections of a configuration, with the files that [`write_files`]
    /// writes.
    pub fn start_text(applications: &str, change: impl FnOnce(&mut Config)) -> Self {
        let files = tempfile::tempdir().unwrap();
        write_files(files.path());
        let text = SETTINGS.to_owned() + applications;
        let (mut config, warnings) =
            Config::parse(&files.path().join("ndes-proxy.toml"), &text).expect("configuration");
        change(&mut config);
        let bound = app::build(&config, warnings, Systemd::default(), Log::default());
        let bound = bound.expect("the app");

        let (listeners, admin) = (bound.https.clone(), bound.admin);
        let (stop, stopped) = oneshot::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()?;
            // A dropped sender means stop, too.
            let stopped = async {
                _ = stopped.await;
                StopCause::Signal
            };
            runtime.block_on(async { bound.run(stopped).await })
        });
        let proxy = Self {
            https: listeners[0],
            listeners,
            admin,
            running: Some((stop, thread)),
            panics: 0.0,
            _files: files,
        };
        eventually("ready", || proxy.ask_admin("/readyz").status == 200);
        proxy
    }

    /// A TLS connection as a device opens it: SNI `PUBLIC`, HTTP/1.1.
    pub fn connect(&self) -> Connection {
        Connect::to(self.https).open()
    }

    /// Sends a request on a new connection and returns the response. `target` is sent as it is in
    /// the request line.
    pub fn get(&self, target: &str) -> Response {
        let mut connection = self.connect();
        connection.send(format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        connection.response()
    }

    pub fn post(&self, target: &str, body: &[u8]) -> Response {
        let mut connection = self.connect();
        let length = body.len();
        connection.send(format!(
            "POST {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: {length}\r\n\r\n"
        ));
        connection.send(body);
        connection.response()
    }

    /// Returns the response of the admin listener.
    pub fn ask_admin(&self, path: &str) -> Response {
        ask(self.admin, path)
    }

    /// Returns all series as Prometheus gets them.
    pub fn metrics(&self) -> String {
        String::from_utf8(self.ask_admin("/metrics").body).unwrap()
    }

    /// Returns the sum of the series `name` that have these labels; 0 if there is none.
    pub fn metric(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        metric(&self.metrics(), name, labels)
    }

    /// Waits until that sum is `value`: a response is counted just after its last byte was sent.
    pub fn await_metric(&self, name: &str, labels: &[(&str, &str)], value: f64) {
        eventually(&format!("{name} {labels:?} is {value}"), || {
            self.metric(name, labels) == value
        });
    }

    /// Waits until this many requests were refused for `reason`.
    pub fn await_refusals(&self, reason: &str, count: u32) {
        let labels = [("reason", reason)];
        self.await_metric("ndes_proxy_refusals_total", &labels, f64::from(count));
    }

    /// Begins the shutdown as SIGTERM does; call `wait` next.
    pub fn begin_stop(&mut self) -> Stopping {
        assert_eq!(self.metric("ndes_proxy_panics_total", &[]), self.panics);
        let (stop, thread) = self.running.take().expect("running");
        _ = stop.send(());
        Stopping(thread)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        if std::thread::panicking() {
            // One failure is enough; dropping the sender stops the proxy.
            self.running = None;
        } else if self.running.is_some() {
            self.begin_stop().wait();
        }
    }
}

/// A proxy that is shutting down.
pub struct Stopping(JoinHandle<std::io::Result<()>>);

impl Stopping {
    pub fn wait(self) {
        self.0.join().expect("no panic").expect("a clean shutdown");
    }

    pub fn has_ended(&self) -> bool {
        self.0.is_finished()
    }
}

/// `[[application]]` for `public_name` with the certificate `{stem}.pem`. The proxy does not probe
/// NDES, so only the test sends requests to it.
pub fn application(public_name: &str, stem: &str, upstream: SocketAddr) -> String {
    format!(
        r#"
[[application]]
name = "{stem}"
public_names = ["{public_name}"]
certificate = {{ chain = "{stem}.pem", key = "{stem}.key" }}
[[application.upstream]]
url = "https://{INTERNAL}"
address = "{upstream}"
ca_roots = ["internal-root.pem"]
probe = {{ interval = "off" }}
"#
    )
}

/// Writes `public.pem` and `other.pem` with their keys, and `internal-root.pem`.
pub fn write_files(directory: &Path) {
    pki().public.write_to(directory, "public").unwrap();
    pki().other.write_to(directory, "other").unwrap();
    pki()
        .internal_root
        .write_to(directory, "internal-root")
        .unwrap();
}

/// Uses free ports, and rates that no test reaches by accident.
pub const SETTINGS: &str = r#"
[listen]
https = ["127.0.0.1:0"]
admin = "127.0.0.1:0"
workers = 2
[rate_limit]
per_client = { per_second = 1000000, burst = 1000000 }
refused_per_client = { per_second = 1000000, burst = 1000000 }
global = { per_second = 1000000, burst = 1000000 }
"#;

/// Returns the target of a GET that carries a message, `bytes` long in all.
pub fn target_of(bytes: usize) -> String {
    let start = format!("{MSCEP}?operation=PKIOperation&message=");
    let message = "MIA+/=%2B".chars().cycle().take(bytes - start.len());
    start.clone() + &message.collect::<String>()
}

/// Sends a plain HTTP request to an admin listener.
pub fn ask(admin: SocketAddr, path: &str) -> Response {
    let mut tcp = TcpStream::connect(admin).expect("admin listener");
    tcp.set_read_timeout(Some(MAX_WAIT)).unwrap();
    write!(
        tcp,
        "GET {path} HTTP/1.1\r\nHost: admin\r\nConnection: close\r\n\r\n"
    )
    .unwrap();
    let mut raw = Vec::new();
    tcp.read_to_end(&mut raw).unwrap();
    Response::parse(&raw).expect("an answer")
}

/// Returns the sum of the series `name` with these labels in a text of Prometheus.
pub fn metric(text: &str, name: &str, labels: &[(&str, &str)]) -> f64 {
    let values = text.lines().filter_map(|line| {
        let (series, value) = line.rsplit_once(' ')?;
        let (series_name, series_labels) = series.split_once('{').unwrap_or((series, ""));
        let has = |(key, value): &(&str, &str)| {
            let wanted = format!("{key}=\"{value}\"");
            series_labels
                .trim_end_matches('}')
                .split(',')
                .any(|label| label == wanted)
        };
        (series_name == name && labels.iter().all(has)).then(|| value.parse::<f64>().unwrap())
    });
    values.sum()
}
