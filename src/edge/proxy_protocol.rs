//! The PROXY protocol, versions 1 and 2: behind a load balancer that uses it, the header names the
//! client. The `ppp` crate parses the header; this module only finds its end.

use std::io;
use std::net::SocketAddr;

use ppp::{v1, v2};
use tokio::io::{AsyncRead, AsyncReadExt};

/// The source of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    Client(SocketAddr),
    /// The load balancer itself (LOCAL, UNKNOWN), as in a health check.
    Balancer,
}

/// The connection ended within the header, or began with something else.
#[derive(Debug, thiserror::Error)]
pub enum HeaderError {
    #[error("no PROXY protocol header")]
    Malformed,
    #[error(transparent)]
    Io(#[from] io::Error),
}

/// The most bytes of the line of version 1.
const MOST_LINE: usize = 107;
/// Addresses take at most 216 bytes; the rest are extensions, none of which is needed.
const MOST_V2: usize = 2_048;

/// Reads exactly the header from the stream.
pub async fn read(stream: &mut (impl AsyncRead + Unpin)) -> Result<Source, HeaderError> {
    let signature = v2::PROTOCOL_PREFIX;
    let mut header = vec![0; signature.len()];
    stream.read_exact(&mut header).await?;
    if header == signature {
        header.resize(signature.len() + 4, 0);
        stream.read_exact(&mut header[signature.len()..]).await?;
        let length = usize::from(u16::from_be_bytes([header[14], header[15]]));
        if length > MOST_V2 {
            return Err(HeaderError::Malformed);
        }
        let start = header.len();
        header.resize(start + length, 0);
        stream.read_exact(&mut header[start..]).await?;
        return parse_v2(&header);
    }
    if !header.starts_with(b"PROXY ") {
        return Err(HeaderError::Malformed);
    }
    while !header.ends_with(b"\r\n") {
        if header.len() == MOST_LINE {
            return Err(HeaderError::Malformed);
        }
        header.push(stream.read_u8().await?);
    }
    parse_v1(&header)
}

fn parse_v1(line: &[u8]) -> Result<Source, HeaderError> {
    // The parser also ends the line at a CR or LF alone, which this reader does not.
    let (text, _) = line.split_at(line.len() - b"\r\n".len());
    if text.iter().any(u8::is_ascii_control) {
        return Err(HeaderError::Malformed);
    }
    let header = v1::Header::try_from(line).map_err(|_| HeaderError::Malformed)?;
    Ok(match header.addresses {
        v1::Addresses::Tcp4(tcp) => client(tcp.source_address, tcp.source_port),
        v1::Addresses::Tcp6(tcp) => client(tcp.source_address, tcp.source_port),
        v1::Addresses::Unknown => Source::Balancer,
    })
}

fn parse_v2(header: &[u8]) -> Result<Source, HeaderError> {
    let header = v2::Header::try_from(header).map_err(|_| HeaderError::Malformed)?;
    Ok(match (header.command, header.addresses) {
        (v2::Command::Local, _) => Source::Balancer,
        (_, v2::Addresses::IPv4(ip)) => client(ip.source_address, ip.source_port),
        (_, v2::Addresses::IPv6(ip)) => client(ip.source_address, ip.source_port),
        (_, v2::Addresses::Unix(_) | v2::Addresses::Unspecified) => Source::Balancer,
    })
}

fn client(address: impl Into<std::net::IpAddr>, port: u16) -> Source {
    Source::Client(SocketAddr::new(address.into(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    const V2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

    async fn header(bytes: &[u8]) -> (Option<Source>, usize) {
        let mut rest = bytes;
        let source = read(&mut rest).await.ok();
        (source, rest.len())
    }

    #[tokio::test]
    async fn both_versions_are_read_and_no_byte_behind_them() {
        let source = Source::Client("203.0.113.7:1234".parse().unwrap());
        let v1 = b"PROXY TCP4 203.0.113.7 10.0.0.1 1234 443\r\n\x16\x03";
        assert_eq!(header(v1).await, (Some(source), 2));
        let addresses = [203, 0, 113, 7, 10, 0, 0, 1, 0x04, 0xD2, 0x01, 0xBB];
        let v2 = [V2, &[0x21, 0x11, 0, 15], &addresses, &[4, 0, 0], b"TLS"].concat();
        assert_eq!(header(&v2).await, (Some(source), 3));
        let v6 = b"PROXY TCP6 2001:db8::1 2001:db8::2 1 2\r\n";
        let source = Source::Client("[2001:db8::1]:1".parse().unwrap());
        assert_eq!(header(v6).await, (Some(source), 0));
    }

    #[tokio::test]
    async fn health_checks_name_no_client() {
        assert_eq!(header(b"PROXY UNKNOWN\r\n").await.0, Some(Source::Balancer));
        let local = [V2, &[0x20, 0x00, 0, 0]].concat();
        assert_eq!(header(&local).await.0, Some(Source::Balancer));
    }

    #[tokio::test]
    async fn every_other_header_is_malformed() {
        let long = format!("PROXY UNKNOWN {}\r\n", "a".repeat(MOST_LINE));
        let huge = [V2, &[0x21, 0x11, 0xFF, 0xFF][..], &[0; 70_000]].concat();
        let cut = [V2, &[0x21, 0x11, 0, 12, 1, 2][..]].concat();
        for bytes in [
            &b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03abc"[..],
            b"GET / HTTP/1.1\r\n\r\n",
            b"PROXY TCP4 203.0.113.7 10.0.0.1 1234\r\n",
            b"PROXY UNKNOWN \n\rx\r\n",
            b"PROXY TCP4 203.0.113.700 10.0.0.1 1234 443\r\n",
            b"proxy TCP4 203.0.113.7 10.0.0.1 1234 443\r\n",
            b"PROXY",
            long.as_bytes(),
            &huge,
            &cut,
        ] {
            assert_eq!(header(bytes).await.0, None, "{bytes:.30?}");
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(v2: bool, noise: Vec<u8>) {
            let start = if v2 { V2 } else { b"PROXY " };
            let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
            _ = runtime.block_on(header(&[start, &noise].concat()));
        }
    }
}
