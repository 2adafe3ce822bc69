//! The operation of a query: an accepted query means the same to a parser that decodes once, twice
//! or not at all, and ignores case.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndes_proxy::scep;
use ndes_proxy_fuzz::percent_decode;

fuzz_target!(|query: &[u8]| {
    let Ok(operation) = scep::operation(query) else {
        return;
    };
    let expected: Vec<&[u8]> = operation.iter().map(|o| o.as_str().as_bytes()).collect();
    for decode in [<[u8]>::to_vec, percent_decode, |text: &[u8]| {
        percent_decode(&percent_decode(text))
    }] {
        assert_eq!(operations(query, decode), expected);
    }
});

/// Returns the values of all parameters that such a parser takes for `operation`.
fn operations(query: &[u8], decode: fn(&[u8]) -> Vec<u8>) -> Vec<Vec<u8>> {
    let parameters = query.split(|b| *b == b'&').map(|parameter| {
        let mut parts = parameter.splitn(2, |b| *b == b'=');
        (
            parts.next().unwrap_or_default(),
            parts.next().unwrap_or_default(),
        )
    });
    parameters
        .filter(|(name, _)| {
            let name = decode(name).to_ascii_lowercase();
            // As in ASP.NET and others, `+` is a space, and spaces around a name are ignored.
            let name: Vec<u8> = name
                .iter()
                .map(|b| if *b == b'+' { b' ' } else { *b })
                .collect();
            name.trim_ascii() == b"operation"
        })
        .map(|(_, value)| decode(value))
        .collect()
}
