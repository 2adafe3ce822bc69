//! Reads the files that the configuration of an application names.

use std::time::SystemTime;

use rustls::pki_types::CertificateDer;

use crate::base::problem::{Located, Problems};
use crate::config;
use crate::tls::identity::{self, Identity};
use crate::tls::{client, files};

/// The contents of the files of one application, checked.
pub struct Files {
    /// The certificates and keys that can be used.
    pub identities: Vec<Identity>,
    /// In the order of the upstreams.
    pub upstreams: Vec<UpstreamFiles>,
}

/// The contents of the files of one upstream.
pub struct UpstreamFiles {
    pub roots: Vec<CertificateDer<'static>>,
    /// `None` if no root can be used.
    pub trust: Option<client::Trust>,
}

impl Files {
    /// Adds to `problems` whatever is missing or wrong.
    pub fn read(application: &config::Application, problems: &mut Problems) -> Self {
        let names = application.public_names.iter();
        let names: Vec<String> = names.map(ToString::to_string).collect();
        let now = SystemTime::now();
        let identities = application.certificates.iter();
        let identities = identities
            .filter_map(|files| identity::load(&files.chain, &files.key, &names, now, problems))
            .collect();
        let upstreams = application.upstreams.iter();
        let upstreams = upstreams
            .map(|upstream| UpstreamFiles::read(upstream, now, problems))
            .collect();
        Self {
            identities,
            upstreams,
        }
    }
}

impl UpstreamFiles {
    fn read(upstream: &config::Upstream, now: SystemTime, problems: &mut Problems) -> Self {
        let mut roots = Vec::new();
        for Located { value, location } in &upstream.ca_roots {
            match files::certificates(value) {
                Ok(certificates) => roots.extend(certificates),
                Err(diagnostic) => problems.add(location, diagnostic),
            }
        }
        if roots.is_empty() {
            let trust = None;
            return Self { roots, trust };
        }
        let first = upstream.ca_roots.first();
        let location = first.map_or(&upstream.location, |root| &root.location);
        let pin = upstream.pin_sha256.map(|pin| pin.0);
        let trust = client::config(roots.clone(), pin, now)
            .map_err(|diagnostic| problems.add(location, diagnostic))
            .ok();
        for warning in trust.iter().flat_map(|trust| &trust.warnings) {
            problems.add(location, warning.clone());
        }
        Self { roots, trust }
    }
}
