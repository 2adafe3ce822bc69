//! The configuration: one TOML file, read by `run`, `check` and `healthcheck`.
//!
//! Every key has a default that is right for NDES; only names, certificates and the upstream must
//! be said. `config/ndes-proxy.toml` lists all keys.

mod application;
mod example;
mod read;
pub mod types;

use std::net::SocketAddr;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use std::time::Duration;

use ipnet::IpNet;
use serde::Deserialize;

pub use application::{Application, CertificateFiles, ClientAddress, Upstream};
use read::{Document, Section};
use types::{Count, Period, Quota};

use crate::problem::{Finding, Place, Problems};
use crate::text;

/// What the file says, defaults filled in. Paths are relative to the file no more.
#[derive(Clone, Debug)]
pub struct Config {
    pub listen: Listen,
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub rate_limit: RateLimit,
    pub log: Log,
    /// At least one. A handshake without SNI belongs to the first.
    pub applications: Vec<Application>,
}

#[derive(Clone, Debug)]
pub struct Listen {
    pub https: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub protocols: Vec<Protocol>,
    /// Threads that serve connections.
    pub workers: usize,
    /// Where connections begin with a PROXY protocol header: the networks it is believed from.
    pub proxies: Option<Vec<IpNet>>,
}

/// What ALPN offers (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    #[serde(rename = "http/1.1")]
    Http1,
    #[serde(rename = "h2")]
    H2,
}

/// Bytes, except where the name says otherwise.
#[derive(Clone, Debug)]
pub struct Limits {
    pub uri_bytes: usize,
    /// Name and value of one field line.
    pub header_field_bytes: usize,
    /// Number of field lines.
    pub header_fields: usize,
    /// Request line and all field lines together.
    pub head_bytes: usize,
    pub body_bytes: usize,
    /// Bodies held in memory, all connections together.
    pub buffered_bytes: usize,
    pub connections: usize,
    pub connections_per_client: usize,
}

/// Each is the total of its phase, not the wait between two reads.
#[derive(Clone, Debug)]
pub struct Timeouts {
    pub tls_handshake: Duration,
    pub request_head: Duration,
    pub request_body: Duration,
    pub keep_alive: Duration,
    pub response_write: Duration,
    pub upstream_connect: Duration,
    pub upstream_response: Duration,
    pub upstream_pki_operation: Duration,
    pub upstream_body: Duration,
    pub shutdown: Duration,
}

#[derive(Clone, Debug)]
pub struct RateLimit {
    pub per_client: Quota,
    pub refused_per_client: Quota,
    pub global: Quota,
    /// Networks with quotas of their own; the narrowest one that holds a client counts.
    pub networks: Vec<NetworkRate>,
}

#[derive(Clone, Debug)]
pub struct NetworkRate {
    pub cidr: IpNet,
    pub per_client: Quota,
    pub refused_per_client: Quota,
}

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

impl Config {
    /// Reads and parses `file`; the certificates it names are read by `generation`.
    /// The configuration comes with the warnings, an error with all problems at once.
    pub fn load(file: &Path) -> Result<(Self, Problems), Problems> {
        let mut problems = Problems::default();
        let bytes = std::fs::read(file).map_err(|error| {
            let cure = match error.kind() {
                std::io::ErrorKind::PermissionDenied => {
                    "let the user that runs the proxy read it (chown or chmod)"
                }
                _ => "give the path of the configuration with --config FILE",
            };
            problems.add(
                &Place::file(file),
                Finding::error(format!("cannot be read: {error}"), cure),
            );
            problems.clone()
        })?;
        let text = text::decode(&bytes).ok_or_else(|| {
            let cure = "save the file as UTF-8";
            problems.add(
                &Place::file(file),
                Finding::error("this is neither UTF-8 nor UTF-16", cure),
            );
            problems.clone()
        })?;
        Self::parse(file, &text)
    }

    /// `file` names the text in problems and is what relative paths are relative to.
    pub fn parse(file: &Path, text: &str) -> Result<(Self, Problems), Problems> {
        let document = Document::new(file, text);
        let directory = file.parent().map_or_else(PathBuf::new, Path::to_owned);
        let Some(mut root) = document.root() else {
            return Err(document.into_problems());
        };
        let config = Self {
            listen: listen(root.section("listen")),
            limits: limits(root.section("limits")),
            timeouts: timeouts(root.section("timeouts")),
            rate_limit: rate_limit(root.section("rate_limit")),
            log: log(root.section("log")),
            applications: application::read_all(&mut root, &directory),
        };
        root.finish();
        let problems = document.into_problems();
        if problems.has_errors() {
            Err(problems)
        } else {
            Ok((config, problems))
        }
    }
}

fn listen(mut section: Section<'_, '_>) -> Listen {
    let https = section.list("https").unwrap_or_default();
    let protocols = section.list("protocols").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let listen = Listen {
        https: or_default(https, [SocketAddr::from(([0, 0, 0, 0], 443))]),
        admin: section.value_or("admin", SocketAddr::from(([127, 0, 0, 1], 9464))),
        protocols: or_default(protocols, [Protocol::Http1]),
        workers: section.value_or("workers", Count::<1, 1024>(cores)).0,
        proxies: proxies(&mut section),
    };
    let mut seen = vec![listen.admin];
    for address in &listen.https {
        // Port 0 is another one each time.
        if address.port() != 0 && seen.contains(address) {
            let finding = Finding::error(
                format!("{address} is listened on twice"),
                "give https and admin an address and port each",
            );
            section.document.report(&section.place("https"), finding);
        }
        seen.push(*address);
    }
    section.finish();
    listen
}

fn proxies(section: &mut Section<'_, '_>) -> Option<Vec<IpNet>> {
    let cure = "write trusted_proxies = [\"10.0.0.0/24\"]: the addresses of the load balancer";
    let enabled = section.value_or("proxy_protocol", false);
    let trusted = match enabled {
        true => section.required_list("trusted_proxies", cure),
        false => section.list("trusted_proxies"),
    };
    let networks = trusted.unwrap_or_default().into_iter();
    enabled.then(|| networks.map(|network| network.value).collect())
}

fn limits(mut section: Section<'_, '_>) -> Limits {
    const MEGABYTE: usize = 1 << 20;
    let limits = Limits {
        // What http::Uri can hold, and what HTTP.sys takes for a field at most.
        uri_bytes: section.value_or("uri_bytes", Count::<64, 65_534>(65_534)).0,
        header_field_bytes: section
            .value_or("header_field_bytes", Count::<64, MEGABYTE>(65_534))
            .0,
        header_fields: section.value_or("header_fields", Count::<8, 1_000>(100)).0,
        head_bytes: section
            .value_or("head_bytes", Count::<1_024, MEGABYTE>(131_072))
            .0,
        body_bytes: section
            .value_or("body_bytes", Count::<1_024, { 64 * MEGABYTE }>(262_144))
            .0,
        buffered_bytes: section
            .value_or(
                "buffered_bytes",
                Count::<MEGABYTE, { 1 << 40 }>(256 * MEGABYTE),
            )
            .0,
        connections: section
            .value_or("connections", Count::<1, 1_000_000>(8_000))
            .0,
        connections_per_client: section
            .value_or("connections_per_client", Count::<1, 1_000_000>(1_000))
            .0,
    };
    let head = ("head_bytes", limits.head_bytes);
    let buffered = ("buffered_bytes", limits.buffered_bytes);
    for (key, inner, (around, outer)) in [
        ("uri_bytes", limits.uri_bytes, head),
        ("header_field_bytes", limits.header_field_bytes, head),
        ("body_bytes", limits.body_bytes, buffered),
    ] {
        if inner >= outer {
            section.document.report(
                &section.place(key),
                Finding::warning(
                    format!("{inner} is never reached: {around} = {outer} refuses it before"),
                    format!("raise {around}, or lower {key}"),
                ),
            );
        }
    }
    section.finish();
    limits
}

fn timeouts(mut section: Section<'_, '_>) -> Timeouts {
    let mut seconds = |key, default| {
        section
            .value_or(key, Period(Duration::from_secs(default)))
            .0
    };
    let timeouts = Timeouts {
        tls_handshake: seconds("tls_handshake", 30),
        request_head: seconds("request_head", 30),
        request_body: seconds("request_body", 60),
        keep_alive: seconds("keep_alive", 75),
        response_write: seconds("response_write", 120),
        upstream_connect: seconds("upstream_connect", 5),
        upstream_response: seconds("upstream_response", 20),
        upstream_pki_operation: seconds("upstream_pki_operation", 180),
        upstream_body: seconds("upstream_body", 60),
        shutdown: seconds("shutdown", 30),
    };
    section.finish();
    timeouts
}

fn rate_limit(mut section: Section<'_, '_>) -> RateLimit {
    let per_client = section.value_or("per_client", quota(100, 1_000));
    let refused_per_client = section.value_or("refused_per_client", quota(5, 100));
    let global = section.value_or("global", quota(1_000, 2_000));
    let mut networks = Vec::new();
    for mut network in section.sections("network", "write [[rate_limit.network]]") {
        let cidr = network.required("cidr", "write cidr = \"203.0.113.0/24\"");
        let per_client = network.value_or("per_client", per_client);
        let refused_per_client = network.value_or("refused_per_client", refused_per_client);
        if let Some(cidr) = cidr {
            networks.push(NetworkRate {
                cidr: cidr.value,
                per_client,
                refused_per_client,
            });
        }
        network.finish();
    }
    networks.sort_by_key(|network| std::cmp::Reverse(network.cidr.prefix_len()));
    section.finish();
    RateLimit {
        per_client,
        refused_per_client,
        global,
        networks,
    }
}

fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log {
        format: section.value_or("format", LogFormat::Text),
        level: section.value_or("level", LogLevel::Info),
    };
    section.finish();
    log
}

fn quota(per_second: u32, burst: u32) -> Quota {
    let positive = |number| NonZeroU32::new(number).unwrap_or(NonZeroU32::MIN);
    Quota {
        per_second: positive(per_second),
        burst: positive(burst),
    }
}

fn or_default<T, const N: usize>(list: Vec<crate::problem::Located<T>>, default: [T; N]) -> Vec<T> {
    if list.is_empty() {
        default.into()
    } else {
        list.into_iter().map(|item| item.value).collect()
    }
}
