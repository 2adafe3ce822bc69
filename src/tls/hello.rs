//! Reads what a ClientHello offers from its first bytes. rustls reports no version, and refuses the
//! hellos of TLS 1.0 before it hands them out. Used only for the log, so that an admin can find the
//! old printer; nothing is decided here.
//!
//! It is written by hand because tls-parser, the crate for it, would add 18 crates to the tree
//! (nom 7, phf, num_enum and a second syn among them) for the two values that are read here, and
//! returns no extensions of a ClientHello that is cut off. This reader returns what came before the
//! cut.

/// What could be read. Missing or wrong bytes leave the rest out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hello {
    /// The highest version offered, as on the wire: 0x0301 is TLS 1.0.
    pub version: Option<u16>,
    /// As sent; a client may send any bytes.
    pub server_name: Option<Vec<u8>>,
}

impl Hello {
    /// Returns the version for the log, such as `1.0`, or `unknown` if it is not a version of TLS.
    pub fn version_text(&self) -> &'static str {
        match self.version {
            Some(0x0300) => "ssl3",
            Some(0x0301) => "1.0",
            Some(0x0302) => "1.1",
            Some(0x0303) => "1.2",
            Some(0x0304) => "1.3",
            Some(_) | None => "unknown",
        }
    }

    pub fn is_old(&self) -> bool {
        self.version
            .is_some_and(|version| (0x0300..0x0303).contains(&version))
    }
}

/// Reads the beginning of a connection: a record with the start of a ClientHello (RFC 8446 §4.1.2,
/// §5.1). Takes time in proportion to `bytes`, which the caller bounds.
pub fn read(bytes: &[u8]) -> Hello {
    let mut hello = Hello::default();
    // A wrong or missing byte ends the reading; what was found before is kept.
    _ = read_into(bytes, &mut hello);
    hello
}

fn read_into(bytes: &[u8], hello: &mut Hello) -> Option<()> {
    const HANDSHAKE: u8 = 22;
    const CLIENT_HELLO: u8 = 1;
    let mut rest = Reader(bytes);
    (rest.u8()? == HANDSHAKE).then_some(())?;
    rest.take(2 + 2)?;
    (rest.u8()? == CLIENT_HELLO).then_some(())?;
    rest.take(3)?;
    hello.version = Some(rest.u16()?);
    rest.take(32)?;
    let session_id = rest.u8()?;
    rest.take(session_id.into())?;
    let suites = rest.u16()?;
    rest.take(suites.into())?;
    let compressions = rest.u8()?;
    rest.take(compressions.into())?;
    let extensions = rest.u16()?;
    let mut rest = Reader(&rest.0[..rest.0.len().min(extensions.into())]);
    while let (Some(kind), Some(length)) = (rest.u16(), rest.u16()) {
        read_extension(kind, Reader(rest.take(length.into())?), hello);
    }
    Some(())
}

fn read_extension(kind: u16, mut body: Reader<'_>, hello: &mut Hello) -> Option<()> {
    const SERVER_NAME: u16 = 0;
    const SUPPORTED_VERSIONS: u16 = 43;
    match kind {
        SERVER_NAME => {
            // A list of one: type 0, then the name (RFC 6066 §3).
            body.take(2 + 1)?;
            let length = body.u16()?;
            hello.server_name = Some(body.take(length.into())?.to_vec());
        }
        SUPPORTED_VERSIONS => {
            body.u8()?;
            while let Some(version) = body.u16() {
                // Values beyond are GREASE (RFC 8701).
                if version <= 0x0304 && hello.version < Some(version) {
                    hello.version = Some(version);
                }
            }
        }
        _ => {}
    }
    Some(())
}

struct Reader<'b>(&'b [u8]);

impl<'b> Reader<'b> {
    fn take(&mut self, length: usize) -> Option<&'b [u8]> {
        let (taken, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(taken)
    }

    fn u8(&mut self) -> Option<u8> {
        self.take(1).map(|bytes| bytes[0])
    }

    fn u16(&mut self) -> Option<u16> {
        self.take(2)
            .map(|bytes| u16::from_be_bytes([bytes[0], bytes[1]]))
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::pki_types::ServerName;
    use rustls::{ClientConfig, ClientConnection, RootCertStore};

    use super::*;

    fn hello_of_rustls() -> Vec<u8> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(RootCertStore::empty())
            .with_no_client_auth();
        let name = ServerName::try_from("scep.example.test").unwrap();
        let mut bytes = Vec::new();
        let mut connection = ClientConnection::new(Arc::new(config), name).unwrap();
        connection.write_tls(&mut bytes).unwrap();
        bytes
    }

    #[test]
    fn a_current_hello_is_read() {
        let hello = read(&hello_of_rustls());
        assert_eq!(hello.version_text(), "1.3");
        assert_eq!(
            hello.server_name.as_deref(),
            Some(&b"scep.example.test"[..])
        );
        assert!(!hello.is_old());
    }

    #[test]
    fn a_hello_of_tls_1_0_without_extensions() {
        let body = [&[3, 1][..], &[7; 32], &[0], &[0, 2, 0, 0x2F], &[1, 0]].concat();
        let length = body.len() as u8;
        let bytes = [&[22, 3, 1, 0, length + 4, 1, 0, 0, length][..], &body].concat();
        let hello = read(&bytes);
        assert_eq!((hello.version_text(), hello.is_old()), ("1.0", true));
        assert_eq!(hello.server_name, None);
    }

    #[test]
    fn a_truncated_hello_is_read_as_far_as_it_goes() {
        let bytes = hello_of_rustls();
        for length in 0..bytes.len() {
            let hello = read(&bytes[..length]);
            assert_eq!(hello.version.is_some(), length >= 11);
        }
        assert_eq!(read(b"GET / HTTP/1.1\r\n"), Hello::default());
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_read_without_panic(start in 0usize..2_000, noise: Vec<u8>) {
            let hello = hello_of_rustls();
            let bytes = [&hello[..start.min(hello.len())], &noise].concat();
            let name = read(&bytes).server_name.unwrap_or_default();
            proptest::prop_assert!(name.len() <= bytes.len());
        }
    }
}
