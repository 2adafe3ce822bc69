//! The message of a GET PKIOperation.

use super::Unreadable;

/// The CMS bytes of a PKIOperation that was sent by GET (RFC 8894 §4.1): the first parameter
/// `message` of the raw query, its name in any case.
///
/// Percent-decoded once; `+` stays `+`. Either base64 alphabet, with lines and without, with
/// padding and without (RFC 4648 §4, §5).
///
/// # Errors
/// `NoMessage`, `NotBase64`.
pub fn message_of_query(query: &[u8]) -> Result<Vec<u8>, Unreadable> {
    _ = query;
    Err(Unreadable::NoMessage)
}
