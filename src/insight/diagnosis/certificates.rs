//! Judges the certificates that GetCACert returns as devices will judge them.

use super::Reason;
use crate::scep::{Certificate, Role};

/// Returns what makes devices fail in a response to GetCACert at `now` (seconds since 1970).
pub fn of_certificates(certificates: &[Certificate], now: i64) -> Vec<Reason> {
    let (ra, cas): (Vec<_>, Vec<_>) = certificates
        .iter()
        .filter(|one| one.role().is_ra() || one.role() == Role::Ca)
        .partition(|one| one.role().is_ra());
    let expired = |one: &&Certificate| one.not_after.is_some_and(|end| end < now);
    let foreign = |ra: &&Certificate| !cas.iter().any(|ca| ra.is_issued_by(ca));
    let judgements = [
        (Reason::RaCertificateExpired, ra.iter().any(expired)),
        (Reason::CaCertificateExpired, cas.iter().any(expired)),
        (
            Reason::RaNotIssuedByCa,
            !cas.is_empty() && ra.iter().any(foreign),
        ),
        (
            Reason::CaSignaturePss,
            certificates.iter().any(|one| one.signature.is_pss()),
        ),
        (
            Reason::CaSignatureSha1,
            certificates.iter().any(|one| one.signature.is_sha1()),
        ),
    ];
    let wrong = judgements.into_iter().filter(|(_, wrong)| *wrong);
    wrong.map(|(anomaly, _)| anomaly).collect()
}
