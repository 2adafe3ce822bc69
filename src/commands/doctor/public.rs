//! Examines the public side: the TLS handshake and the certificate as sent on the wire.

use std::io;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, ProtocolVersion};
use tokio_rustls::client::TlsStream;

use super::endpoint::Endpoint;
use super::{Collector, Context, Finding, Step};
use crate::tls::certificate::{Certificate, date, seconds};
use crate::tls::identity;

/// Performs a TLS handshake with the endpoint's name as SNI. Returns the certificate chain as sent
/// on the wire, or `None` if the handshake fails.
pub(super) async fn handshake(
    endpoint: &Endpoint,
    collector: &mut Collector<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    collector.begin(Step::PublicTls, &format!("TLS with {}", endpoint.address));
    match endpoint.connect(true).await {
        Ok(tls) => {
            let version = tls_version(&tls);
            collector.ok(Step::PublicTls, format!("{version} with {}", endpoint.name));
            Some(peer_chain(&tls))
        }
        Err(error) => {
            let (what, cure) = handshake_failed(endpoint, &error);
            collector.add(Finding::problem(Step::PublicTls, what, cure));
            collector.skip(&Step::PUBLIC[3..]);
            None
        }
    }
}

/// Returns what happened and what to do about it.
fn handshake_failed(endpoint: &Endpoint, error: &io::Error) -> (String, &'static str) {
    let Endpoint { name, address, .. } = endpoint;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => (
            format!("{address} does not publish {name} (TLS alert unrecognized_name)"),
            "the proxy at this address runs with another configuration: reload or restart it; or \
             the name leads to another server",
        ),
        _ if endpoint.as_balancer => (
            format!("no TLS with {name} at {address} behind a PROXY protocol header: {error}"),
            "add this address to trusted_proxies, so that the doctor may connect as a load \
             balancer does; or run it where the public name leads to the balancer",
        ),
        _ => (
            format!("no TLS with {name} at {address}: {error}"),
            "read the lines of target tls in the log of the proxy; if there are none, another \
             server or a firewall responds at this address",
        ),
    }
}

/// Returns the negotiated TLS version for people.
pub(super) fn tls_version<W>(tls: &TlsStream<W>) -> &'static str {
    match tls.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS 1.3",
    }
}

/// Returns the certificate chain that the server sent.
pub(super) fn peer_chain<W>(tls: &TlsStream<W>) -> Vec<CertificateDer<'static>> {
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|der| der.clone().into_owned()).collect()
}

/// Reports on `chain` as received. `seen` holds the leaf certificates that were already reported
/// for earlier names.
pub(super) fn certificate(
    context: &Context<'_>,
    endpoint: &Endpoint,
    chain: &[CertificateDer<'static>],
    seen: &mut Vec<CertificateDer<'static>>,
    collector: &mut Collector<'_>,
) {
    let read: Vec<Certificate> = chain
        .iter()
        .filter_map(|der| Certificate::read(der).ok())
        .collect();
    let Some(leaf) = read.first() else {
        collector.add(Finding::problem(
            Step::PublicCertificate,
            "the certificate cannot be read",
            "another server responds under this name: find out where the name leads",
        ));
        return collector.skip(&Step::PUBLIC[4..8]);
    };
    collector.add(name_finding(endpoint, leaf));
    if seen.contains(&chain[0]) {
        return;
    }
    seen.push(chain[0].clone());
    let mut files = context.identities.iter();
    let is_of_file = files.any(|identity| identity.certified.cert.first() == chain.first());
    collector.add(certificate_finding(context, leaf, is_of_file));
    collector.add(chain_finding(&read, is_of_file));
    collector.add(match identity::date_diagnostic(leaf, context.now) {
        Some(finding) => Finding::from_diagnostic(Step::PublicExpiry, finding),
        None => Finding::ok(Step::PublicExpiry, time_left(leaf.not_after, context.now)),
    });
    collector.add(key_finding(&read));
}

/// Whether a certificate that is valid until `end` should have been renewed by now. `end` is in
/// seconds since the Unix epoch.
pub(super) fn renewal_is_late(end: i64, now: SystemTime) -> bool {
    seconds(now + identity::RENEWAL_IS_LATE) > end
}

/// Returns the remaining validity, for instance `70 days left, until 2027-01-31`. `end` is in
/// seconds since the Unix epoch.
pub(super) fn time_left(end: i64, now: SystemTime) -> String {
    let days = (end - seconds(now)) / 86_400;
    let date = date(end);
    let (day, _) = date.split_once(' ').unwrap_or((&date, ""));
    let unit = if days == 1 { "day" } else { "days" };
    format!("{days} {unit} left, until {day}")
}

fn name_finding(endpoint: &Endpoint, leaf: &Certificate) -> Finding {
    let step = Step::PublicName;
    match identity::name_diagnostic(leaf, &[endpoint.name.to_string()]) {
        Some(finding) => Finding::from_diagnostic(step, finding),
        None => {
            let what = format!("{} is in the SAN: {}", endpoint.name, leaf.san_text());
            Finding::ok(step, what)
        }
    }
}

fn certificate_finding(context: &Context<'_>, leaf: &Certificate, is_of_file: bool) -> Finding {
    let step = Step::PublicCertificate;
    let who = format!("{} from {}", leaf.subject, leaf.issuer);
    if is_of_file {
        return Finding::ok(step, format!("the one in the file: {who}"));
    }
    if context.identities.is_empty() {
        return Finding::ok(step, who);
    }
    Finding::warning(
        step,
        format!("the server sends another certificate than the files hold: {who}"),
        "if the files were renewed, reload or restart the proxy; if this certificate is not \
         yours, another server or a firewall responds under this name",
    )
}

/// Reports whether the chain is in order and complete. `check` already judged a single
/// certificate from the file, because it may recognise its issuer as a root.
fn chain_finding(chain: &[Certificate], is_of_file: bool) -> Finding {
    let step = Step::PublicChain;
    let names: Vec<_> = chain.iter().map(|one| one.subject.as_str()).collect();
    let names = names.join(" < ");
    let in_order = chain.windows(2).all(|pair| pair[0].is_issued_by(&pair[1]));
    let cure = "send the server's certificate first, then each issuer after what it issued, \
                without the root";
    match chain {
        _ if !in_order => {
            let what = format!("the chain is out of order or incomplete: {names}");
            Finding::problem(step, what, cure)
        }
        [leaf] if is_of_file => {
            let what = format!("only the certificate, as in the file: {}", leaf.subject);
            Finding::ok(step, what)
        }
        [leaf] if !leaf.self_issued => Finding::warning(
            step,
            format!(
                "no intermediate certificate is sent: devices that do not know {} refuse the \
                 server",
                leaf.issuer
            ),
            "append that issuer's certificate to the chain file, unless it is a root that all \
             devices have",
        ),
        [leaf] => Finding::warning(
            step,
            format!("{} is self-signed", leaf.subject),
            "request a certificate from a CA that the devices trust",
        ),
        [.., last] if last.self_issued => {
            let what = format!("complete up to its root, which need not be sent: {names}");
            Finding::ok(step, what)
        }
        [.., last] => {
            let what = format!("in order up to {}: {names}", last.issuer);
            Finding::ok(step, what)
        }
        [] => Finding::problem(step, "no certificate is sent", cure),
    }
}

fn key_finding(chain: &[Certificate]) -> Finding {
    let step = Step::PublicKey;
    let cure = "request a certificate with RSA 2048 or ECDSA P-256, signed with SHA-256";
    for one in chain {
        if one.key.is_short() {
            let what = format!("the key of {} is too short: {}", one.subject, one.key);
            return Finding::problem(step, what, cure);
        }
        if one.sha1_signature && !one.self_issued {
            let what = format!("{} is signed with SHA-1, which devices refuse", one.subject);
            return Finding::problem(step, what, cure);
        }
    }
    let key = chain.first().map(|leaf| leaf.key.to_string());
    Finding::ok(step, key.unwrap_or_default())
}

/// Reports which certificate old devices receive that send no server name. The proxy serves them
/// the first application.
pub(super) async fn without_sni(
    context: &Context<'_>,
    endpoint: &Endpoint,
    collector: &mut Collector<'_>,
) {
    let step = Step::PublicNoSni;
    collector.begin(step, "TLS without a server name");
    let first = context.config.applications.first();
    let is_first = first.is_none_or(|first| first.name == context.application.name);
    let cure = "any device in front of the proxy must pass clients without SNI; Windows (HTTP.sys, \
                WAP) needs a fallback binding for them";
    collector.add(match endpoint.connect(false).await {
        Err(error) => {
            let what = format!("old devices, which send no server name, are refused: {error}");
            Finding::warning(step, what, cure)
        }
        Ok(tls) => {
            let leaf = peer_chain(&tls);
            let leaf = leaf.first().and_then(|der| Certificate::read(der).ok());
            match leaf {
                Some(leaf) if leaf.covers(endpoint.name.as_str()) => Finding::ok(
                    step,
                    "devices without a server name get this certificate too",
                ),
                Some(leaf) if !is_first => Finding::ok(
                    step,
                    format!(
                        "devices without a server name get the first application, {}",
                        leaf.subject
                    ),
                ),
                _ => Finding::warning(
                    step,
                    "devices without a server name get the certificate of another server",
                    cure,
                ),
            }
        }
    });
}
