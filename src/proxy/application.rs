//! A published application: its rules, its TLS identity and the NDES servers behind it.

use std::sync::Arc;
use std::time::Duration;

use http::HeaderValue;
use rustls::ServerConfig;
use rustls::server::ProducesTickets;

use super::files::{Files, UpstreamFiles};
use super::process::Process;
use super::rules::Rules;
use crate::base::problem::Diagnostic;
use crate::config::types::{DnsName, PublishedPath};
use crate::config::{self, ClientAddress, Config, PolicyModule, Protocol, ScepPolicy};
use crate::insight::{Health, ScepState, Thresholds};
use crate::tls::identity::Identity;
use crate::tls::server;
use crate::upstream::{self, Client, Queue};

/// Everything that the requests for one application need. Immutable; a reload makes a new one.
pub struct Application {
    /// Unique. Metric label and log field.
    pub name: String,
    /// In the order of the configuration.
    pub public_names: Vec<DnsName>,
    pub rules: Rules,
    pub tls: Arc<ServerConfig>,
    /// One for each configured certificate.
    pub identities: Vec<Identity>,
    pub client_address: ClientAddress,
    pub policy_module: PolicyModule,
    pub scep_policy: ScepPolicy,
    /// What its SCEP messages have shown, through every reload.
    pub scep: Arc<ScepState>,
    /// The NDES servers. The configuration requires at least one, and the first one is used.
    pub upstreams: Vec<Arc<Upstream>>,
}

/// One NDES server behind an application.
pub struct Upstream {
    pub client: Arc<Client>,
    /// Sends requests by `client`, and sends them again if that is allowed.
    pub stack: upstream::Stack,
    /// Kept through reloads, so that old and new requests together stay below `max_in_flight`.
    pub queue: Arc<Queue>,
    /// Kept through reloads.
    pub health: Arc<Health>,
    /// Sent as Host.
    pub host: HeaderValue,
    /// Names that a Location header field must not show to clients.
    pub internal_names: Vec<DnsName>,
    /// The most bytes of request line and header fields that the server accepts.
    pub max_request_head: Option<usize>,
    /// `None` if the server is never probed.
    pub probe: Option<ProbePlan>,
}

/// When and how NDES is probed.
pub struct ProbePlan {
    pub interval: Duration,
    pub thresholds: Thresholds,
    /// How often GetCACert is requested.
    pub certificates: Duration,
    /// The first published path.
    pub path: PublishedPath,
}

impl Application {
    /// `before` is the application of this name that the new one replaces.
    ///
    /// # Errors
    /// TLS cannot be set up with the certificates.
    pub(super) fn build(
        config: &Config,
        settings: &config::Application,
        files: Files,
        process: &Process,
        ticketer: &Arc<dyn ProducesTickets>,
        before: Option<&Self>,
    ) -> Result<Self, Diagnostic> {
        let certified = files.identities.iter();
        let certified = certified.map(|identity| identity.certified.clone());
        let tls = server::config(certified.collect(), alpn(config), ticketer.clone());
        let tls = tls.map_err(|error| {
            let what = format!("TLS cannot be set up: {error}");
            Diagnostic::error(what, "check the certificate and its key")
        })?;
        let upstreams = settings.upstreams.iter().zip(files.upstreams).enumerate();
        let upstreams = upstreams.map(|(index, (upstream, files))| {
            let before = before.and_then(|before| before.upstreams.get(index));
            Upstream::build(config, settings, upstream, files, process, before).map(Arc::new)
        });
        Ok(Self {
            name: settings.name.clone(),
            public_names: settings.public_names.clone(),
            rules: Rules::new(settings),
            tls,
            identities: files.identities,
            client_address: settings.client_address,
            policy_module: settings.policy_module,
            scep_policy: settings.scep.clone(),
            scep: process.scep.get(&settings.name, &process.metrics),
            upstreams: upstreams.collect::<Result<_, _>>()?,
        })
    }

    /// Returns the server to which requests are forwarded.
    pub fn upstream(&self) -> &Arc<Upstream> {
        &self.upstreams[0]
    }
}

impl AsRef<Rules> for Application {
    fn as_ref(&self) -> &Rules {
        &self.rules
    }
}

impl std::fmt::Debug for Application {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Application")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Upstream {
    fn build(
        config: &Config,
        application: &config::Application,
        upstream: &config::Upstream,
        files: UpstreamFiles,
        process: &Process,
        before: Option<&Arc<Self>>,
    ) -> Result<Self, Diagnostic> {
        let (metrics, name) = (&process.metrics, &application.name);
        let settings = settings(config, upstream, files.roots);
        let same = before.filter(|before| before.client.settings == settings);
        let client = match (same, files.trust) {
            (Some(same), _) => same.client.clone(),
            (None, Some(trust)) => Arc::new(Client::new(
                settings,
                trust.config,
                metrics.upstream(name),
                config.listen.workers,
            )),
            (None, None) => {
                let cure = "write the root of the CA that issued the certificate of NDES";
                return Err(Diagnostic::error("ca_roots has no root", cure));
            }
        };
        let queue = before.map(|before| before.queue.clone());
        let health = before.map(|before| before.health.clone());
        Ok(Self {
            stack: upstream::stack(client.clone()),
            client,
            queue: queue.unwrap_or_else(|| {
                Queue::new(upstream.max_in_flight, upstream.queue, metrics.queue(name))
            }),
            health: health.unwrap_or_else(|| Arc::new(Health::new(name, metrics.health(name)))),
            host: upstream.server_name.to_header(),
            internal_names: vec![upstream.server_name.clone(), upstream.origin.host.clone()],
            max_request_head: upstream.max_request_head_bytes,
            probe: ProbePlan::of(application, upstream),
        })
    }
}

impl ProbePlan {
    fn of(application: &config::Application, upstream: &config::Upstream) -> Option<Self> {
        let probe = upstream.probe;
        Some(Self {
            interval: probe.interval?,
            thresholds: Thresholds {
                failures: probe.failures,
                successes: probe.successes,
            },
            certificates: probe.certificates,
            path: application.paths.first()?.clone(),
        })
    }
}

/// Returns everything that identifies `upstream` and the way to it.
pub fn settings(
    config: &Config,
    upstream: &config::Upstream,
    roots: Vec<rustls::pki_types::CertificateDer<'static>>,
) -> upstream::Settings {
    upstream::Settings {
        origin: upstream.origin.clone(),
        address: upstream.address,
        server_name: upstream.server_name.clone(),
        roots,
        pin_sha256: upstream.pin_sha256.map(|pin| pin.0),
        timeouts: upstream::Timeouts {
            connect: config.timeouts.upstream_connect,
            response: config.timeouts.upstream_response,
            pki_operation: config.timeouts.upstream_pki_operation,
            body: config.timeouts.upstream_body,
        },
    }
}

fn alpn(config: &Config) -> Vec<Vec<u8>> {
    let offered = config.listen.protocols.iter();
    offered
        .map(|protocol| match protocol {
            Protocol::Http1 => b"http/1.1".to_vec(),
            Protocol::H2 => b"h2".to_vec(),
        })
        .collect()
}
