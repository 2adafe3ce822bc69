//! `[listen]`: addresses, protocols and threads.

use std::net::SocketAddr;

use ipnet::IpNet;
use serde::Deserialize;

use super::example::examples;
use super::read::Section;
use super::types::{Count, PublishedPath};
use crate::base::problem::{Diagnostic, Located};

#[derive(Clone, Debug)]
pub struct Listen {
    pub https: Vec<SocketAddr>,
    pub admin: SocketAddr,
    pub protocols: Vec<Protocol>,
    /// Threads that serve connections.
    pub workers: usize,
    /// Set if public connections begin with a PROXY protocol header: the networks from which such
    /// a header is trusted.
    pub proxies: Option<Vec<IpNet>>,
    /// The path that load balancers request, under any host, to check that the proxy serves.
    pub probe_path: Option<PublishedPath>,
}

/// A protocol that the proxy offers by ALPN (RFC 7301).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Protocol {
    #[serde(rename = "http/1.1")]
    Http1,
    #[serde(rename = "h2")]
    H2,
}

examples! {
    Protocol: "\"http/1.1\"",
}

pub(super) fn listen(mut section: Section<'_, '_>) -> Listen {
    let https = section.list("https").unwrap_or_default();
    let protocols = section.list("protocols").unwrap_or_default();
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let listen = Listen {
        https: or_default(https, [SocketAddr::from(([0, 0, 0, 0], 443))]),
        admin: section.value_or("admin", SocketAddr::from(([127, 0, 0, 1], 9464))),
        protocols: or_default(protocols, [Protocol::Http1]),
        workers: section.value_or("workers", Count::<1, 1024>(cores)).0,
        proxies: proxies(&mut section),
        probe_path: section.value("probe_path").map(|path| path.value),
    };
    let mut seen = vec![listen.admin];
    for address in &listen.https {
        // The system chooses another port for each socket that is bound to port 0.
        if address.port() != 0 && seen.contains(address) {
            let diagnostic = Diagnostic::error(
                format!("the address {address} is used twice"),
                "give `admin` and each entry of `https` a different address or port",
            );
            section
                .document
                .report(&section.location("https"), diagnostic);
        }
        seen.push(*address);
    }
    section.finish();
    listen
}

fn proxies(section: &mut Section<'_, '_>) -> Option<Vec<IpNet>> {
    let cure = "write trusted_proxies = [\"10.0.0.0/24\"], the networks of the load balancers";
    let enabled = section.value_or("proxy_protocol", false);
    let trusted = match enabled {
        true => section.required_list("trusted_proxies", cure),
        false => section.list("trusted_proxies"),
    };
    let networks = trusted.unwrap_or_default().into_iter();
    enabled.then(|| networks.map(|network| network.value).collect())
}

fn or_default<T, const N: usize>(list: Vec<Located<T>>, default: [T; N]) -> Vec<T> {
    if list.is_empty() {
        default.into()
    } else {
        list.into_iter().map(|item| item.value).collect()
    }
}
