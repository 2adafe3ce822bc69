//! Where a public name leads, and the way in.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use super::public::STEPS;
use super::{Finding, Notes, Step, Subject};
use crate::commands::healthcheck::reachable;
use crate::config::Listen;
use crate::config::types::DnsName;
use crate::tls::unverified;
use crate::upstream::{Failure, first_to_answer};

/// Where a public name leads.
pub(super) struct Door {
    pub(super) name: DnsName,
    pub(super) address: SocketAddr,
    /// Begins each connection as a load balancer does.
    pub(super) as_balancer: bool,
}

/// Where devices go.
const HTTPS: u16 = 443;
const NAME_TIME: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(5);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// PROXY protocol version 2, command LOCAL: a health check of the balancer itself.
const LOCAL_HEADER: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

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
    find_here(name, &tried, listen, notes).await
}

/// Looks for the proxy on this machine. `tried`: addresses that did not answer, with their errors.
async fn find_here(
    name: &DnsName,
    tried: &str,
    listen: &Listen,
    notes: &mut Notes<'_>,
) -> Option<Door> {
    let mut local: Vec<_> = listen.https.iter().copied().map(reachable).collect();
    local.retain(|address| address.port() != 0 && !tried.contains(&address.to_string()));
    notes.begin(Step::PublicTcp, "looking for the proxy on this machine");
    let tcp = match local.is_empty() {
        true => Err(tried.to_owned()),
        false => {
            let tcp = first_to_answer(&local, CONNECT_TIME).await;
            tcp.map_err(|error| match tried.is_empty() {
                true => plain(&error),
                false => format!("{tried}, {}", plain(&error)),
            })
        }
    };
    let address = tcp.and_then(|tcp| tcp.peer_addr().map_err(|error| error.to_string()));
    let address = match address {
        Ok(address) => address,
        Err(tried) => {
            notes.add(Finding::problem(
                Step::PublicTcp,
                format!("nobody answers as {name}: no connection to {tried}"),
                "start the proxy (ndes-proxy run), and let firewall and NAT lead TCP 443 to it",
            ));
            notes.leave_out(&STEPS[2..]);
            return None;
        }
    };
    notes.add(if tried.is_empty() {
        let what = format!("{address} answers: what follows is about the proxy on this machine");
        Finding::ok(Step::PublicTcp, what)
    } else {
        Finding::warning(
            Step::PublicTcp,
            format!("no connection to {tried}; what follows is about {address} on this machine"),
            "if devices outside cannot connect either, let firewall and NAT lead TCP 443 to the \
             proxy; many firewalls lead only traffic from outside",
        )
    });
    Some(Door::new(name, address, listen))
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

/// Port 443, then those that the proxy itself listens on. A name that leads to this machine itself,
/// as the hosts file may have it, tells nothing about 443.
async fn connect(
    name: &DnsName,
    found: &[IpAddr],
    listen: &Listen,
    notes: &mut Notes<'_>,
) -> Result<Door, String> {
    let is_here = found.iter().all(IpAddr::is_loopback);
    let mut ports = if is_here { Vec::new() } else { vec![HTTPS] };
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
        .map_err(|error| plain(&error))?
        .peer_addr()
        .map_err(|error| error.to_string())?;
    if is_here || address.port() == HTTPS {
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
        as_balancer: is_here && listen.proxies.is_some(),
        ..Door::new(name, address, listen)
    })
}

/// Addresses and their errors, without advice about NDES.
fn plain(failure: &Failure) -> String {
    match failure {
        Failure::Connect(tried) => tried.clone(),
        other => other.explained(),
    }
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
        let config = unverified::config(sni).map_err(io::Error::other)?;
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
