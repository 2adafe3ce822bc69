//! A CertRep (RFC 8894 §3.3): the result of a request.

use super::ber::CONTEXT_0;
use super::cms::signed_data;
use super::message::{Attributes, Nonce, first_signer};
use super::{FailInfo, PkiStatus, Unreadable};

/// Each value is as in [`Message`](super::Message).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertRep {
    pub transaction_id: Option<Box<[u8]>>,
    pub recipient_nonce: Option<Nonce>,
    pub pki_status: PkiStatus,
    pub fail_info: Option<FailInfo>,
    pub fail_info_text: Option<String>,
}

impl CertRep {
    /// Reads the bytes of a CMS ContentInfo as [`Message::read`](super::Message::read) does, but
    /// without its certificates and its envelope.
    ///
    /// # Errors
    /// Returns the reason if it cannot be read, and `NotScep` if there is no pkiStatus.
    pub fn read(cms: &[u8]) -> Result<Self, Unreadable> {
        signed_data(cms, |_, rest| {
            let attributes = first_signer(rest, |info| {
                info.skip()?; // version
                info.skip()?; // sid
                info.skip()?; // digestAlgorithm
                info.optional(CONTEXT_0, Attributes::read)
            })?;
            let attributes = attributes.ok_or(Unreadable::NotScep)?;
            Ok(Self {
                transaction_id: attributes.transaction_id,
                recipient_nonce: attributes.recipient_nonce,
                pki_status: attributes.pki_status.ok_or(Unreadable::NotScep)?,
                fail_info: attributes.fail_info,
                fail_info_text: attributes.fail_info_text,
            })
        })
    }
}
