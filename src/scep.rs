//! The reader of SCEP (RFC 8894): what a request asks for, and what its message and the response
//! say without a key. It only reads: nothing is verified, decrypted or changed.

use serde::Deserialize;

mod algorithm;
mod answer;
mod attributes;
mod ber;
mod cert_rep;
mod certificate;
mod cms;
mod inline_bytes;
mod message;
mod name;
mod oid;
mod query;
mod serial;
mod signer;
mod unreadable;

pub use algorithm::{Cipher, Digest, Signature};
pub use answer::{Capabilities, Capability, ca_certificates};
pub use attributes::{FailInfo, MessageType, PkiStatus};
pub use cert_rep::CertRep;
pub use certificate::{
    Certificate, Key, KeyId, KeyUsage, MAX_EXT_KEY_USAGES, MAX_KEY_ID, Role, public_key,
    to_be_signed,
};
pub use cms::{MAX_CERTIFICATES, MAX_MESSAGE};
pub use message::{
    Envelope, MAX_FAIL_INFO_TEXT, MAX_NONCE, MAX_RECIPIENTS, MAX_TRANSACTION_ID, Message, Nonce,
    Recipient,
};
pub use name::{MAX_NAME, Name};
pub use oid::Oid;
pub use query::message_of_query;
pub use serial::{MAX_SERIAL, Serial};
pub use signer::Signer;
pub use unreadable::Unreadable;

/// The operations that NDES publishes. Those of its policy module (`NDESGenerateChallenge`,
/// `NDESGetCACertThumbprint`) are missing on purpose, because they are only for the inside.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Operation {
    GetCACaps,
    GetCACert,
    GetCACertChain,
    GetNextCACert,
    PKIOperation,
}

impl Operation {
    pub const PUBLISHED: [Self; 5] = [
        Self::GetCACaps,
        Self::GetCACert,
        Self::GetCACertChain,
        Self::GetNextCACert,
        Self::PKIOperation,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::GetCACaps => "GetCACaps",
            Self::GetCACert => "GetCACert",
            Self::GetCACertChain => "GetCACertChain",
            Self::GetNextCACert => "GetNextCACert",
            Self::PKIOperation => "PKIOperation",
        }
    }

    fn parse(value: &[u8]) -> Option<Self> {
        Self::PUBLISHED
            .into_iter()
            .find(|operation| operation.as_str().as_bytes() == value)
    }
}

/// Why the operation of a query is unclear.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unclear {
    /// A value that is not an `Operation`.
    Unknown,
    /// Two operations, or a parameter that another reader might take for `operation`.
    Ambiguous,
}

/// Returns the operation that `query` names, or `None` if it has no such parameter.
///
/// Values are compared with case and without decoding: what NDES had to decode first, the proxy and
/// NDES could read differently.
pub fn operation(query: &[u8]) -> Result<Option<Operation>, Unclear> {
    let mut found = None;
    let mut rest = Some(query);
    while let Some(parameters) = rest {
        let end = memchr::memchr(b'&', parameters);
        let parameter = &parameters[..end.unwrap_or(parameters.len())];
        rest = end.map(|end| &parameters[end + 1..]);

        let (name, value) = match memchr::memchr(b'=', parameter) {
            Some(at) => (&parameter[..at], &parameter[at + 1..]),
            None => (parameter, &[][..]),
        };
        if name == b"operation" {
            if found.is_some() {
                return Err(Unclear::Ambiguous);
            }
            found = Some(value);
        } else if resembles_operation(name) {
            return Err(Unclear::Ambiguous);
        }
    }
    match found {
        None => Ok(None),
        Some(value) => Operation::parse(value).map(Some).ok_or(Unclear::Unknown),
    }
}

/// Returns whether a reader that decodes (once or twice), folds case or trims could take `name` for
/// `operation`. Ends at the first byte that differs.
fn resembles_operation(name: &[u8]) -> bool {
    let decoded = PercentDecoded(PercentDecoded(name.iter().copied()));
    let ignored = |b: &u8| b.is_ascii_whitespace() || b.is_ascii_control() || *b == b'+';
    let folded = decoded.filter(|b| !ignored(b));
    folded.map(|b| b.to_ascii_lowercase()).eq(*b"operation")
}

/// Decodes each `%XX` once. Other bytes stay as they are.
#[derive(Clone)]
struct PercentDecoded<I>(I);

impl<I: Iterator<Item = u8> + Clone> Iterator for PercentDecoded<I> {
    type Item = u8;

    fn next(&mut self) -> Option<u8> {
        let first = self.0.next()?;
        if first != b'%' {
            return Some(first);
        }
        let mut ahead = self.0.clone();
        let mut digit = || char::from(ahead.next()?).to_digit(16);
        let (Some(high), Some(low)) = (digit(), digit()) else {
            return Some(first);
        };
        self.0 = ahead;
        Some((high * 16 + low) as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::{Operation, Unclear, operation};

    #[test]
    fn operations_are_read_from_queries() {
        let padded = format!("{}operation=GetCACert", "+".repeat(1_000));
        let cases: [(&str, Result<Option<Operation>, Unclear>); 19] = [
            ("", Ok(None)),
            ("message=x", Ok(None)),
            ("operation=GetCACaps", Ok(Some(Operation::GetCACaps))),
            (
                "message=MIA+/=&operation=PKIOperation",
                Ok(Some(Operation::PKIOperation)),
            ),
            (
                "operation=PKIOperation&message=a=b&x",
                Ok(Some(Operation::PKIOperation)),
            ),
            ("operation=getcacaps", Err(Unclear::Unknown)),
            ("operation=", Err(Unclear::Unknown)),
            ("operation", Err(Unclear::Unknown)),
            ("operation=PKI%4Fperation", Err(Unclear::Unknown)),
            ("operation=NDESGenerateChallenge", Err(Unclear::Unknown)),
            (
                "operation=GetCACert&operation=GetCACert",
                Err(Unclear::Ambiguous),
            ),
            ("OPERATION=GetCACert", Err(Unclear::Ambiguous)),
            ("oper%61tion=GetCACert", Err(Unclear::Ambiguous)),
            ("oper%2561tion=GetCACert", Err(Unclear::Ambiguous)),
            ("operation%20=GetCACert", Err(Unclear::Ambiguous)),
            ("+operation=GetCACert", Err(Unclear::Ambiguous)),
            (&padded, Err(Unclear::Ambiguous)),
            ("operatio%6=GetCACert&operation%", Ok(None)),
            ("operations=x&myoperation=y", Ok(None)),
        ];
        for (query, expected) in cases {
            assert_eq!(operation(query.as_bytes()), expected, "{query}");
        }
    }
}
