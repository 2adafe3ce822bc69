//! Everything that the configuration decides and a reload replaces, built whole or not at all.
//! `run`, `check` and a reload use this one builder.

mod gauges;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use rustls::server::ProducesTickets;

use crate::base::problem::{Located, Problems};
use crate::config::types::{DnsName, PublishedPath};
use crate::config::{
    Application, ClientAddress, Config, Limits, PolicyModule, Protocol, ScepPolicy, Timeouts,
};
use crate::insight;
use crate::proxy::process::Process;
use crate::proxy::site::Site;
use crate::tls::identity::{self, Identity};
use crate::tls::{client, files, server};
use crate::upstream::{self, Upstream};

/// One immutable state of the proxy. A request keeps the one it began with.
pub struct Generation {
    pub limits: Limits,
    /// Answered without a look at NDES, under any host.
    pub probe_path: Option<PublishedPath>,
    pub timeouts: Timeouts,
    pub site: Arc<Site>,
    /// In the order of the configuration, as `Site::applications`.
    pub applications: Vec<Published>,
    pub warnings: Problems,
    replaced: AtomicBool,
}

/// What an application needs beside the rules of the gate.
pub struct Published {
    pub tls: Arc<ServerConfig>,
    /// One for each configured certificate.
    pub identities: Vec<Identity>,
    /// What `upstream` was made of.
    upstream_settings: upstream::Settings,
    pub upstream: upstream::Stack,
    pub queue: Arc<upstream::Queue>,
    /// The most that the request line and the fields for the upstream may take.
    pub max_request_head: Option<usize>,
    /// Sent as Host.
    pub host: http::HeaderValue,
    /// Names that a Location may not show.
    pub internal_names: Vec<DnsName>,
    pub client_address: ClientAddress,
    pub policy_module: PolicyModule,
    pub policy: ScepPolicy,
    /// None: never.
    pub probe: Option<Probe>,
    /// What is known of its SCEP, through every reload.
    pub scep: Arc<insight::Application>,
}

/// How NDES is asked how it is.
pub struct Probe {
    pub interval: Duration,
    pub thresholds: insight::Thresholds,
    /// How often GetCACert is asked.
    pub certificates: Duration,
    /// The first published one.
    pub path: PublishedPath,
}

impl Probe {
    fn of(application: &Application) -> Option<Self> {
        let probe = application.upstream.probe;
        Some(Self {
            interval: probe.interval?,
            thresholds: insight::Thresholds {
                failures: probe.failures,
                successes: probe.successes,
            },
            certificates: probe.certificates,
            path: application.paths.first()?.clone(),
        })
    }
}

/// What the files of an application hold, read and checked.
pub struct Files {
    /// Those that can be used.
    pub identities: Vec<Identity>,
    pub roots: Vec<CertificateDer<'static>>,
    /// None where no root can be used.
    pub trust: Option<client::Trust>,
}

impl Published {
    /// As `ndes.corp.local:443`.
    pub fn upstream_name(&self) -> String {
        let origin = &self.upstream_settings.origin;
        format!("{}:{}", origin.host, origin.port)
    }
}

impl Generation {
    /// Reads every file that the configuration names. All problems come at once.
    ///
    /// `previous` is what the result will replace: an application that keeps its name keeps its
    /// queue, so that NDES never has more than `max_in_flight` requests of both, and where its
    /// upstream is the same also the connections.
    pub fn build(
        config: &Config,
        mut warnings: Problems,
        process: &Arc<Process>,
        ticketer: &Arc<dyn ProducesTickets>,
        previous: Option<&Self>,
    ) -> Result<Self, Problems> {
        let problems = &mut warnings;
        let files: Vec<_> = config
            .applications
            .iter()
            .map(|application| Files::read(application, problems))
            .collect();
        if problems.has_errors() {
            return Err(warnings);
        }
        let mut applications = Vec::new();
        for (application, files) in config.applications.iter().zip(files) {
            let Files {
                identities,
                roots,
                trust: Some(trust),
            } = files
            else {
                continue;
            };
            let certified = identities
                .iter()
                .map(|identity| identity.certified.clone())
                .collect();
            match server::config(certified, alpn(config), ticketer.clone()) {
                Ok(tls) => {
                    let before = previous.and_then(|all| all.published(&application.name));
                    let settings = settings(config, application, roots);
                    let upstream = match before.filter(|one| one.upstream_settings == settings) {
                        Some(before) => before.upstream.clone(),
                        None => upstream::stack(Arc::new(Upstream::new(
                            settings.clone(),
                            trust.config,
                            process.metrics.upstream(&application.name),
                            config.listen.workers,
                        ))),
                    };
                    let way = (settings, upstream);
                    applications.push(publish(application, identities, tls, way, process, before));
                }
                Err(error) => problems.add(
                    &application.location,
                    crate::base::problem::Diagnostic::error(
                        format!("TLS cannot be set up: {error}"),
                        "check the certificate and its key",
                    ),
                ),
            }
        }
        if warnings.has_errors() {
            return Err(warnings);
        }
        let built = Self {
            limits: config.limits.clone(),
            probe_path: config.listen.probe_path.clone(),
            timeouts: config.timeouts.clone(),
            site: Arc::new(Site::new(&config.applications)),
            applications,
            warnings,
            replaced: AtomicBool::new(false),
        };
        // Nothing fails from here on.
        for (application, published) in config.applications.iter().zip(&built.applications) {
            let to = &application.upstream;
            published.queue.resize(to.max_in_flight, to.queue);
        }
        built.show(&process.metrics, previous);
        Ok(built)
    }

    /// Puts `new` in the place of what is current.
    pub fn replace(current: &ArcSwap<Self>, new: Self) {
        let old = current.swap(Arc::new(new));
        // Whoever sees this finds the new one.
        old.replaced.store(true, Ordering::Release);
    }

    /// Whether a reload has put another one in its place. Asked for each request.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    fn published(&self, name: &str) -> Option<&Published> {
        self.named()
            .find_map(|(known, published)| (known == name).then_some(published))
    }

    /// All that is published, with its name.
    pub fn named(&self) -> impl Iterator<Item = (&str, &Published)> {
        let names = self
            .site
            .applications
            .iter()
            .map(|application| &application.name[..]);
        names.zip(&self.applications)
    }
}

impl Files {
    /// `problems` says what is missing.
    pub fn read(application: &Application, problems: &mut Problems) -> Self {
        let names: Vec<String> = application
            .public_names
            .iter()
            .map(ToString::to_string)
            .collect();
        let now = SystemTime::now();
        let identities: Vec<_> = application
            .certificates
            .iter()
            .filter_map(|files| identity::load(&files.chain, &files.key, &names, now, problems))
            .collect();
        let mut roots = Vec::new();
        for Located { value, location } in &application.upstream.ca_roots {
            match files::certificates(value) {
                Ok(certificates) => roots.extend(certificates),
                Err(diagnostic) => problems.add(location, diagnostic),
            }
        }
        if roots.is_empty() {
            return Self {
                identities,
                roots,
                trust: None,
            };
        }
        let location = application
            .upstream
            .ca_roots
            .first()
            .map_or(&application.location, |root| &root.location);
        let pin = application.upstream.pin_sha256.map(|pin| pin.0);
        let trust = client::config(roots.clone(), pin, now)
            .map_err(|diagnostic| problems.add(location, diagnostic))
            .ok();
        for warning in trust.iter().flat_map(|trust| &trust.warnings) {
            problems.add(location, warning.clone());
        }
        Self {
            identities,
            roots,
            trust,
        }
    }
}

/// What makes the NDES of `application` the one it is.
pub fn settings(
    config: &Config,
    application: &Application,
    roots: Vec<CertificateDer<'static>>,
) -> upstream::Settings {
    let to = &application.upstream;
    let timeouts = upstream::Timeouts {
        connect: config.timeouts.upstream_connect,
        response: config.timeouts.upstream_response,
        pki_operation: config.timeouts.upstream_pki_operation,
        body: config.timeouts.upstream_body,
    };
    upstream::Settings {
        origin: to.origin.clone(),
        address: to.address,
        server_name: to.server_name.clone(),
        roots,
        pin_sha256: to.pin_sha256.map(|pin| pin.0),
        timeouts,
    }
}

fn publish(
    application: &Application,
    identities: Vec<Identity>,
    tls: Arc<ServerConfig>,
    (upstream_settings, upstream): (upstream::Settings, upstream::Stack),
    process: &Process,
    before: Option<&Published>,
) -> Published {
    let to = &application.upstream;
    let queue = before.map(|before| before.queue.clone());
    Published {
        tls,
        identities,
        upstream_settings,
        upstream,
        queue: queue.unwrap_or_else(|| {
            let metrics = process.metrics.queue(&application.name);
            upstream::Queue::new(to.max_in_flight, to.queue, metrics)
        }),
        max_request_head: to.max_request_head_bytes,
        host: to.server_name.to_header(),
        internal_names: vec![to.server_name.clone(), to.origin.host.clone()],
        client_address: application.client_address,
        policy_module: application.policy_module,
        policy: application.scep.clone(),
        probe: Probe::of(application),
        scep: process.scep.get(&application.name, &process.metrics),
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
