//! `ndes-proxy check`: reads everything that `run` would read, without opening a socket.

use std::fmt::Write;
use std::path::Path;
use std::sync::Arc;

use rustix::process::{Resource, getrlimit};

use crate::base::problem::{Diagnostic, Location, Problems};
use crate::config::{
    Application, Config, OnUnreadable, PolicyModule, ProbeSettings, ScepPolicy, Upstream,
};
use crate::observe::log::Log;
use crate::proxy::application::Application as Published;
use crate::proxy::generation::Generation;
use crate::proxy::process::Process;
use crate::tls::{certificate, server};

/// What would be published, and all errors and warnings.
pub struct Report {
    /// Empty if the proxy would not start.
    pub published: String,
    pub problems: Problems,
}

/// Reads `file` and all files that it names.
pub fn check(file: &Path) -> Report {
    let (config, mut warnings) = match Config::load(file) {
        Ok(loaded) => loaded,
        Err(problems) => {
            return Report {
                published: String::new(),
                problems,
            };
        }
    };
    warnings.0.extend(
        system_diagnostics(&config)
            .into_iter()
            .map(|diagnostic| diagnostic.at(&Location::file(file))),
    );
    match build(&config, warnings) {
        Ok(generation) => {
            let published = describe(&config, &generation);
            Report {
                published,
                problems: generation.warnings,
            }
        }
        Err(problems) => Report {
            published: String::new(),
            problems,
        },
    }
}

fn build(config: &Config, warnings: Problems) -> Result<Generation, Problems> {
    let failed = |error: String| {
        let mut problems = Problems::default();
        problems.add(
            &Location::file(Path::new("")),
            Diagnostic::error(error, "this is a defect of the proxy or the system"),
        );
        problems
    };
    let process =
        Process::new(config, Log::default()).map_err(|error| failed(error.to_string()))?;
    let ticketer = server::ticketer().map_err(|error| failed(error.to_string()))?;
    Generation::build(config, warnings, &Arc::new(process), &ticketer, None)
}

/// Compares what the system allows with what the configuration needs.
pub fn system_diagnostics(config: &Config) -> Vec<Diagnostic> {
    let mut diagnostics = Vec::new();
    // A public connection, one to NDES for it, and some for listeners and files.
    let needed = 2 * config.limits.connections as u64 + 64;
    if let Some(most) = getrlimit(Resource::Nofile)
        .maximum
        .filter(|most| *most < needed)
    {
        diagnostics.push(Diagnostic::warning(
            format!("limits.connections = {} needs {needed} open files, the system allows {most}", config.limits.connections),
            format!("raise the limit (LimitNOFILE={needed}, or --ulimit nofile={needed}), or lower limits.connections"),
        ));
    }
    if !config.listen.admin.ip().is_loopback() {
        diagnostics.push(Diagnostic::warning(
            format!(
                "listen.admin = {} is open to the network, without password",
                config.listen.admin
            ),
            "let a firewall admit Prometheus only, or write admin = \"127.0.0.1:9464\"",
        ));
    }
    diagnostics
}

fn describe(config: &Config, generation: &Generation) -> String {
    let mut text = String::new();
    // Writing to a string does not fail.
    let listen = &config.listen;
    _ = writeln!(
        text,
        "listens on {} (HTTPS), {} (metrics, health)",
        joined(&listen.https),
        listen.admin
    );
    if let Some(path) = &listen.probe_path {
        _ = writeln!(text, "answers {} itself, under any host", path.as_str());
    }
    for (application, published) in config.applications.iter().zip(generation.applications()) {
        _ = describe_application(&mut text, application, published);
    }
    text
}

fn describe_application(
    text: &mut String,
    application: &Application,
    published: &Published,
) -> std::fmt::Result {
    let Application {
        name,
        public_names,
        paths,
        methods,
        operations,
        policy_module,
        scep,
        upstreams,
        ..
    } = application;
    writeln!(text, "\n{name}")?;
    for public in public_names {
        for path in paths {
            writeln!(text, "  publishes    https://{public}{}", path.as_str())?;
        }
    }
    writeln!(
        text,
        "  methods      {}",
        joined(
            &methods
                .iter()
                .map(|method| method.as_str())
                .collect::<Vec<_>>()
        )
    )?;
    writeln!(
        text,
        "  operations   {}",
        joined(
            &operations
                .iter()
                .map(|operation| operation.as_str())
                .collect::<Vec<_>>()
        )
    )?;
    let refused = refused(scep);
    if !refused.is_empty() {
        writeln!(text, "  refuses      {}", refused.join("; "))?;
    }
    for identity in &published.identities {
        let until = certificate::date(identity.not_after);
        writeln!(
            text,
            "  certificate  {} from {}, {}, until {until}",
            identity.subject, identity.issuer, identity.key
        )?;
    }
    for upstream in upstreams {
        describe_upstream(text, upstream)?;
    }
    let expected = match policy_module {
        PolicyModule::Intune => "the Intune policy module: 403 to a request without operation",
        PolicyModule::None => "no policy module: 200 to a request without operation",
    };
    writeln!(text, "  expected     {expected}")?;
    Ok(())
}

fn describe_upstream(text: &mut String, upstream: &Upstream) -> std::fmt::Result {
    let origin = &upstream.origin;
    let address = upstream.address.map_or_else(
        || "the address of its name".to_owned(),
        |address| address.to_string(),
    );
    writeln!(
        text,
        "  upstream     https://{}:{}, at {address}",
        origin.host, origin.port
    )?;
    let by = if upstream.pin_sha256.is_some() {
        "the pinned key"
    } else {
        upstream.server_name.as_str()
    };
    let roots: Vec<_> = upstream
        .ca_roots
        .iter()
        .map(|root| root.value.display())
        .collect();
    writeln!(text, "  verified by  {by}, against {}", joined(&roots))?;
    let ProbeSettings {
        interval,
        certificates,
        ..
    } = upstream.probe;
    match interval {
        Some(interval) => writeln!(
            text,
            "  probed       every {}, its certificates every {}",
            humantime::format_duration(interval),
            humantime::format_duration(certificates)
        ),
        None => writeln!(text, "  probed       never"),
    }
}

/// Returns what the SCEP policy refuses.
fn refused(policy: &ScepPolicy) -> Vec<String> {
    let unreadable = policy.unreadable == OnUnreadable::Refuse;
    let messages = policy.refused_messages.iter().map(|kind| kind.as_str());
    let messages: Vec<_> = messages.collect();
    let digest = policy.weakest_digest.map(|digest| digest.as_str());
    let cipher = policy.weakest_cipher.map(|cipher| cipher.as_str());
    [
        unreadable.then(|| "messages that cannot be read".to_owned()),
        (!messages.is_empty()).then(|| messages.join(", ")),
        digest.map(|weakest| format!("digests below {weakest}")),
        cipher.map(|weakest| format!("ciphers below {weakest}")),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn joined<T: ToString>(items: &[T]) -> String {
    items
        .iter()
        .map(ToString::to_string)
        .collect::<Vec<_>>()
        .join(", ")
}

/// Raises the soft limit of open files to what the system allows, because many systems start a
/// service with 1024.
pub fn raise_open_file_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = rustix::process::Rlimit {
        current: limit.maximum,
        ..limit
    };
    // If this fails, accepting reports an error once the files run out.
    _ = rustix::process::setrlimit(Resource::Nofile, raised);
}
