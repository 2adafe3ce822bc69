//! Everything that the configuration decides and a reload would replace, built whole or not at
//! all. `run`, `check` and a reload use this one builder.

use std::sync::Arc;
use std::time::SystemTime;

use rustls::ServerConfig;
use rustls::server::ProducesTickets;

use crate::config::types::DnsName;
use crate::config::{
    Application, ClientAddress, Config, Limits, PolicyModule, Protocol, ScepPolicy, Timeouts,
};
use crate::insight;
use crate::metrics::Metrics;
use crate::problem::{Located, Problems};
use crate::process::Process;
use crate::site::Site;
use crate::tls::identity::{self, Identity};
use crate::tls::{client, files, server};
use crate::upstream::{self, Upstream};

/// One immutable state of the proxy. A connection keeps the one it began with.
pub struct Generation {
    pub limits: Limits,
    pub timeouts: Timeouts,
    pub site: Arc<Site>,
    /// In the order of the configuration, as `Site::applications`.
    pub applications: Vec<Published>,
    pub warnings: Problems,
}

/// What an application needs beside the rules of the gate.
pub struct Published {
    pub tls: Arc<ServerConfig>,
    /// One for each configured certificate.
    pub identities: Vec<Identity>,
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
    /// What is known of its SCEP, through every reload.
    pub scep: Arc<insight::Application>,
}

/// What the files of an application hold, read and checked.
pub struct Files {
    /// Those that can be used.
    pub identities: Vec<Identity>,
    /// None where no root can be used.
    pub trust: Option<client::Trust>,
}

impl Generation {
    /// Reads every file that the configuration names. All problems come at once.
    pub fn build(
        config: &Config,
        mut warnings: Problems,
        process: &Arc<Process>,
        ticketer: &Arc<dyn ProducesTickets>,
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
        for (application, Files { identities, trust }) in config.applications.iter().zip(files) {
            let Some(trust) = trust else { continue };
            let certified = identities
                .iter()
                .map(|identity| identity.certified.clone())
                .collect();
            match server::config(certified, alpn(config), ticketer.clone()) {
                Ok(tls) => applications.push(publish(
                    config,
                    application,
                    identities,
                    trust,
                    tls,
                    process,
                )),
                Err(error) => problems.add(
                    &application.place,
                    crate::problem::Finding::error(
                        format!("TLS cannot be set up: {error}"),
                        "check the certificate and its key",
                    ),
                ),
            }
        }
        if warnings.has_errors() {
            return Err(warnings);
        }
        let site = Arc::new(Site::new(&config.applications));
        for (site, application) in site.applications.iter().zip(&applications) {
            let identities = &application.identities;
            for identity in identities {
                // Of two certificates with the same kind of key the earlier end is the one to see.
                let alike = identities.iter().filter(|other| other.key == identity.key);
                let first = alike.map(|other| other.not_after).min();
                let gauges = &process.metrics.certificate_not_after;
                let gauge = gauges.with_label_values(&[&site.name, &identity.key]);
                gauge.set(first.unwrap_or(identity.not_after));
            }
        }
        let (limits, timeouts) = (config.limits.clone(), config.timeouts.clone());
        Ok(Self {
            limits,
            timeouts,
            site,
            applications,
            warnings,
        })
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
        for Located { value, place } in &application.upstream.ca_roots {
            match files::certificates(value) {
                Ok(certificates) => roots.extend(certificates),
                Err(finding) => problems.add(place, finding),
            }
        }
        if roots.is_empty() {
            return Self {
                identities,
                trust: None,
            };
        }
        let place = application
            .upstream
            .ca_roots
            .first()
            .map_or(&application.place, |root| &root.place);
        let pin = application.upstream.pin_sha256.map(|pin| pin.0);
        let trust = client::config(roots, pin, now)
            .map_err(|finding| problems.add(place, finding))
            .ok();
        for warning in trust.iter().flat_map(|trust| &trust.warnings) {
            problems.add(place, warning.clone());
        }
        Self { identities, trust }
    }
}

fn publish(
    config: &Config,
    application: &Application,
    identities: Vec<Identity>,
    trust: client::Trust,
    tls: Arc<ServerConfig>,
    process: &Process,
) -> Published {
    let to = &application.upstream;
    let upstream = upstream(config, application, trust, &process.metrics);
    Published {
        tls,
        identities,
        upstream: upstream::stack(upstream),
        queue: upstream::Queue::new(
            to.max_in_flight,
            to.queue,
            process.metrics.queue(&application.name),
        ),
        max_request_head: to.max_request_head_bytes,
        host: to.server_name.to_header(),
        internal_names: vec![to.server_name.clone(), to.origin.host.clone()],
        client_address: application.client_address,
        policy_module: application.policy_module,
        policy: application.scep.clone(),
        scep: process.scep.get(&application.name, &process.metrics),
    }
}

/// The way to the NDES of `application`.
pub fn upstream(
    config: &Config,
    application: &Application,
    trust: client::Trust,
    metrics: &Metrics,
) -> Arc<Upstream> {
    let to = &application.upstream;
    let timeouts = upstream::Timeouts {
        connect: config.timeouts.upstream_connect,
        response: config.timeouts.upstream_response,
        pki_operation: config.timeouts.upstream_pki_operation,
        body: config.timeouts.upstream_body,
    };
    Arc::new(Upstream::new(
        to.origin.clone(),
        to.address,
        to.server_name.clone(),
        trust.config,
        timeouts,
        metrics.upstream(&application.name),
        config.listen.workers,
    ))
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
