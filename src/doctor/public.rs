//! The public side: where the proxy is found, and what it shows there.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{AlertDescription, ProtocolVersion};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::{Finding, Notes, Step, Subject};
use crate::config::Listen;
use crate::config::types::DnsName;
use crate::tls::certificate::{Certificate, date, seconds};
use crate::tls::{identity, look};
use crate::upstream::first_to_answer;

/// Where a public name leads.
pub(super) struct Door {
    pub(super) name: DnsName,
    address: SocketAddr,
    /// Begins each connection as a load balancer does.
    as_balancer: bool,
}

/// Where devices go.
const HTTPS: u16 = 443;
const NAME_TIME: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(5);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// PROXY protocol version 2, command LOCAL: a health check of the balancer itself.
const LOCAL_HEADER: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

const AFTER_DNS: [Step; 8] = [
    Step::PublicTcp,
    Step::PublicTls,
    Step::PublicCertificate,
    Step::PublicName,
    Step::PublicChain,
    Step::PublicExpiry,
    Step::PublicKey,
    Step::PublicNoSni,
];

/// Resolves `name` and connects. Where that leads nowhere, the proxy is looked for on this machine.
pub(super) async fn find(
    subject: &Subject<'_>,
    name: &DnsName,
    notes: &mut Notes<'_>,
) -> Option<Door> {
    notes.begin(Step::PublicDns, &format!("resolving {name}"));
    let listen = &subject.config.listen;
    let mut tried = String::new();
    match resolve(name).await {
        Ok(found) => {
            let told: Vec<_> = found.iter().map(IpAddr::to_string).collect();
            notes.ok(Step::PublicDns, format!("{name} is {}", told.join(", ")));
            match connect(name, &found, listen, notes).await {
                Ok(door) => return Some(door),
                Err(error) => tried = error,
            }
        }
        Err(error) => notes.add(Finding::warning(
            Step::PublicDns,
            format!("{name} is not resolved here ({error})"),
            "publish an A or AAAA record; where only outside name servers know the name, run the \
             doctor outside too",
        )),
    }
    let local = reachable_here(listen);
    notes.begin(Step::PublicTcp, "looking for the proxy on this machine");
    match first_to_answer(&local, CONNECT_TIME).await {
        Ok(tcp) if tried.is_empty() => {
            let address = tcp.peer_addr().ok()?;
            let what =
                format!("{address} answers: what follows is about the proxy on this machine");
            notes.ok(Step::PublicTcp, what);
            Some(Door::new(name, address, listen))
        }
        Ok(tcp) => {
            let address = tcp.peer_addr().ok()?;
            notes.add(Finding::warning(
                Step::PublicTcp,
                format!(
                    "no connection to {tried}; what follows is about {address} on this machine"
                ),
                "if devices outside cannot connect either, let firewall and NAT lead TCP 443 to \
                 the proxy; many firewalls lead only traffic from outside",
            ));
            Some(Door::new(name, address, listen))
        }
        Err(error) => {
            let also = if tried.is_empty() { "" } else { ", " };
            notes.add(Finding::problem(
                Step::PublicTcp,
                format!("nobody answers as {name}: {tried}{also}{error}"),
                "start the proxy (ndes-proxy run), and let firewall and NAT lead TCP 443 to it",
            ));
            notes.leave_out(&AFTER_DNS[1..]);
            None
        }
    }
}

async fn resolve(name: &DnsName) -> Result<Vec<IpAddr>, String> {
    let lookup = tokio::net::lookup_host((name.as_str(), HTTPS));
    let found = match timeout(NAME_TIME, lookup).await {
        Ok(found) => found.map_err(|error| {
            let error = error.to_string();
            let (_, short) = error.rsplit_once(": ").unwrap_or(("", &error));
            short.to_owned()
        })?,
        Err(_elapsed) => return Err("the name server does not answer".to_owned()),
    };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err("it has no address".to_owned()),
        false => Ok(addresses),
    }
}

/// Port 443, then those that the proxy itself listens on.
async fn connect(
    name: &DnsName,
    found: &[IpAddr],
    listen: &Listen,
    notes: &mut Notes<'_>,
) -> Result<Door, String> {
    let mut ports = vec![HTTPS];
    ports.extend(listen.https.iter().map(SocketAddr::port));
    ports.retain(|port| *port != 0);
    ports.dedup();
    let ports = ports.iter();
    let addresses: Vec<_> = ports
        .flat_map(|port| found.iter().map(|ip| SocketAddr::new(*ip, *port)))
        .collect();
    notes.begin(Step::PublicTcp, &format!("connecting to {name}"));
    let tcp = first_to_answer(&addresses, CONNECT_TIME).await;
    let address = tcp
        .map_err(|error| trim(&error.to_string()))?
        .peer_addr()
        .map_err(|error| error.to_string())?;
    if address.port() == HTTPS {
        notes.ok(Step::PublicTcp, format!("{address} answers"));
    } else {
        notes.add(Finding::warning(
            Step::PublicTcp,
            format!("{address} answers, port 443 does not"),
            "devices come to port 443: lead it to this port, unless a firewall does so for those \
             outside",
        ));
    }
    Ok(Door {
        as_balancer: false,
        ..Door::new(name, address, listen)
    })
}

/// Of the error of a connection only the addresses and their errors.
fn trim(error: &str) -> String {
    let text = error.strip_prefix("no connection to ").unwrap_or(error);
    let (text, _) = text.split_once("; ").unwrap_or((text, ""));
    text.to_owned()
}

/// A listener on all addresses is reached on loopback.
fn reachable_here(listen: &Listen) -> Vec<SocketAddr> {
    let addresses = listen.https.iter().filter(|address| address.port() != 0);
    let local = addresses.map(|address| {
        let ip = match address.ip() {
            IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
            ip => ip,
        };
        SocketAddr::new(ip, address.port())
    });
    local.collect()
}

impl Door {
    fn new(name: &DnsName, address: SocketAddr, listen: &Listen) -> Self {
        Self {
            name: name.clone(),
            address,
            as_balancer: listen.proxies.is_some(),
        }
    }

    /// TLS with whoever is there, with SNI or without.
    pub(super) async fn enter(&self, sni: bool) -> io::Result<TlsStream<TcpStream>> {
        let config = look::config(sni).map_err(io::Error::other)?;
        let name = ServerName::try_from(self.name.as_str().to_owned()).map_err(io::Error::other)?;
        let entering = async {
            let mut tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            if self.as_balancer {
                tcp.write_all(LOCAL_HEADER).await?;
            }
            let connector = TlsConnector::from(Arc::new(config));
            connector.connect(name, tcp).await
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in 10 seconds");
        timeout(HANDSHAKE_TIME, entering)
            .await
            .unwrap_or_else(|_elapsed| Err(late()))
    }
}

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
            notes.leave_out(&AFTER_DNS[2..]);
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
        return notes.leave_out(&AFTER_DNS[3..7]);
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
    notes.add(match identity::date_finding(leaf, subject.now) {
        Some(finding) => Finding::of_check(Step::PublicExpiry, finding),
        None => Finding::ok(Step::PublicExpiry, left(leaf.not_after, subject.now)),
    });
    notes.add(key(&read));
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
    match identity::name_finding(leaf, &[door.name.to_string()]) {
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
