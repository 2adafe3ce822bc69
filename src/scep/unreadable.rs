//! Why a message or a response cannot be read.

/// A closed list, for the log, the metrics and config/reference/metrics.md.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("there is no message: a GET without `message`, or an empty body")]
    NoMessage,
    #[error("the parameter `message` is not base64 after percent-decoding it once")]
    NotBase64,
    #[error("the bytes are not a CMS ContentInfo (RFC 5652)")]
    NotCms,
    #[error("the bytes are CMS of another type than SignedData")]
    NotSigned,
    #[error("the bytes end before the end that their lengths state")]
    Truncated,
    #[error("the bytes break the rules of BER or the structure of SignedData")]
    Malformed,
    #[error("values are nested deeper than any real message")]
    TooDeep,
    #[error("there are more bytes than any real message has")]
    TooLarge,
    #[error("the SignedData has no SignerInfo, so it is not signed")]
    NoSigner,
    #[error("the message has no messageType and no transactionID, so it is not SCEP (RFC 8894)")]
    NotScep,
    #[error("the response has no certificate that can be read")]
    NoCertificate,
}

impl Unreadable {
    /// All variants.
    pub const ALL: [Self; 11] = [
        Self::NoMessage,
        Self::NotBase64,
        Self::NotCms,
        Self::NotSigned,
        Self::Truncated,
        Self::Malformed,
        Self::TooDeep,
        Self::TooLarge,
        Self::NoSigner,
        Self::NotScep,
        Self::NoCertificate,
    ];

    /// Returns the stable word.
    pub fn reason(self) -> &'static str {
        match self {
            Self::NoMessage => "no_message",
            Self::NotBase64 => "not_base64",
            Self::NotCms => "not_cms",
            Self::NotSigned => "not_signed",
            Self::Truncated => "truncated",
            Self::Malformed => "malformed",
            Self::TooDeep => "too_deep",
            Self::TooLarge => "too_large",
            Self::NoSigner => "no_signer",
            Self::NotScep => "not_scep",
            Self::NoCertificate => "no_certificate",
        }
    }
}
