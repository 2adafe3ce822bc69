//! Names, dates and digests as text that is safe in a log.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;
use x509_parser::asn1_rs::Tag;
use x509_parser::objects::{oid_registry, oid2abbrev};
use x509_parser::prelude::X509Name;

/// Seconds since 1970 as `2026-03-01 12:00:00 UTC`.
pub fn date(seconds: i64) -> String {
    OffsetDateTime::from_unix_timestamp(seconds).map_or_else(
        |_| format!("{seconds} seconds after 1970"),
        |at| {
            format!(
                "{} {:02}:{:02}:{:02} UTC",
                at.date(),
                at.hour(),
                at.minute(),
                at.second()
            )
        },
    )
}

/// Seconds since 1970; 0 for what lies before.
pub fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Longest text of one field that is kept, in characters: no DNS name (253) is ever cut.
pub const MAX_TEXT: usize = 256;
/// Most names of a SAN that a message lists.
pub const MAX_NAMES: usize = 20;

pub(super) fn name_text(name: &X509Name<'_>) -> String {
    let attributes = name.iter_attributes().map(|attribute| {
        let kind = oid2abbrev(attribute.attr_type(), oid_registry())
            .map_or_else(|_| attribute.attr_type().to_id_string(), str::to_owned);
        let value = attribute.attr_value();
        format!("{kind}={}", attribute_text(value.tag(), value.data))
    });
    printable(&attributes.collect::<Vec<_>>().join(", "))
}

/// Old Windows CAs write names as UTF-16 (BMPString) or Latin-1 (T61String).
pub(super) fn attribute_text(tag: Tag, data: &[u8]) -> String {
    match tag {
        Tag::BmpString => {
            let units = data
                .chunks_exact(2)
                .map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
            char::decode_utf16(units)
                .map(|c| c.unwrap_or(char::REPLACEMENT_CHARACTER))
                .collect()
        }
        Tag::T61String => data.iter().map(|byte| char::from(*byte)).collect(),
        _ => String::from_utf8_lossy(data).into_owned(),
    }
}

/// Cut and escaped; an apostrophe is harmless and common in names of firms.
pub(in crate::tls) fn printable(text: &str) -> String {
    let mut out = String::new();
    for (count, c) in text.chars().enumerate() {
        match c {
            _ if count == MAX_TEXT => {
                out.push_str("...");
                break;
            }
            '\'' => out.push(c),
            c => out.extend(c.escape_debug()),
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_old_windows_cas_are_read() {
        assert_eq!(
            attribute_text(Tag::BmpString, b"\0Z\0\xfc\x20\x1e"),
            "Z\u{fc}\u{201e}"
        );
        assert_eq!(attribute_text(Tag::T61String, b"Z\xfcrich"), "Z\u{fc}rich");
        assert_eq!(attribute_text(Tag::Utf8String, b"\xff"), "\u{fffd}");
    }

    #[test]
    fn text_is_cut_after_256_characters() {
        assert_eq!(printable(&"a".repeat(256)), "a".repeat(256));
        assert_eq!(printable(&"a".repeat(257)), "a".repeat(256) + "...");
    }

    #[test]
    fn dates_out_of_range_are_still_told() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(i64::MAX), format!("{} seconds after 1970", i64::MAX));
    }
}
