//! A pkiMessage (RFC 8894 §3): the part that can be read without a key.

use super::ber::{CONTEXT_0, CONTEXT_0_STRING, INTEGER, OID, Reader, SEQUENCE, SET};
use super::certificate::KeyId;
use super::cms::{Signed, content, signed_data};
use super::inline_bytes::InlineBytes;
use super::{
    Certificate, Cipher, Digest, FailInfo, MessageType, Name, PkiStatus, Serial, Signature, Signer,
    Unreadable,
};
use crate::base::text::cut;

/// A value that is absent, or that cannot be read although the rest can, is `None`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub message_type: Option<MessageType>,
    /// As sent, cut after [`MAX_TRANSACTION_ID`] bytes. It is any text and not unique.
    pub transaction_id: Option<Box<[u8]>>,
    pub sender_nonce: Option<Nonce>,
    pub recipient_nonce: Option<Nonce>,
    /// Set for a CertRep, as the next two.
    pub pki_status: Option<PkiStatus>,
    pub fail_info: Option<FailInfo>,
    /// Cut after [`MAX_FAIL_INFO_TEXT`] bytes.
    pub fail_info_text: Option<String>,
    /// The certificate that SignerInfo.sid names.
    pub signer: Option<Signer>,
    pub digest: Digest,
    pub signature: Signature,
    pub envelope: Envelope,
    /// The first [`MAX_RECIPIENTS`], in their order.
    pub recipients: Vec<Recipient>,
    pub content_encryption: Option<Cipher>,
}

/// Cut after [`MAX_NONCE`] bytes.
pub type Nonce = InlineBytes<MAX_NONCE>;

pub const MAX_TRANSACTION_ID: usize = 256;
pub const MAX_NONCE: usize = 64;
pub const MAX_FAIL_INFO_TEXT: usize = 512;
pub const MAX_RECIPIENTS: usize = 8;

/// The content of the SignedData.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// No eContent: FAILURE and PENDING of RFC 8894.
    Absent,
    /// An empty eContent: the same, of some servers.
    Empty,
    Enveloped,
    /// Something other than EnvelopedData, or a broken one.
    Unreadable,
}

/// A certificate that an envelope is encrypted for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    IssuerAndSerial {
        issuer: Name,
        serial: Serial,
    },
    /// subjectKeyIdentifier
    KeyId(KeyId),
    /// By key agreement, shared key or password, which name no certificate.
    Other,
}

impl Recipient {
    /// Returns whether the envelope is for `certificate`.
    pub fn is_for(&self, certificate: &Certificate) -> bool {
        match self {
            Self::IssuerAndSerial { issuer, serial } => {
                *serial == certificate.serial && certificate.issuer.is_same(issuer)
            }
            Self::KeyId(id) => certificate.subject_key_id == Some(*id),
            Self::Other => false,
        }
    }
}

impl Message {
    /// Reads the bytes of a CMS ContentInfo, BER or DER. Bytes behind it are ignored. Takes time in
    /// proportion to their length, and allocates at most as many bytes and 128 KB.
    ///
    /// # Errors
    /// Returns the reason if not even the signed attributes can be read.
    pub fn read(cms: &[u8]) -> Result<Self, Unreadable> {
        signed_data(cms, |signed, rest| {
            let signer = first_signer(rest, |info| SignerInfo::read(info, signed))?;
            let contents = match signed.content.as_deref() {
                None => Contents::without(Envelope::Absent),
                Some([]) => Contents::without(Envelope::Empty),
                Some(content) => Contents::read(content)
                    .unwrap_or_else(|_| Contents::without(Envelope::Unreadable)),
            };
            let attributes = signer.attributes;
            Ok(Self {
                message_type: attributes.message_type,
                transaction_id: attributes.transaction_id,
                sender_nonce: attributes.sender_nonce,
                recipient_nonce: attributes.recipient_nonce,
                pki_status: attributes.pki_status,
                fail_info: attributes.fail_info,
                fail_info_text: attributes.fail_info_text,
                signer: signer.signer,
                digest: signer.digest,
                signature: signer.signature,
                envelope: contents.envelope,
                recipients: contents.recipients,
                content_encryption: contents.cipher,
            })
        })
    }
}

/// Reads the first SignerInfo. SCEP has one.
pub(super) fn first_signer<'a, T>(
    rest: &mut Reader<'a>,
    read: impl FnOnce(&mut Reader<'a>) -> Result<T, Unreadable>,
) -> Result<T, Unreadable> {
    rest.constructed(SET, |infos| match infos.peek()? {
        None => Err(Unreadable::NoSigner),
        Some(_) => infos.constructed(SEQUENCE, read),
    })
}

/// RFC 5652 §5.3.
struct SignerInfo {
    signer: Option<Signer>,
    digest: Digest,
    attributes: Attributes,
    signature: Signature,
}

impl SignerInfo {
    fn read(info: &mut Reader<'_>, signed: &Signed<'_>) -> Result<Self, Unreadable> {
        info.skip()?; // version
        let signer = Signer::read(info, signed.certificates())?;
        let digest = Digest::of(info.algorithm()?);
        let attributes = info.optional(CONTEXT_0, Attributes::read)?;
        Ok(Self {
            signer,
            digest,
            attributes: attributes.ok_or(Unreadable::NotScep)?,
            signature: Signature::of(info.algorithm()?),
        })
    }
}

/// Reads the signed attributes (RFC 8894 §3.2.1), whose order is not fixed.
#[derive(Default)]
pub(super) struct Attributes {
    message_type: Option<MessageType>,
    pub(super) transaction_id: Option<Box<[u8]>>,
    sender_nonce: Option<Nonce>,
    pub(super) recipient_nonce: Option<Nonce>,
    pub(super) pki_status: Option<PkiStatus>,
    pub(super) fail_info: Option<FailInfo>,
    pub(super) fail_info_text: Option<String>,
}

/// 2.16.840.1.113733.1.9, the arc of the attributes of SCEP.
const SCEP: &[u8] = b"\x60\x86\x48\x01\x86\xf8\x45\x01\x09";
/// 1.3.6.1.5.5.7.24.1
const FAIL_INFO_TEXT: &[u8] = b"\x2b\x06\x01\x05\x05\x07\x18\x01";

impl Attributes {
    pub(super) fn read(set: &mut Reader<'_>) -> Result<Self, Unreadable> {
        let (mut found, mut is_scep) = (Self::default(), false);
        while set.peek()?.is_some() {
            set.constructed(SEQUENCE, |attribute| {
                let kind = attribute.primitive(OID)?;
                let number = kind.strip_prefix(SCEP);
                if number.is_none() && kind != FAIL_INFO_TEXT {
                    return Ok(());
                }
                let value = attribute.constructed(SET, Reader::string)?;
                match number {
                    Some([2]) => found.message_type = MessageType::parse(&value),
                    Some([3]) => found.pki_status = PkiStatus::parse(&value),
                    Some([4]) => found.fail_info = FailInfo::parse(&value),
                    Some([5]) => found.sender_nonce = Some(Nonce::new(&value)),
                    Some([6]) => found.recipient_nonce = Some(Nonce::new(&value)),
                    Some([7]) => {
                        let id = &value[..value.len().min(MAX_TRANSACTION_ID)];
                        found.transaction_id = Some(id.into());
                    }
                    Some(_) => {}
                    None => found.fail_info_text = Some(text(&value)),
                }
                is_scep |= matches!(number, Some([2 | 7]));
                Ok(())
            })?;
        }
        if is_scep {
            Ok(found)
        } else {
            Err(Unreadable::NotScep)
        }
    }
}

/// Reads the start of the text. Bytes that are not UTF-8 are replaced.
fn text(value: &[u8]) -> String {
    let start = &value[..value.len().min(MAX_FAIL_INFO_TEXT)];
    let mut text = String::from_utf8_lossy(start).into_owned();
    text.truncate(cut(&text, MAX_FAIL_INFO_TEXT).len());
    text
}

/// Reads an EnvelopedData (RFC 5652 §6.1) up to its encrypted part.
struct Contents {
    envelope: Envelope,
    recipients: Vec<Recipient>,
    cipher: Option<Cipher>,
}

const ENVELOPED_DATA: &[u8] = b"\x2a\x86\x48\x86\xf7\x0d\x01\x07\x03";

impl Contents {
    fn without(envelope: Envelope) -> Self {
        Self {
            envelope,
            recipients: Vec::new(),
            cipher: None,
        }
    }

    fn read(bytes: &[u8]) -> Result<Self, Unreadable> {
        content(&mut Reader::new(bytes), ENVELOPED_DATA, |enveloped| {
            enveloped.skip()?; // version
            enveloped.optional(CONTEXT_0, |_originator| Ok(()))?;
            let recipients = enveloped.constructed(SET, recipients)?;
            let cipher = enveloped.constructed(SEQUENCE, |encrypted| {
                encrypted.oid()?; // contentType
                encrypted.algorithm()
            })?;
            Ok(Self {
                envelope: Envelope::Enveloped,
                recipients,
                cipher: Some(Cipher::of(cipher)),
            })
        })
    }
}

fn recipients(set: &mut Reader<'_>) -> Result<Vec<Recipient>, Unreadable> {
    let mut found = Vec::new();
    while let Some(tag) = set.peek()?
        && found.len() < MAX_RECIPIENTS
    {
        found.push(if tag == SEQUENCE {
            set.constructed(SEQUENCE, key_transport)?
        } else {
            set.skip()?;
            Recipient::Other
        });
    }
    Ok(found)
}

/// Reads a KeyTransRecipientInfo (RFC 5652 §6.2.1).
fn key_transport(info: &mut Reader<'_>) -> Result<Recipient, Unreadable> {
    info.skip()?; // version
    if info.peek()? == Some(CONTEXT_0_STRING) {
        let id = info.primitive(CONTEXT_0_STRING)?;
        return Ok(Recipient::KeyId(KeyId::new(id)));
    }
    info.constructed(SEQUENCE, |named| {
        Ok(Recipient::IssuerAndSerial {
            issuer: Name::new(named.raw()?),
            serial: Serial::new(named.primitive(INTEGER)?),
        })
    })
}

#[cfg(test)]
mod tests;
