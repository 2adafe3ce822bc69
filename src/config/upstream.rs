//! `[[application.upstream]]`: the NDES server behind an application.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::read::{Section, resolved};
use super::types::{Count, DialAddress, DnsName, Interval, Origin, Period, Pin};
use crate::base::problem::{Diagnostic, Located, Location};

#[derive(Clone, Debug)]
pub struct Upstream {
    pub location: Location,
    pub origin: Origin,
    /// The address to connect to. If `None`, the host of `origin` is resolved.
    pub address: Option<SocketAddr>,
    /// The name that the certificate of NDES must have. It is also sent as SNI and Host.
    pub server_name: DnsName,
    pub ca_roots: Vec<Located<PathBuf>>,
    /// For a certificate without subject alternative name: the SHA-256 of its public key, verified
    /// instead of the name.
    pub pin_sha256: Option<Pin>,
    /// The number of requests that NDES may receive concurrently.
    pub max_in_flight: usize,
    /// How long a request may wait in the queue.
    pub queue: Duration,
    /// The value of MaxRequestBytes of HTTP.sys: request line and header fields together.
    pub max_request_head_bytes: Option<usize>,
    pub probe: ProbeSettings,
}

/// How the proxy itself probes the health of NDES.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ProbeSettings {
    /// `None` if NDES is never probed.
    pub interval: Option<Duration>,
    /// Consecutive failures after which NDES counts as unhealthy.
    pub failures: u32,
    /// Consecutive successes after which it counts as healthy again.
    pub successes: u32,
    /// How often a probe requests GetCACert.
    pub certificates: Duration,
}

pub(super) fn read(section: &mut Section<'_, '_>, directory: &Path) -> Option<Upstream> {
    let cure = "write [[application.upstream]] with url and ca_roots";
    let mut tables = section.required_sections("upstream", cure).into_iter();
    let mut table = tables.next()?;
    for extra in tables {
        let cure = "keep only the first [[application.upstream]] for now";
        extra.document.report(
            &extra.location(""),
            Diagnostic::warning("a second upstream is not used yet", cure),
        );
    }
    let location = table.location("");
    let origin = table.required::<Origin>(
        "url",
        "write url = \"https://ndes.corp.local\", the URL of NDES",
    );
    let cure = "write ca_roots = [\"corp-root.pem\"], the root of the CA that issued the certificate of NDES";
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
            .map(|root| resolved(directory, root))
            .collect(),
        pin_sha256,
        max_in_flight,
        queue,
        max_request_head_bytes: max_request_head_bytes.map(|bytes| bytes.value.0),
        probe,
        origin,
    })
}

fn probe(mut section: Section<'_, '_>) -> ProbeSettings {
    let interval = Interval(Some(Duration::from_secs(30)));
    let certificates = Period(Duration::from_secs(3_600));
    let interval = section.value_or("interval", interval).0;
    if interval.is_some_and(|interval| interval < Duration::from_secs(1)) {
        let cure = "write \"1s\" or more, or \"off\"";
        let diagnostic = Diagnostic::error("this would probe NDES more than once a second", cure);
        section
            .document
            .report(&section.location("interval"), diagnostic);
    }
    let probe = ProbeSettings {
        interval,
        failures: section.value_or("failures", Count::<1, 100>(3)).0 as u32,
        successes: section.value_or("successes", Count::<1, 100>(2)).0 as u32,
        certificates: section.value_or("certificates", certificates).0,
    };
    section.finish();
    probe
}
