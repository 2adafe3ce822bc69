//! Who is on the other end of a public connection.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What limits count: an IPv4 address, or the /64 that one IPv6 site can move in freely.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ClientKey {
    V4(Ipv4Addr),
    /// The upper 64 bits.
    V6(u64),
}

impl ClientKey {
    /// An address that the Internet does not route (RFC 1918, RFC 4193); loopback is none.
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
        // An IPv4-mapped address is an IPv4 client on a dual-stack socket.
        match address.to_canonical() {
            IpAddr::V4(address) => Self::V4(address),
            IpAddr::V6(address) => Self::V6((u128::from(address) >> 64) as u64),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectionId {
    /// Start of the process, seconds since 1970.
    pub process: u32,
    pub number: u64,
}

impl fmt::Display for ConnectionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{:x}", self.process, self.number)
    }
}

/// A request, unique as its connection is.
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

/// Bytes that a client chose, fit for a log: at most `most` of them, visible ASCII, quotes and
/// backslashes escaped. As a string, and not as something to display, it stands in quotes in a
/// line of text, and what is in it cannot pass for further fields of the line.
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

/// Nothing in it is escaped in a log, be it text or JSON.
pub fn is_plain(bytes: &[u8]) -> bool {
    // Most texts are short: looked up, a byte takes three instructions, and SIMD has no tail.
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
    fn one_key_for_what_one_client_can_choose_freely() {
        let key = |text: &str| ClientKey::from(text.parse::<std::net::IpAddr>().unwrap());
        assert_eq!(key("::ffff:192.0.2.1"), key("192.0.2.1"));
        assert_ne!(key("192.0.2.1"), key("192.0.2.2"));
        assert_eq!(key("2001:db8:1:2::1"), key("2001:db8:1:2:ffff::9"));
        assert_ne!(key("2001:db8:1:2::1"), key("2001:db8:1:3::1"));
    }

    #[test]
    fn what_a_client_sent_cannot_break_a_line_or_fill_it() {
        assert_eq!(
            escaped(b"a\r\nb\"\x1b[31m\xff", 99),
            r#"a\r\nb\"\x1b[31m\xff"#
        );
        assert_eq!(escaped(&[b'a'; 500], 3), "aaa...");
    }

    /// Wherever in a text it stands.
    #[test]
    fn every_byte_that_is_not_plain_is_found() {
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
    fn what_a_client_sent_cannot_pass_for_a_field() {
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
