//! SignedData (RFC 5652 §5), which every SCEP message and most responses are.

use std::borrow::Cow;

use super::ber::{CONTEXT_0, OID, Reader, SEQUENCE};
use super::{Oid, Unreadable};

/// Larger than any real message: a URL of 65534 bytes carries 49 KB.
pub const MAX_MESSAGE: usize = 1 << 20;

pub const MAX_CERTIFICATES: usize = 16;

const SIGNED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x02";

/// The part before the SignerInfos.
pub(super) struct Signed<'a> {
    /// eContent, in one piece.
    pub(super) content: Option<Cow<'a, [u8]>>,
    certificates: [&'a [u8]; MAX_CERTIFICATES],
    found: usize,
}

impl<'a> Signed<'a> {
    /// Returns at most [`MAX_CERTIFICATES`] certificates, with tag and length.
    pub(super) fn certificates(&self) -> &[&'a [u8]] {
        &self.certificates[..self.found]
    }
}

/// Reads a ContentInfo. `signers` receives the SET of SignerInfos.
pub(super) fn signed_data<'a, T>(
    bytes: &'a [u8],
    signers: impl FnOnce(&Signed<'a>, &mut Reader<'a>) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    match bytes {
        [] => return Err(Unreadable::NoMessage),
        _ if bytes.len() > MAX_MESSAGE => return Err(Unreadable::TooLarge),
        _ if !is_content_info(bytes) => return Err(Unreadable::NotCms),
        _ => {}
    }
    content(&mut Reader::new(bytes), SIGNED_DATA, |signed| {
        signed.skip()?; // version
        signed.skip()?; // digestAlgorithms
        let content = signed.constructed(SEQUENCE, |encapsulated| {
            encapsulated.oid()?;
            encapsulated.optional(CONTEXT_0, Reader::string)
        })?;
        let mut before = Signed {
            content,
            certificates: [&[]; MAX_CERTIFICATES],
            found: 0,
        };
        signed.optional(CONTEXT_0, |set| {
            while let Some(tag) = set.peek()?
                && let Some(free) = before.certificates.get_mut(before.found)
            {
                *free = set.raw()?;
                // Other tags are attribute certificates.
                before.found += usize::from(tag == SEQUENCE);
            }
            Ok(())
        })?;
        while signed.peek()? == Some(CRLS) {
            signed.skip()?;
        }
        signers(&before, signed)
    })
}

/// crls [1]
const CRLS: u8 = 0xa1;

/// Applies `read` to the content of a ContentInfo of this type.
pub(super) fn content<'a, T>(
    reader: &mut Reader<'a>,
    content_type: &[u8],
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    reader.constructed(SEQUENCE, |info| {
        if info.oid()? != Oid::new(content_type) {
            return Err(Unreadable::NotSigned);
        }
        info.constructed(CONTEXT_0, |explicit| explicit.constructed(SEQUENCE, read))
    })
}

/// Checks for SEQUENCE { OBJECT IDENTIFIER before lengths are used, so that a page or a certificate
/// request is not called a truncated message. Input that is too short to tell passes.
fn is_content_info(bytes: &[u8]) -> bool {
    let length_bytes = match bytes.get(1) {
        Some(long @ 0x81..) => usize::from(long & 0x7f),
        _ => 0,
    };
    bytes[0] == SEQUENCE && bytes.get(2 + length_bytes).is_none_or(|tag| *tag == OID)
}
