//! `[[application]]`: what is published, under which names, and the NDES behind it.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::listen::Listen;
use super::read::{Document, Section};
use super::scep::{self, PolicyModule, ScepPolicy};
use super::types::{DnsName, PublishedPath};
use super::upstream::{self, Upstream};
use crate::base::head::Method;
use crate::base::problem::{Diagnostic, Located, Location};
use crate::scep::Operation;

/// One published NDES, as an application that WAP publishes.
#[derive(Clone, Debug)]
pub struct Application {
    pub location: Location,
    /// Metric label and log field; unique.
    pub name: String,
    pub public_names: Vec<DnsName>,
    /// At least one; RSA and ECDSA side by side where devices need both.
    pub certificates: Vec<CertificateFiles>,
    pub paths: Vec<PublishedPath>,
    pub methods: Vec<Method>,
    pub operations: Vec<Operation>,
    pub client_address: ClientAddress,
    pub policy_module: PolicyModule,
    pub scep: ScepPolicy,
    /// At least one; only the first is read for now.
    pub upstreams: Vec<Upstream>,
}

#[derive(Clone, Debug)]
pub struct CertificateFiles {
    /// Leaf first, then its issuers.
    pub chain: Located<PathBuf>,
    pub key: Located<PathBuf>,
}

/// Whether and how the upstream is told the client's address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum ClientAddress {
    None,
    XForwardedFor,
    /// RFC 7239.
    Forwarded,
}

const PATHS: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

/// All applications of the file. What is wrong is reported and left out: a file with a problem
/// never becomes a configuration.
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
                format!("the name {:?} stands twice", application.name),
                "give each application its own `name`",
            );
        }
        for host in &application.public_names {
            if !hosts.insert(host) {
                report(
                    format!("{host} is published twice"),
                    "write each public name once",
                );
            }
        }
    }
    applications
}

/// The probe path is answered by the proxy: NDES would never see it.
pub(super) fn check_probe_path(document: &Document<'_>, listen: &Listen, all: &[Application]) {
    let Some(probe) = &listen.probe_path else {
        return;
    };
    let same = |path: &PublishedPath| path.as_str().eq_ignore_ascii_case(probe.as_str());
    for application in all.iter().filter(|one| one.paths.iter().any(same)) {
        let diagnostic = Diagnostic::error(
            format!("{} is listen.probe_path, too", probe.as_str()),
            "give probe_path a path of its own, as \"/healthz\"",
        );
        document.report(&application.location, diagnostic);
    }
}

fn read(mut section: Section<'_, '_>, directory: &Path) -> Option<Application> {
    let location = section.location("");
    let cure = "write public_names = [\"scep.example.com\"]: the names that devices use";
    let public_names = plain(section.required_list::<DnsName>("public_names", cure));
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
    let methods = plain(section.list("methods")).unwrap_or_else(|| Method::PUBLISHED.to_vec());
    let operations =
        plain(section.list("operations")).unwrap_or_else(|| Operation::PUBLISHED.to_vec());
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
    let plain = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    if !(1..=64).contains(&name.value.len()) || !name.value.bytes().all(plain) {
        let cure = "write 1 to 64 letters, digits, dots, dashes and underscores";
        section.document.report(
            &name.location,
            Diagnostic::error("this name cannot be a metric label", cure),
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
                format!("{} must never be published: it gives strangers more than SCEP", path.value.as_str()),
                "remove it; where the risk is understood and accepted, write allow_dangerous_paths = true",
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
            "write chain = \"scep.pem\": the certificate, then its issuers",
        );
        let key = table.required(
            "key",
            "write key = \"scep.key\": the private key of the certificate",
        );
        if let (Some(chain), Some(key)) = (chain, key) {
            files.push(CertificateFiles {
                chain: below(directory, chain),
                key: below(directory, key),
            });
        }
        table.finish();
    }
    files
}

pub(super) fn below(directory: &Path, path: Located<PathBuf>) -> Located<PathBuf> {
    Located {
        value: directory.join(path.value),
        location: path.location,
    }
}

fn plain<T>(list: Option<Vec<Located<T>>>) -> Option<Vec<T>> {
    list.map(|items| items.into_iter().map(|item| item.value).collect())
}
