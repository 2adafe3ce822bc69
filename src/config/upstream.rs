//! `[[application.upstream]]`: the NDES behind an application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::application::below;
use super::read::Section;
use super::reload::Interval;
use super::types::{Count, DialAddress, DnsName, Origin, Period, Pin};
use crate::base::problem::{Diagnostic, Located, Location};

#[derive(Clone, Debug)]
pub struct Upstream {
    pub location: Location,
    pub origin: Origin,
    /// Dialled instead of resolving the host of `origin`.
    pub address: Option<SocketAddr>,
    /// Verified in the certificate, sent as SNI and Host.
    pub server_name: DnsName,
    pub ca_roots: Vec<Located<PathBuf>>,
    /// For a certificate without SAN: its key, verified instead of the name.
    pub pin_sha256: Option<Pin>,
    /// Requests at a time.
    pub max_in_flight: usize,
    /// How long a request may wait for its turn.
    pub queue: Duration,
    /// MaxRequestBytes of HTTP.sys: request line and fields together.
    pub max_request_head_bytes: Option<usize>,
    pub probe: Probe,
}

/// How the proxy itself asks NDES how it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Probe {
    /// None: never.
    pub interval: Option<Duration>,
    /// Failures in a row that make NDES ill.
    pub failures: u32,
    /// Successes in a row that make it well again.
    pub successes: u32,
    /// How often GetCACert is asked.
    pub certificates: Duration,
}

pub(super) fn read(section: &mut Section<'_, '_>, directory: &Path) -> Option<Upstream> {
    let cure = "write [[application.upstream]] with url and ca_roots";
    let mut tables = section.required_sections("upstream", cure).into_iter();
    let mut table = tables.next()?;
    for extra in tables {
        let cure = "keep the first [[application.upstream]] only, for now";
        extra.document.report(
            &extra.location(""),
            Diagnostic::warning("a second upstream is not used yet", cure),
        );
    }
    let location = table.location("");
    let origin = table.required::<Origin>("url", "write url = \"https://ndes.corp.local\"");
    let cure = "write ca_roots = [\"corp-root.pem\"]: the root of the CA that issued the certificate of NDES";
    let ca_roots = table.required_list::<PathBuf>("ca_roots", cure);
    let address = table.value::<DialAddress>("address");
    let server_name = table.value::<DnsName>("server_name");
    let pin_sha256 = table.value::<Pin>("pin_sha256").map(|pin| pin.value);
    let max_in_flight = table.value_or("max_in_flight", Count::<1, 100_000>(256)).0;
    let queue = table.value_or("queue", Period(Duration::from_secs(15))).0;
    let max_request_head_bytes = table.value::<Count<256, 16_777_216>>("max_request_head_bytes");
    let probe = probe(table.section("probe"));
    table.finish();
    let origin = origin?.value;
    Some(Upstream {
        location,
        address: address.map(|address| address.value.with_port(origin.port)),
        server_name: server_name.map_or_else(|| origin.host.clone(), |name| name.value),
        ca_roots: ca_roots?
            .into_iter()
            .map(|root| below(directory, root))
            .collect(),
        pin_sha256,
        max_in_flight,
        queue,
        max_request_head_bytes: max_request_head_bytes.map(|bytes| bytes.value.0),
        probe,
        origin,
    })
}

fn probe(mut section: Section<'_, '_>) -> Probe {
    let interval = Interval(Some(Duration::from_secs(30)));
    let certificates = Period(Duration::from_secs(3_600));
    let interval = section.value_or("interval", interval).0;
    if interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
        let cure = "write \"1s\" or more, or \"off\"";
        let diagnostic = Diagnostic::error("NDES would be asked more than once a second", cure);
        section
            .document
            .report(&section.location("interval"), diagnostic);
    }
    let probe = Probe {
        interval,
        failures: section.value_or("failures", Count::<1, 100>(3)).0 as u32,
        successes: section.value_or("successes", Count::<1, 100>(2)).0 as u32,
        certificates: section.value_or("certificates", certificates).0,
    };
    section.finish();
    probe
}
