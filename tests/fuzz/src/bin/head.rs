//! A request head from the network, checked by the gate: the result is the same however the input
//! is split, the path is always a published one, and a lenient parser reads the same request.

#![no_main]

use std::sync::LazyLock;

use bytes::Bytes;
use libfuzzer_sys::fuzz_target;
use ndes_proxy::base::head::{Framing, Head, Version};
use ndes_proxy::base::rejection::Rejection;
use ndes_proxy::config::Limits;
use ndes_proxy::edge::head::{HeadScanner, parse};
use ndes_proxy::proxy::gate::{self, Admitted};
use ndes_proxy::proxy::rules::Rules;
use ndes_proxy::proxy::site::Site;
use ndes_proxy_fuzz::{PATHS, pieces, published};

static PUBLISHED: LazyLock<(Site<Rules>, Limits)> = LazyLock::new(published);

fuzz_target!(|bytes: &[u8]| {
    let whole = admit(std::iter::once(bytes));
    let in_pieces = admit(pieces(bytes));
    match (&whole, &in_pieces) {
        // Depending on the pieces, an exceeded size is found before or after another error.
        (Err(whole), Err(in_pieces)) if is_size(*whole) || is_size(*in_pieces) => {}
        _ => assert_eq!(format!("{whole:?}"), format!("{in_pieces:?}")),
    }
});

/// Returns the admitted request, or `None` if the head is incomplete.
fn admit<'b>(pieces: impl Iterator<Item = &'b [u8]>) -> Result<Option<Admitted<Rules>>, Rejection> {
    let (site, limits) = &*PUBLISHED;
    let (mut scan, mut arrived) = (HeadScanner::default(), Vec::new());
    for piece in pieces {
        arrived.extend_from_slice(piece);
        let Some(range) = scan.advance(&arrived, limits)? else {
            continue;
        };
        let bytes = Bytes::copy_from_slice(&arrived[range]);
        let head = parse(&bytes)?;
        compare(&head, &bytes);
        let admitted = gate::admit(&head, None, site, limits)?;
        check_target(&admitted, &bytes);
        return Ok(Some(admitted));
    }
    Ok(None)
}

/// Checks that httparse accepts the same head and reads the same values.
fn compare(head: &Head, bytes: &[u8]) {
    let mut fields = vec![httparse::EMPTY_HEADER; head.size.fields];
    let mut request = httparse::Request::new(&mut fields);
    assert_eq!(
        request.parse(bytes),
        Ok(httparse::Status::Complete(bytes.len()))
    );
    let version = u8::from(head.version == Version::Http11);
    assert_eq!(request.version, Some(version));
    let target = request.path.expect("a target").as_bytes();
    assert_eq!(target.len(), head.target.bytes);
    assert!(target.ends_with(&head.target.path_and_query));

    let values = |name: &str| {
        let same = |field: &&httparse::Header<'_>| field.name.eq_ignore_ascii_case(name);
        let found = request.headers.iter().filter(same);
        found.map(|field| field.value).collect::<Vec<_>>()
    };
    let (lengths, codings) = (values("content-length"), values("transfer-encoding"));
    match head.framing {
        Framing::Unknown => {
            assert!(lengths.is_empty() && codings.len() == 1);
            assert!(codings[0].eq_ignore_ascii_case(b"chunked"));
        }
        Framing::Length(length) => {
            assert!(codings.is_empty() && lengths.len() <= 1);
            let value = lengths.first().copied().unwrap_or(b"0");
            let value = std::str::from_utf8(value).expect("digits");
            assert_eq!(value.parse(), Ok(length));
        }
    }
    for (name, value) in [
        ("accept", &head.accept),
        ("content-type", &head.content_type),
        ("user-agent", &head.user_agent),
    ] {
        assert!(
            value
                .as_ref()
                .is_none_or(|value| values(name).contains(&value.as_bytes()))
        );
    }
}

/// Checks that the path is a published one and the query is that of the client.
fn check_target(admitted: &Admitted<Rules>, head: &[u8]) {
    let is_published = |path: &&str| path.as_bytes() == admitted.target.path();
    assert!(PATHS.iter().any(is_published));
    let line = head.split(|b| *b == b'\r').next().unwrap_or_default();
    let target = line.split(|b| *b == b' ').nth(1).unwrap_or_default();
    let query = target
        .iter()
        .position(|b| *b == b'?')
        .map(|at| &target[at + 1..]);
    assert_eq!(admitted.target.query(), query);
}

fn is_size(rejection: Rejection) -> bool {
    matches!(
        rejection,
        Rejection::UriTooLong
            | Rejection::FieldTooLarge
            | Rejection::TooManyFields
            | Rejection::HeadTooLarge
    )
}
