//! Finds the server that a public name leads to, and connects to it.

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

use super::{Collector, Context, Finding, Step};
use crate::commands::healthcheck::reachable;
use crate::config::Listen;
use crate::config::types::DnsName;
use crate::tls::unverified;
use crate::upstream::{Failure, first_to_answer};

/// The server that a public name leads to.
pub(super) struct Endpoint {
    pub(super) name: DnsName,
    pub(super) address: SocketAddr,
    /// Whether each connection begins with a PROXY protocol header, as from a load balancer.
    pub(super) as_balancer: bool,
}

/// The port that devices use.
const HTTPS: u16 = 443;
const NAME_TIME: Duration = Duration::from_secs(5);
const CONNECT_TIME: Duration = Duration::from_secs(5);
const HANDSHAKE_TIME: Duration = Duration::from_secs(10);
/// PROXY protocol version 2, command LOCAL: used for a health check by the balancer itself.
const LOCAL_HEADER: &[u8; 16] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";

/// Resolves `name` and connects. If no connection succeeds, tries the proxy on this machine.
/// Returns `None` if nothing accepts a connection.
pub(super) async fn find(
    context: &Context<'_>,
    name: &DnsName,
    collector: &mut Collector<'_>,
) -> Option<Endpoint> {
    collector.begin(Step::PublicDns, &format!("resolving {name}"));
    let listen = &context.config.listen;
    let mut tried = String::new();
    match resolve(name).await {
        Ok(found) => {
            let addresses: Vec<_> = found.iter().map(IpAddr::to_string).collect();
            let what = format!("{name} is {}", addresses.join(", "));
            collector.ok(Step::PublicDns, what);
            match connect_by_name(name, &found, listen, collector).await {
                Ok(endpoint) => return Some(endpoint),
                Err(error) => tried = error,
            }
        }
        Err(error) => collector.add(Finding::warning(
            Step::PublicDns,
            format!("{name} cannot be resolved on this machine ({error})"),
            "publish an A or AAAA record; if only outside name servers know the name, run the \
             doctor outside too",
        )),
    }
    find_on_this_machine(name, &tried, listen, collector).await
}

/// Tries to connect to the proxy on this machine. `tried` names the addresses that did not accept
/// a connection, with their errors.
async fn find_on_this_machine(
    name: &DnsName,
    tried: &str,
    listen: &Listen,
    collector: &mut Collector<'_>,
) -> Option<Endpoint> {
    let mut local: Vec<_> = listen.https.iter().copied().map(reachable).collect();
    local.retain(|address| address.port() != 0 && !tried.contains(&address.to_string()));
    collector.begin(Step::PublicTcp, "looking for the proxy on this machine");
    let tcp = match local.is_empty() {
        true => Err(tried.to_owned()),
        false => {
            let tcp = first_to_answer(&local, CONNECT_TIME).await;
            tcp.map_err(|error| match tried.is_empty() {
                true => without_advice(&error),
                false => format!("{tried}, {}", without_advice(&error)),
            })
        }
    };
    let address = tcp.and_then(|tcp| tcp.peer_addr().map_err(|error| error.to_string()));
    let address = match address {
        Ok(address) => address,
        Err(tried) => {
            collector.add(Finding::problem(
                Step::PublicTcp,
                format!("no server responds under {name}: no connection to {tried}"),
                "start the proxy (ndes-proxy run), and forward TCP 443 to it in firewall and NAT",
            ));
            collector.skip(&Step::PUBLIC[2..]);
            return None;
        }
    };
    collector.add(if tried.is_empty() {
        let what = format!(
            "{address} accepts connections: the next steps examine the proxy on this machine"
        );
        Finding::ok(Step::PublicTcp, what)
    } else {
        Finding::warning(
            Step::PublicTcp,
            format!("no connection to {tried}; the next steps examine {address} on this machine"),
            "if devices outside cannot connect either, forward TCP 443 to the proxy in firewall \
             and NAT; many firewalls forward only traffic from outside",
        )
    });
    Some(Endpoint::new(name, address, listen))
}

async fn resolve(name: &DnsName) -> Result<Vec<IpAddr>, String> {
    let lookup = tokio::net::lookup_host((name.as_str(), HTTPS));
    let found = match timeout(NAME_TIME, lookup).await {
        Ok(found) => found.map_err(|error| {
            let error = error.to_string();
            let (_, short) = error.rsplit_once(": ").unwrap_or(("", &error));
            short.to_owned()
        })?,
        Err(_elapsed) => return Err("the name server does not respond".to_owned()),
    };
    let mut addresses: Vec<IpAddr> = found.map(|address| address.ip()).collect();
    addresses.dedup();
    match addresses.is_empty() {
        true => Err("the name has no address".to_owned()),
        false => Ok(addresses),
    }
}

/// Connects to port 443 of the addresses in `found`, then to the ports that the proxy listens on.
/// Skips port 443 if the name leads to this machine, for instance by the hosts file, because that
/// proves nothing about port 443 outside.
async fn connect_by_name(
    name: &DnsName,
    found: &[IpAddr],
    listen: &Listen,
    collector: &mut Collector<'_>,
) -> Result<Endpoint, String> {
    let is_here = found.iter().all(IpAddr::is_loopback);
    let mut ports = if is_here { Vec::new() } else { vec![HTTPS] };
    ports.extend(listen.https.iter().map(SocketAddr::port));
    ports.retain(|port| *port != 0);
    ports.dedup();
    let ports = ports.iter();
    let addresses: Vec<_> = ports
        .flat_map(|port| found.iter().map(|ip| SocketAddr::new(*ip, *port)))
        .collect();
    collector.begin(Step::PublicTcp, &format!("connecting to {name}"));
    let tcp = first_to_answer(&addresses, CONNECT_TIME).await;
    let address = tcp
        .map_err(|error| without_advice(&error))?
        .peer_addr()
        .map_err(|error| error.to_string())?;
    if is_here || address.port() == HTTPS {
        collector.ok(Step::PublicTcp, format!("{address} accepts connections"));
    } else {
        collector.add(Finding::warning(
            Step::PublicTcp,
            format!("{address} accepts connections, port 443 does not"),
            "devices use port 443: forward it to this port, unless a firewall does so for devices \
             outside",
        ));
    }
    Ok(Endpoint {
        as_balancer: is_here && listen.proxies.is_some(),
        ..Endpoint::new(name, address, listen)
    })
}

/// Returns the addresses and their errors, without advice about NDES.
fn without_advice(failure: &Failure) -> String {
    match failure {
        Failure::Connect(tried) => tried.clone(),
        other => other.explained(),
    }
}

impl Endpoint {
    fn new(name: &DnsName, address: SocketAddr, listen: &Listen) -> Self {
        Self {
            name: name.clone(),
            address,
            as_balancer: listen.proxies.is_some(),
        }
    }

    /// Opens a TLS connection, with or without SNI, and accepts any certificate.
    pub(super) async fn connect(&self, sni: bool) -> io::Result<TlsStream<TcpStream>> {
        let config = unverified::config(sni).map_err(io::Error::other)?;
        let name = ServerName::try_from(self.name.as_str().to_owned()).map_err(io::Error::other)?;
        let handshake = async {
            let mut tcp = TcpStream::connect(self.address).await?;
            tcp.set_nodelay(true)?;
            if self.as_balancer {
                tcp.write_all(LOCAL_HEADER).await?;
            }
            let connector = TlsConnector::from(Arc::new(config));
            connector.connect(name, tcp).await
        };
        let late = || io::Error::new(io::ErrorKind::TimedOut, "no TLS handshake in 10 seconds");
        timeout(HANDSHAKE_TIME, handshake)
            .await
            .unwrap_or_else(|_elapsed| Err(late()))
    }
}
