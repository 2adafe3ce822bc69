//! A pkiMessage (RFC 8894 §3): what stands in it readable without a key.

use super::certificate::Certificate;
use super::{Cipher, Digest, FailInfo, MessageType, PkiStatus, Signature, Unreadable};

/// What is not sent, or cannot be read while the rest can, is none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    pub message_type: Option<MessageType>,
    /// As sent, cut after [`MAX_TRANSACTION_ID`] bytes; any text, not unique.
    pub transaction_id: Option<Box<[u8]>>,
    /// Cut after [`MAX_NONCE`] bytes, as the next.
    pub sender_nonce: Option<Box<[u8]>>,
    pub recipient_nonce: Option<Box<[u8]>>,
    /// Of a CertRep, as the next two.
    pub pki_status: Option<PkiStatus>,
    pub fail_info: Option<FailInfo>,
    /// Cut after [`MAX_FAIL_INFO_TEXT`] bytes.
    pub fail_info_text: Option<String>,
    /// The certificate that SignerInfo.sid names.
    pub signer: Option<Certificate>,
    pub digest: Digest,
    pub signature: Signature,
    pub envelope: Envelope,
    /// The first [`MAX_RECIPIENTS`], in the order in which they stand.
    pub recipients: Vec<Recipient>,
    pub content_encryption: Option<Cipher>,
}

pub const MAX_TRANSACTION_ID: usize = 256;
pub const MAX_NONCE: usize = 64;
pub const MAX_FAIL_INFO_TEXT: usize = 512;
pub const MAX_RECIPIENTS: usize = 8;

/// What the SignedData is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Envelope {
    /// No eContent: FAILURE and PENDING of RFC 8894.
    Absent,
    /// An empty eContent: the same of some servers.
    Empty,
    Enveloped,
    /// Something else than EnvelopedData, or a broken one.
    Unreadable,
}

/// For whom an envelope is encrypted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Recipient {
    IssuerAndSerial {
        /// As [`Certificate::issuer`].
        issuer: Option<String>,
        /// As [`Certificate::serial`].
        serial: String,
    },
    /// subjectKeyIdentifier; cut as [`Certificate::subject_key_id`].
    KeyId(Box<[u8]>),
    /// By key agreement, shared key or password: no certificate is named.
    Other,
}

impl Message {
    /// Of the bytes of a CMS ContentInfo, BER or DER; what follows it is ignored.
    ///
    /// # Errors
    /// Why it cannot be read, if not even the signed attributes can.
    pub fn read(cms: &[u8]) -> Result<Self, Unreadable> {
        _ = cms;
        Err(Unreadable::NotCms)
    }
}
