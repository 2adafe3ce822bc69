//! A PROXY protocol header: the parser consumes exactly the bytes of the header, and returns the
//! client address that they contain.

#![no_main]

use std::future::Future;
use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

use libfuzzer_sys::fuzz_target;
use ndes_proxy::edge::proxy_protocol::{self, HeaderError, Source};

fuzz_target!(|bytes: &[u8]| {
    let mut rest = bytes;
    let Ok(source) = read(&mut rest) else {
        return;
    };
    let header = &bytes[..bytes.len() - rest.len()];
    let named = if header.starts_with(b"PROXY ") {
        version_1(header)
    } else {
        version_2(header)
    };
    assert_eq!(Some(source), named);
});

/// Reads a header from complete input, which never has to wait.
fn read(bytes: &mut &[u8]) -> Result<Source, HeaderError> {
    let reading = pin!(proxy_protocol::read(bytes));
    match reading.poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(read) => read,
        Poll::Pending => panic!("complete input must not wait"),
    }
}

/// Parses one line of the form `PROXY TCP4 source destination source-port destination-port`.
fn version_1(header: &[u8]) -> Option<Source> {
    let line = std::str::from_utf8(header).ok()?.strip_suffix("\r\n")?;
    assert!(!line.contains("\r\n"), "more than one line");
    let words: Vec<&str> = line.split(' ').collect();
    match words[..] {
        [_, "UNKNOWN", ..] => Some(Source::Balancer),
        [_, "TCP4" | "TCP6", source, _, port, _] => Some(Source::Client(SocketAddr::new(
            source.parse().ok()?,
            port.parse().ok()?,
        ))),
        _ => None,
    }
}

/// Parses a 12-byte signature, version and command, family, length and addresses.
fn version_2(header: &[u8]) -> Option<Source> {
    let (fixed, addresses) = header.split_at_checked(16)?;
    assert_eq!(
        addresses.len(),
        usize::from(u16::from_be_bytes([fixed[14], fixed[15]]))
    );
    let port = |at: usize| {
        Some(u16::from_be_bytes([
            *addresses.get(at)?,
            *addresses.get(at + 1)?,
        ]))
    };
    let (address, port) = match (fixed[12], fixed[13] >> 4) {
        (0x20, _) | (0x21, 0 | 3) => return Some(Source::Balancer),
        (0x21, 1) => {
            let octets: [u8; 4] = *addresses.first_chunk()?;
            (IpAddr::from(octets), port(8)?)
        }
        (0x21, 2) => {
            let octets: [u8; 16] = *addresses.first_chunk()?;
            (IpAddr::from(Ipv6Addr::from(octets)), port(32)?)
        }
        _ => return None,
    };
    Some(Source::Client(SocketAddr::new(address, port)))
}
