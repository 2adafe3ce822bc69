//! Why a message or an answer cannot be read.

/// One closed list, for the log, the metrics and the table of the README.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    #[error("there is no message: a GET without `message`, or an empty body")]
    NoMessage,
    #[error("the parameter `message` is not base64 after percent-decoding it once")]
    NotBase64,
    #[error("the bytes are no CMS ContentInfo (RFC 5652)")]
    NotCms,
    #[error("the bytes are CMS of another type than SignedData")]
    NotSigned,
    #[error("the bytes end before the lengths in them say so")]
    Truncated,
    #[error("the bytes break the rules of BER or the structure of SignedData")]
    Malformed,
    #[error("values are nested deeper than any real message")]
    TooDeep,
    #[error("there are more bytes than any real message has")]
    TooLarge,
    #[error("SignedData without SignerInfo: nobody has signed it")]
    NoSigner,
    #[error("signed, but without messageType and transactionID: not SCEP (RFC 8894)")]
    NotScep,
    #[error("an answer without a certificate that can be read")]
    NoCertificate,
}

impl Unreadable {
    /// One of each.
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

    /// Stable word.
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
