//! The values of the signed attributes (RFC 8894 §3.2.1), which are decimal numbers written as
//! text.

/// messageType (RFC 8894 §3.2.1.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageType {
    CertRep,
    RenewalReq,
    /// From the drafts before RFC 8894.
    UpdateReq,
    PKCSReq,
    CertPoll,
    GetCert,
    GetCRL,
    /// Any other number. Windows has a 41.
    Other(u32),
}

/// pkiStatus (RFC 8894 §3.2.1.3).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PkiStatus {
    Success,
    Failure,
    Pending,
    /// Any other number. Windows has an 11.
    Other(u32),
}

/// failInfo (RFC 8894 §3.2.1.4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FailInfo {
    BadAlg,
    BadMessageCheck,
    BadRequest,
    BadTime,
    BadCertId,
    Other(u32),
}

impl MessageType {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 7] = [
        Self::CertRep,
        Self::RenewalReq,
        Self::UpdateReq,
        Self::PKCSReq,
        Self::CertPoll,
        Self::GetCert,
        Self::GetCRL,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::CertRep => "CertRep",
            Self::RenewalReq => "RenewalReq",
            Self::UpdateReq => "UpdateReq",
            Self::PKCSReq => "PKCSReq",
            Self::CertPoll => "CertPoll",
            Self::GetCert => "GetCert",
            Self::GetCRL => "GetCRL",
            Self::Other(_) => "other",
        }
    }

    pub fn number(self) -> u32 {
        match self {
            Self::CertRep => 3,
            Self::RenewalReq => 17,
            Self::UpdateReq => 18,
            Self::PKCSReq => 19,
            Self::CertPoll => 20,
            Self::GetCert => 21,
            Self::GetCRL => 22,
            Self::Other(number) => number,
        }
    }

    /// Reads the decimal digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let number = decimal(digits)?;
        let known = Self::KNOWN.into_iter().find(|k| k.number() == number);
        Some(known.unwrap_or(Self::Other(number)))
    }
}

impl PkiStatus {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 3] = [Self::Success, Self::Failure, Self::Pending];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "SUCCESS",
            Self::Failure => "FAILURE",
            Self::Pending => "PENDING",
            Self::Other(_) => "other",
        }
    }

    pub fn number(self) -> u32 {
        match self {
            Self::Success => 0,
            Self::Failure => 2,
            Self::Pending => 3,
            Self::Other(number) => number,
        }
    }

    /// Reads the decimal digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let number = decimal(digits)?;
        let known = Self::KNOWN.into_iter().find(|k| k.number() == number);
        Some(known.unwrap_or(Self::Other(number)))
    }
}

impl FailInfo {
    /// All variants except `Other`.
    pub const KNOWN: [Self; 5] = [
        Self::BadAlg,
        Self::BadMessageCheck,
        Self::BadRequest,
        Self::BadTime,
        Self::BadCertId,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::BadAlg => "badAlg",
            Self::BadMessageCheck => "badMessageCheck",
            Self::BadRequest => "badRequest",
            Self::BadTime => "badTime",
            Self::BadCertId => "badCertId",
            Self::Other(_) => "other",
        }
    }

    pub fn number(self) -> u32 {
        match self {
            Self::BadAlg => 0,
            Self::BadMessageCheck => 1,
            Self::BadRequest => 2,
            Self::BadTime => 3,
            Self::BadCertId => 4,
            Self::Other(number) => number,
        }
    }

    /// Reads the decimal digits.
    pub fn parse(digits: &[u8]) -> Option<Self> {
        let number = decimal(digits)?;
        let known = Self::KNOWN.into_iter().find(|k| k.number() == number);
        Some(known.unwrap_or(Self::Other(number)))
    }
}

fn decimal(digits: &[u8]) -> Option<u32> {
    let (first, rest) = digits.split_first()?;
    rest.iter().try_fold(digit(*first)?, |number, next| {
        number.checked_mul(10)?.checked_add(digit(*next)?)
    })
}

fn digit(byte: u8) -> Option<u32> {
    char::from(byte).to_digit(10)
}

#[cfg(test)]
mod tests {
    use super::{FailInfo, MessageType, PkiStatus};

    #[test]
    fn numbers_are_read_and_named() {
        for known in MessageType::KNOWN {
            let digits = known.number().to_string();
            assert_eq!(MessageType::parse(digits.as_bytes()), Some(known));
        }
        assert_eq!(MessageType::parse(b"41"), Some(MessageType::Other(41)));
        assert_eq!(PkiStatus::parse(b"11"), Some(PkiStatus::Other(11)));
        assert_eq!(PkiStatus::parse(b"0"), Some(PkiStatus::Success));
        assert_eq!(FailInfo::parse(b"4"), Some(FailInfo::BadCertId));
        for wrong in [&b""[..], b"+3", b"-1", b"x", b" 3", b"4294967296"] {
            assert_eq!(FailInfo::parse(wrong), None, "{wrong:?}");
        }
    }
}
