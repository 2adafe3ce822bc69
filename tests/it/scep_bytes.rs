//! Whatever bytes arrive as a SCEP message or a response: each parser terminates, does not panic,
//! and allocates no more than [`BOUND`] allows.

use allocation_counter::measure;
use ndes_proxy::scep::{
    Capabilities, CertRep, MAX_MESSAGE, Message, Unreadable, ca_certificates, message_of_query,
};
use proptest::collection::vec;
use proptest::prelude::*;

use crate::corpus::Exchange;

/// The number of bytes that the parsers may hold at any time, beyond twice the length of their
/// input: names and certificates are kept, and those are limited in number and length.
const BOUND: u64 = 128 << 10;

/// Parses `bytes` in every way.
fn read(bytes: &[u8]) {
    read_cms(bytes);
    bounded(bytes, |bytes| {
        drop(message_of_query(bytes));
        _ = Capabilities::read(bytes).iter().count();
    });
}

fn read_cms(bytes: &[u8]) {
    bounded(bytes, |bytes| {
        let message = Message::read(bytes);
        let cert_rep = CertRep::read(bytes);
        let certificates = ca_certificates(bytes);
        drop((message, cert_rep, certificates));
    });
}

fn bounded(bytes: &[u8], read: impl Fn(&[u8])) {
    let held = measure(|| read(bytes)).bytes_max;
    let most = 2 * bytes.len() as u64 + BOUND;
    assert!(held <= most, "{held} bytes held for {}", bytes.len());
}

/// Ten messages: of every kind of sender, and responses of every kind.
fn chosen() -> Vec<Vec<u8>> {
    let exchanges = Exchange::all();
    let find = |id: &str| {
        exchanges
            .iter()
            .find(|one| one.id().starts_with(id))
            .unwrap()
    };
    // scepclient, strongSwan, certmonger, pyscep, jscep (BER), one with every length in five bytes
    let requests =
        ["016-", "032-", "047-", "056-", "087-", "198-"].map(|id| find(id).request().unwrap());
    // a page of certificates, FAILURE, PENDING, SUCCESS in BER
    let answers = ["004-", "016-", "115-", "087-"].map(|id| find(id).answer());
    requests.into_iter().chain(answers).collect()
}

#[test]
fn every_prefix_is_parsed_or_refused() {
    for message in chosen() {
        let whole = Message::read(&message).is_ok();
        for end in 0..message.len() {
            let prefix = &message[..end];
            read(prefix);
            if whole {
                let expected = if end == 0 {
                    Unreadable::NoMessage
                } else {
                    Unreadable::Truncated
                };
                assert_eq!(
                    Message::read(prefix),
                    Err(expected),
                    "{end} of {}",
                    message.len()
                );
            }
        }
    }
}

/// All 255 other values if the code is optimised (`cargo test --release`), otherwise every single
/// bit and the two bytes that matter most to a parser of lengths.
#[test]
fn every_changed_byte_is_parsed_or_refused() {
    let all = (1..=255).collect();
    let few = vec![0x01, 0x02, 0x04, 0x08, 0x10, 0x20, 0x40, 0x80];
    let changes: Vec<u8> = if cfg!(debug_assertions) { few } else { all };
    std::thread::scope(|scope| {
        for mut message in chosen() {
            let changes = &changes;
            scope.spawn(move || {
                for at in 0..message.len() {
                    let original = message[at];
                    for change in changes {
                        message[at] = original ^ change;
                        read_cms(&message);
                    }
                    for value in [0, 0x80].into_iter().filter(|value| *value != original) {
                        message[at] = value;
                        read_cms(&message);
                    }
                    message[at] = original;
                }
            });
        }
    });
}

#[test]
fn nesting_and_size_are_limited() {
    let nested = |tag: u8, levels: usize| [tag, 0x80].repeat(levels);
    // A ContentInfo up to its content, all of indefinite length.
    let signed = |inner: &[u8]| {
        let start = b"\x30\x80\x06\x09\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02\xa0\x80\x30\x80";
        [&start[..], inner].concat()
    };
    for tag in [0x24, 0x30, 0x31, 0xa0] {
        for levels in [100, 100_000] {
            let deep = signed(&nested(tag, levels));
            read(&deep);
            assert_eq!(Message::read(&deep), Err(Unreadable::TooDeep));
        }
    }
    // eContent split into pieces within pieces.
    let content = b"\x02\x01\x01\x31\x00\x30\x80\x06\x01\x2a\xa0\x80";
    let deep = signed(&[&content[..], &nested(0x24, 100_000)].concat());
    read(&deep);
    assert_eq!(Message::read(&deep), Err(Unreadable::TooDeep));

    let many = signed(&[0x30, 0].repeat(MAX_MESSAGE / 2));
    assert_eq!(Message::read(&many), Err(Unreadable::TooLarge));
    assert_eq!(ca_certificates(&many), Err(Unreadable::TooLarge));
    // As many certificates, attributes, recipients or names as fit.
    for message in chosen() {
        for value in [b"\x30\x00", b"\x31\x00", b"\x04\x00", b"\x00\x00"] {
            let half = message.len() / 2;
            let filled = [&message[..half], &value.repeat(10_000), &message[half..]].concat();
            read(&filled);
        }
    }
    // Names of the maximum length and of one byte more, in as many certificates as are parsed.
    let value = |tag: u8, content: &[u8]| {
        let length = (content.len() as u32).to_be_bytes();
        [&[tag, 0x84], &length[..], content].concat()
    };
    for length in [4_000, 4_096, 60_000] {
        let attribute = [value(0x06, b"\x55\x04\x03"), value(0x0c, &vec![0; length])].concat();
        let name = value(0x30, &value(0x31, &value(0x30, &attribute)));
        let algorithm = value(0x30, &value(0x06, b"\x2a"));
        let key = value(0x30, &[&algorithm[..], &value(0x03, b"")].concat());
        let serial = value(0x02, &[0x7f; 1_000]);
        let tbs = [
            &serial[..],
            &algorithm,
            &name,
            &value(0x30, b"\x05\x00"),
            &name,
            &key,
        ]
        .concat();
        let certificate = value(0x30, &value(0x30, &tbs));
        let some = &certificate.repeat((MAX_MESSAGE / certificate.len()).min(40))[..];
        let start = value(0x30, &value(0x06, b"\x2a"));
        let inner = [
            b"\x02\x01\x01\x31\x00",
            &start[..],
            &value(0xa0, some),
            b"\x31\0",
        ]
        .concat();
        let bundle = signed(&[&inner[..], &[0; 6]].concat());
        read(&bundle);
        let read = ca_certificates(&bundle).unwrap();
        assert_eq!(read.len(), some.len().div_ceil(certificate.len()).min(16));
        let subject = read[0].subject.text();
        assert_eq!(subject.is_some(), length == 4_000);
        assert!(read[0].serial.text().len() <= 128 && subject.is_none_or(|s| s.len() <= 1024));
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn random_bytes_are_parsed_or_refused(bytes in vec(any::<u8>(), 0..300), start in 0..4_usize) {
        let starts: [&[u8]; 4] = [b"", b"message=", b"\x30\x80\x06", b"MESSAGE=MI"];
        read(&[starts[start], &bytes].concat());
    }

    #[test]
    fn base64_is_decoded_however_it_is_written(
        bytes in vec(any::<u8>(), 1..200),
        escaped in vec(any::<bool>(), 1..40),
        (url, padded, line) in (any::<bool>(), any::<bool>(), 0..70_usize),
    ) {
        let mut query = b"operation=PKIOperation&message=".to_vec();
        for (at, symbol) in base64(&bytes, url, padded).into_iter().enumerate() {
            if line > 3 && at % line == 0 {
                query.extend_from_slice(b"%0D%0a");
            }
            if escaped[at % escaped.len()] {
                query.extend_from_slice(format!("%{symbol:02X}").as_bytes());
            } else {
                query.push(symbol);
            }
        }
        prop_assert_eq!(message_of_query(&query), Ok(bytes));
    }
}

fn base64(bytes: &[u8], url: bool, padded: bool) -> Vec<u8> {
    let mut alphabet = *b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if url {
        alphabet[62..].copy_from_slice(b"-_");
    }
    let groups = bytes.chunks(3).flat_map(|three| {
        let mut bits = [0; 4];
        bits[1..=three.len()].copy_from_slice(three);
        let bits = u32::from_be_bytes(bits);
        let symbols = [18, 12, 6, 0].map(|shift| alphabet[(bits >> shift & 63) as usize]);
        symbols.into_iter().take(three.len() + 1)
    });
    let mut text: Vec<u8> = groups.collect();
    if padded {
        text.resize(text.len().next_multiple_of(4), b'=');
    }
    text
}
