//! Names, dates and digests as text that is safe in a log.

use std::time::{SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::scep::Name;

/// Formats seconds since 1970 as `2026-03-01 12:00:00 UTC`.
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

/// Returns the seconds since 1970, and 0 for an earlier time.
pub fn seconds(at: SystemTime) -> i64 {
    let since = at.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
}

/// Returns lower-case hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The most characters of a text. No DNS name (253) is ever cut.
pub const MAX_TEXT: usize = 256;
/// The most names of a SAN that a message lists.
pub const MAX_NAMES: usize = 20;

/// Returns a name in the format of RFC 4514, which has no control characters.
pub(in crate::tls) fn name_text(name: &Name) -> String {
    let mut text = name
        .text()
        .unwrap_or_else(|| "(unreadable name)".to_owned());
    if let Some((end, _)) = text.char_indices().nth(MAX_TEXT) {
        text.truncate(end);
        text.push_str("...");
    }
    text
}

/// Cuts and escapes a text. An apostrophe is harmless and common in names of firms.
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
    fn text_is_cut_after_256_characters() {
        assert_eq!(printable(&"a".repeat(256)), "a".repeat(256));
        assert_eq!(printable(&"a".repeat(257)), "a".repeat(256) + "...");
    }

    #[test]
    fn dates_out_of_range_are_formatted_as_seconds() {
        assert_eq!(date(0), "1970-01-01 00:00:00 UTC");
        assert_eq!(date(i64::MAX), format!("{} seconds after 1970", i64::MAX));
    }
}
