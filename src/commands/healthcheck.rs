//! `ndes-proxy healthcheck`: what a container engine runs inside the image, where no shell and no
//! curl is.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::path::Path;
use std::time::Duration;

use crate::base::problem::Problems;
use crate::config::Config;

#[derive(Debug, thiserror::Error)]
pub enum Unhealthy {
    #[error("{0}")]
    Configuration(Problems),
    #[error("no answer from {0}: {1}")]
    NoAnswer(SocketAddr, io::Error),
    #[error("{0} answers: {1}")]
    NotReady(SocketAddr, String),
}

const TIME: Duration = Duration::from_secs(5);
const MOST_ANSWER: u64 = 4_096;

/// Asks `/readyz` of the admin listener that the configuration names.
pub fn ask(file: &Path) -> Result<(), Unhealthy> {
    let (config, _) = Config::load(file).map_err(Unhealthy::Configuration)?;
    let address = reachable(config.listen.admin);
    let answer = get(address).map_err(|error| Unhealthy::NoAnswer(address, error))?;
    let first = answer.lines().next().unwrap_or_default();
    if first.starts_with("HTTP/1.1 200 ") {
        return Ok(());
    }
    Err(Unhealthy::NotReady(address, first.to_owned()))
}

/// A listener on all addresses is asked on loopback.
pub fn reachable(mut address: SocketAddr) -> SocketAddr {
    match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => address.set_ip(Ipv4Addr::LOCALHOST.into()),
        IpAddr::V6(ip) if ip.is_unspecified() => address.set_ip(Ipv6Addr::LOCALHOST.into()),
        _ => {}
    }
    address
}

fn get(address: SocketAddr) -> io::Result<String> {
    let mut tcp = TcpStream::connect_timeout(&address, TIME)?;
    tcp.set_read_timeout(Some(TIME))?;
    tcp.set_write_timeout(Some(TIME))?;
    tcp.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut answer = Vec::new();
    tcp.take(MOST_ANSWER).read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}
