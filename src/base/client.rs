//! The identity of clients, connections and requests, and the escaping of bytes that a client sent.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// The unit for which limits count: an IPv4 address, or an IPv6 /64, because one IPv6 site can use
/// any address in its /64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    V4(Ipv4Addr),
    /// The upper 64 bits.
    V6(u64),
}

impl ClientKey {
    /// Returns whether the Internet does not route the address (RFC 1918, RFC 4193). Loopback
    /// addresses are not private.
    pub fn is_private(self) -> bool {
        match self {
            Self::V4(address) => address.is_private(),
            Self::V6(prefix) => prefix >> 57 == 0xFC >> 1,
        }
    }
}

impl fmt::Display for ClientKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::V4(address) => write!(f, "{address}"),
            Self::V6(prefix) => write!(f, "{}/64", Ipv6Addr::from(u128::from(*prefix) << 64)),
        }
    }
}

impl From<IpAddr> for ClientKey {
    fn from(address: IpAddr) -> Self {
        // On a dual-stack socket, an IPv4 client has an IPv4-mapped address.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }
}

/// Identifies a connection in the log, uniquely among the connections of this and all earlier
/// processes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// The start of the process, in seconds since 1970.
    pub process: u32,
    pub number: u64,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.process, self.number)
    }
}

/// Identifies a request in the log, as uniquely as its connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RequestId {
    pub connection: ConnectionId,
    /// Counted from 1 within the connection.
    pub number: u64,
}

impl fmt::Display for RequestId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.connection, self.number)
    }
}

/// Returns bytes that a client chose in a form that is safe in a log: at most `most` of them, as
/// printable ASCII, with quotes and backslashes escaped.
///
/// The result is a string, not a `Display` value, so that the text format writes it in quotes and
/// its content cannot pass for further fields of the line.
pub fn escaped(bytes: &[u8], most: usize) -> String {
    let start = &bytes[..bytes.len().min(most)];
    let mut text = match std::str::from_utf8(start) {
        Ok(text) if is_plain(start) => text.to_owned(),
        _ => start.escape_ascii().to_string(),
    };
    if bytes.len() > most {
        text.push_str("...");
    }
    text
}

/// Returns whether a log contains `bytes` without any escapes, in text as well as in JSON.
pub fn is_plain(bytes: &[u8]) -> bool {
    // Most texts are short. The table lookup takes three instructions a byte, and unlike SIMD it
    // has no remainder to process.
    let plain = |byte: &u8| PLAIN[usize::from(*byte)];
    bytes.iter().fold(true, |all, byte| all & plain(byte))
}

static PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut byte = b' ';
    while byte <= b'~' {
        plain[byte as usize] = !matches!(byte, b'"' | b'\'' | b'\\');
        byte += 1;
    }
    plain
};

#[cfg(test)]
mod tests {
    use super::{ClientKey, escaped, is_plain};

    #[test]
    fn all_addresses_that_one_client_can_choose_have_one_key() {
        let key = |text: &str| ClientKey::from(text.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn bytes_of_a_client_can_neither_break_nor_fill_a_line() {
        assert_eq!(
            escaped(b"a\r\nb\"\x1b[31m\xff", 99),
            r#"a\r\nb\"\x1b[31m\xff"#
        );
        assert_eq!(escaped(&[b'a'; 500], 3), "aaa...");
    }

    #[test]
    fn a_byte_that_is_not_plain_is_found_at_every_position() {
        for length in 0..50 {
            let mut text = vec![b'~'; length];
            assert!(is_plain(&text), "{length}");
            for at in 0..length {
                for strange in [0, 0x1F, 0x7F, 0xFF, b'"', b'\'', b'\\'] {
                    text[at] = strange;
                    assert!(!is_plain(&text), "{strange:#x} at {at} of {length}");
                }
                text[at] = b' ';
            }
        }
    }

    #[test]
    fn bytes_of_a_client_cannot_pass_for_a_field() {
        let (reader, writer) = std::io::pipe().unwrap();
        let log = tracing_subscriber::fmt()
            .with_ansi(false)
            .with_writer(std::sync::Mutex::new(writer));
        tracing::subscriber::with_default(log.finish(), || {
            let signer = escaped(b"a\" pki_status=SUCCESS \"", 99);
            tracing::info!(signer, pki_status = "FAILURE");
        });
        let line = std::io::read_to_string(reader).unwrap();
        let expected = r#"signer="a\\\" pki_status=SUCCESS \\\"" pki_status="FAILURE""#;
        assert!(line.trim_end().ends_with(expected), "{line}");
    }
}
