//! The certificates that GetCACert gives.

use super::ask::Answered;
use super::public::{is_late, left};
use super::{Finding, Notes, Step, Subject};
use crate::base::client::escaped;
use crate::base::reason::Reason;
use crate::insight::diagnosis::{is_page, of_certificates};
use crate::scep::{Certificate, Role, ca_certificates};
use crate::tls::certificate::{date, seconds};

pub(super) fn judge(subject: &Subject<'_>, answer: &Answered, notes: &mut Notes<'_>) {
    let step = Step::GetCaCert;
    let all = match ca_certificates(&answer.body) {
        Ok(all) => all,
        Err(error) => {
            let what = match is_page(&answer.fields) {
                true => "a page came instead of certificates".to_owned(),
                false => format!("its {} bytes cannot be read: {error}", answer.body.len()),
            };
            return notes.add(Finding::anomaly(step, Reason::GetCaCertUnreadable, what));
        }
    };
    let now = seconds(subject.now);
    let mut told = Vec::new();
    for one in &all {
        let ill = of_certificates(std::slice::from_ref(one), now);
        if ill.is_empty() {
            notes.add(dates(subject, one));
        }
        for anomaly in ill {
            told.push(anomaly);
            notes.add(about(one, anomaly));
        }
    }
    // What shows only when they are seen together.
    for anomaly in of_certificates(&all, now) {
        if !told.contains(&anomaly) {
            let foreign = all.iter().find(|one| one.role().is_ra());
            let who = foreign.map_or_else(String::new, name);
            let what = format!("the CA certificate beside it did not issue {who}");
            notes.add(Finding::anomaly(step, anomaly, what));
        }
    }
    if !all.iter().any(|one| one.role().is_ra()) {
        notes.add(Finding::warning(
            step,
            "there is no RA certificate: NDES has two, one to sign and one to decrypt",
            "if this is NDES, configure the role service again; a CA that does its own SCEP needs none",
        ));
    }
}

fn dates(subject: &Subject<'_>, one: &Certificate) -> Finding {
    let step = Step::GetCaCert;
    let who = format!("{} {}", role(one), name(one));
    let Some(end) = one.not_after else {
        return Finding::ok(step, who);
    };
    let told = left(end, subject.now);
    if !is_late(end, subject.now) {
        return Finding::ok(step, format!("{who}: {told}"));
    }
    let cure = match one.role().is_ra() {
        true => {
            "renew both RA certificates (CEP Encryption, Exchange Enrollment Agent) in the machine's store and restart IIS"
        }
        false => "renew the CA certificate, then the RA certificates",
    };
    Finding::warning(step, format!("{who} expires soon: {told}"), cure)
}

fn about(one: &Certificate, anomaly: Reason) -> Finding {
    let step = Step::GetCaCert;
    let who = format!("{} {}", role(one), name(one));
    match (anomaly, one.not_after) {
        (Reason::CaCertificateExpired | Reason::RaCertificateExpired, Some(end)) => {
            Finding::anomaly(step, anomaly, format!("{who} expired on {}", date(end)))
        }
        // Other devices than those of Apple go on.
        (Reason::CaSignaturePss | Reason::CaSignatureSha1, _) => {
            let what = format!("{who} is signed with {}", one.signature.as_str());
            Finding::anomaly(step, anomaly, what).mild()
        }
        _ => Finding::anomaly(step, anomaly, who),
    }
}

fn role(one: &Certificate) -> &'static str {
    match one.role() {
        Role::Ca => "CA",
        Role::Ra => "RA",
        Role::RaSigning => "RA that signs",
        Role::RaEncryption => "RA that decrypts",
        Role::Other => "certificate",
    }
}

fn name(one: &Certificate) -> String {
    let subject = one.subject.text();
    let subject = subject.as_deref().unwrap_or("without a name");
    escaped(subject.as_bytes(), 120)
}
