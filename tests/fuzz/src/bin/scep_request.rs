//! A PKIOperation as query and as body: base64 is decoded as a simple decoder does, memory is
//! bounded, and bytes after the message do not change the result.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndes_proxy::scep::{Message, Unreadable, message_of_query};
use ndes_proxy_fuzz::{percent_decode, within_bounds};

fuzz_target!(|bytes: &[u8]| {
    let decoded = within_bounds(bytes, || message_of_query(bytes));
    assert_eq!(decoded, plain_message(bytes));

    // The input as a body, and the message of the query.
    for cms in std::iter::once(bytes).chain(decoded.as_deref()) {
        if let Ok(message) = within_bounds(cms, || Message::read(cms)) {
            let followed = [cms, b"\r\n\0\0"].concat();
            assert_eq!(Message::read(&followed), Ok(message));
        }
    }
});

fn plain_message(query: &[u8]) -> Result<Vec<u8>, Unreadable> {
    let value = query.split(|b| *b == b'&').find_map(|parameter| {
        let at = parameter.iter().position(|b| *b == b'=')?;
        let (name, value) = parameter.split_at(at);
        name.eq_ignore_ascii_case(b"message").then_some(&value[1..])
    });
    let mut text = percent_decode(value.ok_or(Unreadable::NoMessage)?);
    text.retain(|b| !matches!(b, b'\r' | b'\n'));
    while text.last() == Some(&b'=') {
        text.pop();
    }
    let mut bits = String::new();
    for symbol in &text {
        let value = match symbol {
            b'A'..=b'Z' => symbol - b'A',
            b'a'..=b'z' => symbol - b'a' + 26,
            b'0'..=b'9' => symbol - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            _ => return Err(Unreadable::NotBase64),
        };
        bits += &format!("{value:06b}");
    }
    if text.len() % 4 == 1 {
        return Err(Unreadable::NotBase64);
    }
    let whole = bits.as_bytes().chunks_exact(8);
    let bytes = whole.map(|byte| byte.iter().fold(0, |sum, bit| sum << 1 | (bit - b'0')));
    match bytes.collect::<Vec<u8>>() {
        empty if empty.is_empty() => Err(Unreadable::NoMessage),
        bytes => Ok(bytes),
    }
}
