//! `ndes-proxy healthcheck`: requests `/readyz`. A container engine runs it inside the image, which
//! has neither a shell nor curl.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::base::problem::Problems;
use crate::config::Config;

/// Why the proxy is not ready.
#[derive(Debug, thiserror::Error)]
pub enum NotReady {
    #[error("{0}")]
    Configuration(Problems),
    #[error("no response from {0}: {1}")]
    NoResponse(SocketAddr, io::Error),
    #[error("{0} responds: {1}")]
    Response(SocketAddr, String),
}

const TIMEOUT: Duration = Duration::from_secs(5);
const MOST_RESPONSE: u64 = 4_096;

/// Requests `/readyz` from the admin listener that the configuration names.
///
/// # Errors
/// Returns why the proxy is not ready, or why that is not known.
pub fn ask(file: &Path) -> Result<(), NotReady> {
    let (config, _) = Config::load(file).map_err(NotReady::Configuration)?;
    let address = reachable(config.listen.admin);
    let response = get(address).map_err(|error| NotReady::NoResponse(address, error))?;
    let first = response.lines().next().unwrap_or_default();
    if first.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(NotReady::Response(address, first.to_owned()))
}

/// Returns the address for a connection to a listener at `address`: loopback if it listens on all
/// addresses.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn get(address: SocketAddr) -> io::Result<String> {
    let mut tcp = TcpStream::connect_timeout(&address, TIMEOUT)?;
    tcp.set_read_timeout(Some(TIMEOUT))?;
    tcp.set_write_timeout(Some(TIMEOUT))?;
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut response = Vec::new();
    tcp.take(MOST_RESPONSE).read_to_end(&mut response)?;
    Ok(String::from_utf8_lossy(&response).into_owned())
}
