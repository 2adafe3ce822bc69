//! What the public side shows, as it is on the wire.

use std::io;
use std::time::SystemTime;

use rustls::pki_types::CertificateDer;
use rustls::{AlertDescription, ProtocolVersion};
use tokio_rustls::client::TlsStream;

use super::door::Door;
use super::{Finding, Notes, Step, Subject};
use crate::tls::certificate::{Certificate, date, seconds};
use crate::tls::identity;

pub(super) const STEPS: [Step; 9] = [
    Step::PublicDns,
    Step::PublicTcp,
    Step::PublicTls,
    Step::PublicCertificate,
    Step::PublicName,
    Step::PublicChain,
    Step::PublicExpiry,
    Step::PublicKey,
    Step::PublicNoSni,
];

/// What is shown to whoever asks for the name of this door, as on the wire.
pub(super) async fn handshake(
    door: &Door,
    notes: &mut Notes<'_>,
) -> Option<Vec<CertificateDer<'static>>> {
    notes.begin(Step::PublicTls, &format!("TLS with {}", door.address));
    match door.enter(true).await {
        Ok(tls) => {
            let version = tls_version(&tls);
            notes.ok(Step::PublicTls, format!("{version} with {}", door.name));
            Some(shown(&tls))
        }
        Err(error) => {
            let (what, cure) = refused(door, &error);
            notes.add(Finding::problem(Step::PublicTls, what, cure));
            notes.leave_out(&STEPS[3..]);
            None
        }
    }
}

fn refused(door: &Door, error: &io::Error) -> (String, &'static str) {
    let Door { name, address, .. } = door;
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(rustls::Error::AlertReceived(AlertDescription::UnrecognisedName)) => (
            format!("{address} does not publish {name} (TLS alert unrecognized_name)"),
            "the proxy there runs with another configuration: reload or restart it; or the name \
             leads to another server",
        ),
        _ if door.as_balancer => (
            format!("no TLS with {name} at {address} behind a PROXY protocol header: {error}"),
            "add this address to trusted_proxies, so that the doctor may come as a load balancer \
             does; or run it where the public name leads to the balancer",
        ),
        _ => (
            format!("no TLS with {name} at {address}: {error}"),
            "see the lines of target tls in the log of the proxy; if there are none, another \
             server or a firewall answers at this address",
        ),
    }
}

pub(super) fn tls_version<W>(tls: &TlsStream<W>) -> &'static str {
    match tls.get_ref().1.protocol_version() {
        Some(ProtocolVersion::TLSv1_2) => "TLS 1.2",
        _ => "TLS 1.3",
    }
}

pub(super) fn shown<W>(tls: &TlsStream<W>) -> Vec<CertificateDer<'static>> {
    let chain = tls.get_ref().1.peer_certificates().unwrap_or_default();
    chain.iter().map(|der| der.clone().into_owned()).collect()
}

/// Judges `chain` as it came. `seen` is what the names before this one showed.
pub(super) fn certificate(
    subject: &Subject<'_>,
    door: &Door,
    chain: &[CertificateDer<'static>],
    seen: &mut Vec<CertificateDer<'static>>,
    notes: &mut Notes<'_>,
) {
    let read: Vec<Certificate> = chain
        .iter()
        .filter_map(|der| Certificate::read(der).ok())
        .collect();
    let Some(leaf) = read.first() else {
        notes.add(Finding::problem(
            Step::PublicCertificate,
            "the certificate cannot be read",
            "another server answers as this name: see where it leads",
        ));
        return notes.leave_out(&STEPS[4..8]);
    };
    notes.add(name(door, leaf));
    if seen.contains(&chain[0]) {
        return;
    }
    seen.push(chain[0].clone());
    let mut files = subject.identities.iter();
    let is_of_file = files.any(|identity| identity.certified.cert.first() == chain.first());
    notes.add(own(subject, leaf, is_of_file));
    notes.add(order(&read, is_of_file));
    notes.add(match identity::date_diagnostic(leaf, subject.now) {
        Some(finding) => Finding::of_check(Step::PublicExpiry, finding),
        None => Finding::ok(Step::PublicExpiry, left(leaf.not_after, subject.now)),
    });
    notes.add(key(&read));
}

/// Whether whoever renews the certificate should have done so by now.
pub(super) fn is_late(end: i64, now: SystemTime) -> bool {
    seconds(now + identity::RENEWAL_IS_LATE) > end
}

/// As `70 days left, until 2027-01-31`.
pub(super) fn left(end: i64, now: SystemTime) -> String {
    let days = (end - seconds(now)) / 86_400;
    let date = date(end);
    let (day, _) = date.split_once(' ').unwrap_or((&date, ""));
    let unit = if days == 1 { "day" } else { "days" };
    format!("{days} {unit} left, until {day}")
}

fn name(door: &Door, leaf: &Certificate) -> Finding {
    let step = Step::PublicName;
    match identity::name_diagnostic(leaf, &[door.name.to_string()]) {
        Some(finding) => Finding::of_check(step, finding),
        None => {
            let what = format!("{} is in the SAN: {}", door.name, leaf.san_text());
            Finding::ok(step, what)
        }
    }
}

fn own(subject: &Subject<'_>, leaf: &Certificate, is_of_file: bool) -> Finding {
    let step = Step::PublicCertificate;
    let who = format!("{} from {}", leaf.subject, leaf.issuer);
    if is_of_file {
        return Finding::ok(step, format!("that of the file: {who}"));
    }
    if subject.identities.is_empty() {
        return Finding::ok(step, who);
    }
    Finding::warning(
        step,
        format!("the server shows another certificate than the files hold: {who}"),
        "if the files were renewed, reload or restart the proxy; if this certificate is not \
         yours, another server or a firewall answers as this name",
    )
}

/// A lone certificate of the file is judged by `check`, which may know its issuer for a root.
fn order(chain: &[Certificate], is_of_file: bool) -> Finding {
    let step = Step::PublicChain;
    let names: Vec<_> = chain.iter().map(|one| one.subject.as_str()).collect();
    let names = names.join(" < ");
    let in_order = chain.windows(2).all(|pair| pair[0].is_issued_by(&pair[1]));
    let cure = "send the server's certificate first, then each issuer after what it issued, \
                without the root";
    match chain {
        _ if !in_order => {
            let what = format!("the chain is out of order or has a hole: {names}");
            Finding::problem(step, what, cure)
        }
        [leaf] if is_of_file => {
            let what = format!("the certificate alone, as in the file: {}", leaf.subject);
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

fn key(chain: &[Certificate]) -> Finding {
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

/// Old devices send no server name: they get the first application.
pub(super) async fn without_sni(subject: &Subject<'_>, door: &Door, notes: &mut Notes<'_>) {
    let step = Step::PublicNoSni;
    notes.begin(step, "TLS without a server name");
    let first = subject.config.applications.first();
    let is_first = first.is_none_or(|first| first.name == subject.application.name);
    let cure = "whatever stands before the proxy must pass clients without SNI; behind Windows \
                (HTTP.sys, WAP) it takes a fallback binding";
    notes.add(match door.enter(false).await {
        Err(error) => {
            let what = format!("old devices, which send no server name, are refused: {error}");
            Finding::warning(step, what, cure)
        }
        Ok(tls) => {
            let leaf = shown(&tls);
            let leaf = leaf.first().and_then(|der| Certificate::read(der).ok());
            match leaf {
                Some(leaf) if leaf.covers(door.name.as_str()) => Finding::ok(
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
