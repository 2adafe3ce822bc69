//! The purpose of a certificate.

/// The purpose of a certificate that NDES presents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Ca,
    /// A registration authority that signs and decrypts.
    Ra,
    RaSigning,
    RaEncryption,
    Other,
}

impl Role {
    pub const ALL: [Self; 5] = [
        Self::Ca,
        Self::Ra,
        Self::RaSigning,
        Self::RaEncryption,
        Self::Other,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Ra => "ra",
            Self::RaSigning => "ra-signing",
            Self::RaEncryption => "ra-encryption",
            Self::Other => "other",
        }
    }

    /// Returns whether the certificate belongs to a registration authority.
    pub fn is_ra(self) -> bool {
        matches!(self, Self::Ra | Self::RaSigning | Self::RaEncryption)
    }
}

/// The bits of keyUsage (RFC 5280 §4.2.1.3). The first bit is the lowest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(u16);

const DIGITAL_SIGNATURE: u16 = 1;
const NON_REPUDIATION: u16 = 1 << 1;
const KEY_ENCIPHERMENT: u16 = 1 << 2;
const DATA_ENCIPHERMENT: u16 = 1 << 3;
const KEY_AGREEMENT: u16 = 1 << 4;

const NAMES: [&str; 9] = [
    "digitalSignature",
    "nonRepudiation",
    "keyEncipherment",
    "dataEncipherment",
    "keyAgreement",
    "keyCertSign",
    "cRLSign",
    "encipherOnly",
    "decipherOnly",
];

impl KeyUsage {
    pub fn is_for_signing(self) -> bool {
        self.0 & (DIGITAL_SIGNATURE | NON_REPUDIATION) != 0
    }

    pub fn is_for_encryption(self) -> bool {
        self.0 & (KEY_ENCIPHERMENT | DATA_ENCIPHERMENT | KEY_AGREEMENT) != 0
    }

    /// Returns the names of RFC 5280.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        let named = NAMES.into_iter().enumerate();
        named.filter_map(move |(bit, name)| (self.0 & 1 << bit != 0).then_some(name))
    }

    /// Reads the content of a BIT STRING, whose first byte is the number of unused bits.
    pub(super) fn read(content: &[u8]) -> Self {
        let byte = |at| content.get(at).map_or(0, |byte: &u8| byte.reverse_bits());
        Self(u16::from_le_bytes([byte(1), byte(2)]))
    }
}

#[cfg(test)]
mod tests {
    use super::KeyUsage;

    #[test]
    fn bits_are_named() {
        let names = |content: &[u8]| KeyUsage::read(content).names().collect::<Vec<_>>();
        assert_eq!(names(b"\x05\xa0"), ["digitalSignature", "keyEncipherment"]);
        assert_eq!(names(b"\x07\x01\x80"), ["encipherOnly", "decipherOnly"]);
        assert!(names(b"").is_empty());
    }
}
