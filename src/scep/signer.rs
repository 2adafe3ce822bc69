//! The signer of a message.

use super::ber::{CONTEXT_0_STRING, INTEGER, Reader, SEQUENCE};
use super::certificate::{KeyId, of_tbs, serial_and_algorithm};
use super::serial::without_zeros;
use super::{Certificate, Name, Serial, Unreadable, name};

/// The part of the certificate of a signer that identifies it. The rest is not needed, and reading
/// it would cost every message. Decides nothing about trust.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Signer {
    pub subject: Name,
    /// `None` if it is the subject.
    pub issuer: Option<Name>,
    pub serial: Serial,
}

impl Signer {
    /// Returns whether subject and issuer are the same. No signature is verified.
    pub fn is_self_issued(&self) -> bool {
        self.issuer.is_none()
    }

    /// Reads the certificate that the sid in a SignerInfo names. Returns `None` if there is none.
    pub(super) fn read(
        info: &mut Reader<'_>,
        certificates: &[&[u8]],
    ) -> Result<Option<Self>, Unreadable> {
        let mut certificates = certificates.iter();
        if info.peek()? == Some(CONTEXT_0_STRING) {
            let wanted = KeyId::new(info.primitive(CONTEXT_0_STRING)?);
            let mut read = certificates.filter_map(|der| Certificate::read(der));
            let named = read.find(|one| one.subject_key_id == Some(wanted));
            return Ok(named.map(Self::from));
        }
        info.constructed(SEQUENCE, |sid| {
            let (issuer, serial) = (sid.raw()?, sid.primitive(INTEGER)?);
            Ok(certificates.find_map(|der| Self::named(der, issuer, serial)))
        })
    }

    /// Reads the certificate in `der` if it has this issuer (a Name with its tag) and serial (the
    /// content of its INTEGER).
    fn named(der: &[u8], issuer: &[u8], serial: &[u8]) -> Option<Self> {
        let read = of_tbs(der, |tbs| {
            let (found_serial, _) = serial_and_algorithm(tbs)?;
            let found_issuer = tbs.raw()?;
            let is_named = without_zeros(found_serial) == without_zeros(serial)
                && name::is_same(found_issuer, issuer);
            if !is_named {
                return Ok(None);
            }
            tbs.skip()?; // validity
            let subject = tbs.raw()?;
            let is_other = !name::is_same(subject, found_issuer);
            Ok(Some(Self {
                subject: Name::new(subject),
                issuer: is_other.then(|| Name::new(found_issuer)),
                serial: Serial::new(found_serial),
            }))
        });
        read.ok().flatten()
    }
}

impl From<Certificate> for Signer {
    fn from(certificate: Certificate) -> Self {
        Self {
            subject: certificate.subject,
            issuer: (!certificate.self_issued).then_some(certificate.issuer),
            serial: certificate.serial,
        }
    }
}
