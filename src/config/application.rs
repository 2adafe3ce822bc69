//! `[[application]]`: the published names and paths, their certificates, and the NDES behind them.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::example::examples;
use super::listen::Listen;
use super::read::{Document, Section, resolved};
use super::scep::{self, PolicyModule, ScepPolicy};
use super::types::{DnsName, PublishedPath};
use super::upstream::{self, Upstream};
use crate::base::head::Method;
use crate::base::problem::{Diagnostic, Located, Location};
use crate::scep::Operation;

/// One published NDES. It corresponds to a published application of WAP.
#[derive(Clone, Debug)]
pub struct Application {
    pub location: Location,
    /// Unique. Identifies the application in metric labels and log fields.
    pub name: String,
    pub public_names: Vec<DnsName>,
    /// At least one. RSA and ECDSA can be used side by side if devices need both.
    pub certificates: Vec<CertificateFiles>,
    pub paths: Vec<PublishedPath>,
    pub methods: Vec<Method>,
    pub operations: Vec<Operation>,
    pub client_address: ClientAddress,
    pub policy_module: PolicyModule,
    pub scep: ScepPolicy,
    /// Exactly one for now; further ones in the file are reported and not read.
    pub upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// The leaf certificate first, then its issuers.
    pub chain: Located<PathBuf>,
    pub key: Located<PathBuf>,
}

/// The header field that carries the address of the client to the upstream, if any.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    None,
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

examples! {
    Method: "\"GET\"",
    Operation: "\"GetCACaps\"",
    ClientAddress: "\"none\"",
}

const PATHS: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

/// Returns all applications of the file. An application with an error is reported and left out,
/// because a file with an error never becomes a configuration.
pub(super) fn read_all(root: &mut Section<'_, '_>, directory: &Path) -> Vec<Application> {
    let cure = "write [[application]] with public_names, certificate and [[application.upstream]]";
    let sections = root.required_sections("application", cure);
    let applications: Vec<_> = sections
        .into_iter()
        .filter_map(|section| read(section, directory))
        .collect();

    let (mut names, mut hosts) = (HashSet::new(), HashSet::new());
    for application in &applications {
        let report = |what: String, cure: &str| {
            root.document
                .report(&application.location, Diagnostic::error(what, cure))
        };
        if !names.insert(application.name.as_str()) {
            report(
                format!("the name {:?} is used twice", application.name),
                "give each application its own `name`",
            );
        }
        for host in &application.public_names {
            if !hosts.insert(host) {
                report(
                    format!("{host} is published twice"),
                    "list each public name only once, in one application",
                );
            }
        }
    }
    applications
}

/// Reports each application that publishes the probe path. The proxy itself responds to requests
/// for that path, so that NDES would never receive them.
pub(super) fn check_probe_path(document: &Document<'_>, listen: &Listen, all: &[Application]) {
    let Some(probe) = &listen.probe_path else {
        return;
    };
    let same = |path: &PublishedPath| path.as_str().eq_ignore_ascii_case(probe.as_str());
    for application in all.iter().filter(|one| one.paths.iter().any(same)) {
        let diagnostic = Diagnostic::error(
            format!("the path {} is also listen.probe_path", probe.as_str()),
            "set listen.probe_path to a path that no application publishes, such as \"/healthz\"",
        );
        document.report(&application.location, diagnostic);
    }
}

fn read(mut section: Section<'_, '_>, directory: &Path) -> Option<Application> {
    let location = section.location("");
    let cure = "write public_names = [\"scep.example.com\"], the names that devices use";
    let public_names = values(section.required_list::<DnsName>("public_names", cure));
    let certificates = certificates(&mut section, directory);
    let upstream = upstream::read(&mut section, directory);
    let dangerous = section.value_or("allow_dangerous_paths", false);
    let paths = paths(&mut section, dangerous);
    let default_name = public_names
        .iter()
        .flatten()
        .next()
        .map_or_else(String::new, DnsName::to_string);
    let name = name(&mut section, default_name);
    let methods = values(section.list("methods")).unwrap_or_else(|| Method::PUBLISHED.to_vec());
    let operations =
        values(section.list("operations")).unwrap_or_else(|| Operation::PUBLISHED.to_vec());
    let client_address = section.value_or("client_address", ClientAddress::None);
    let policy_module = section.value_or("policy_module", PolicyModule::Intune);
    let scep = scep::policy(section.section("scep"));
    section.finish();
    Some(Application {
        location,
        name,
        public_names: public_names?,
        certificates,
        paths,
        methods,
        operations,
        client_address,
        policy_module,
        scep,
        upstreams: vec![upstream?],
    })
}

fn name(section: &mut Section<'_, '_>, default: String) -> String {
    let Some(name) = section.value::<String>("name") else {
        return default;
    };
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(allowed) {
        let cure = "use 1 to 64 letters, digits, dots, dashes and underscores";
        section.document.report(
            &name.location,
            Diagnostic::error("this name cannot be used as a metric label", cure),
        );
    }
    name.value
}

fn paths(section: &mut Section<'_, '_>, dangerous: bool) -> Vec<PublishedPath> {
    let Some(paths) = section.list::<PublishedPath>("paths") else {
        return PATHS
            .into_iter()
            .filter_map(|path| PublishedPath::try_from(path.to_owned()).ok())
            .collect();
    };
    for path in paths
        .iter()
        .filter(|path| path.value.is_dangerous() && !dangerous)
    {
        section.document.report(
            &path.location,
            Diagnostic::error(
                format!(
                    "{} must never be published because it gives strangers access to more than SCEP",
                    path.value.as_str()
                ),
                "remove it, or write allow_dangerous_paths = true beside `paths` if you accept that risk",
            ),
        );
    }
    paths.into_iter().map(|path| path.value).collect()
}

fn certificates(section: &mut Section<'_, '_>, directory: &Path) -> Vec<CertificateFiles> {
    let cure = "write certificate = { chain = \"scep.pem\", key = \"scep.key\" }";
    let tables = section.required_sections("certificate", cure);
    let mut files = Vec::new();
    for mut table in tables {
        let chain = table.required(
            "chain",
            "write chain = \"scep.pem\", the file with the certificate and then its issuers",
        );
        let key = table.required(
            "key",
            "write key = \"scep.key\", the file with the private key of the certificate",
        );
        if let (Some(chain), Some(key)) = (chain, key) {
            files.push(CertificateFiles {
                chain: resolved(directory, chain),
                key: resolved(directory, key),
            });
        }
        table.finish();
    }
    files
}

fn values<T>(list: Option<Vec<Located<T>>>) -> Option<Vec<T>> {
    list.map(|items| items.into_iter().map(|item| item.value).collect())
}
