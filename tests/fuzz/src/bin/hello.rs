//! The ClientHello: if rustls accepts it, the result is the same as that of rustls.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndes_proxy::tls::hello;
use rustls::server::Acceptor;

fuzz_target!(|bytes: &[u8]| {
    let read = hello::read(bytes);
    _ = (read.version_text(), read.is_old());
    assert!(
        read.server_name
            .as_ref()
            .is_none_or(|name| name.len() <= bytes.len())
    );

    let mut acceptor = Acceptor::default();
    let mut rest = first_record(bytes);
    let arrived = acceptor.read_tls(&mut rest);
    if let (Ok(1..), Ok(Some(accepted))) = (arrived, acceptor.accept()) {
        let hello = accepted.client_hello();
        assert!(read.version.is_some());
        if let Some(name) = hello.server_name() {
            let read = read.server_name.expect("a name");
            let read = read.strip_suffix(b".").unwrap_or(&read);
            assert!(read.eq_ignore_ascii_case(name.as_bytes()));
        }
    }
});

/// Returns the first TLS record, because `hello::read` does not continue in the next one.
fn first_record(bytes: &[u8]) -> &[u8] {
    let length = bytes
        .get(3..5)
        .map_or(0, |b| usize::from(u16::from_be_bytes([b[0], b[1]])));
    bytes.get(..5 + length).unwrap_or(bytes)
}
