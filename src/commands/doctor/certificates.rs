//! Judges the certificates in the response to GetCACert.

use super::public::{renewal_is_late, time_left};
use super::request::Response;
use super::{Collector, Context, Finding, Step};
use crate::base::reason::Reason;
use crate::base::text::cut;
use crate::insight::diagnosis::{is_page, of_certificates};
use crate::scep::{Certificate, Role, ca_certificates};
use crate::tls::certificate::{date, seconds};

/// Reports expiry, issuer and signature of each certificate in `response`.
pub(super) fn report(context: &Context<'_>, response: &Response, collector: &mut Collector<'_>) {
    let step = Step::GetCaCert;
    let all = match ca_certificates(&response.body) {
        Ok(all) => all,
        Err(error) => {
            let what = match is_page(&response.fields) {
                true => "the response is an HTML page, not certificates".to_owned(),
                false => format!(
                    "the {} bytes of the response cannot be read: {error}",
                    response.body.len()
                ),
            };
            return collector.add(Finding::anomaly(step, Reason::GetCaCertUnreadable, what));
        }
    };
    let now = seconds(context.now);
    let mut reported = Vec::new();
    for certificate in &all {
        let anomalies = of_certificates(std::slice::from_ref(certificate), now);
        if anomalies.is_empty() {
            collector.add(expiry_finding(context, certificate));
        }
        for anomaly in anomalies {
            reported.push(anomaly);
            collector.add(anomaly_finding(certificate, anomaly));
        }
    }
    // These anomalies appear only if all certificates are examined together.
    for anomaly in of_certificates(&all, now) {
        if !reported.contains(&anomaly) {
            let ra = all.iter().find(|certificate| certificate.role().is_ra());
            let who = ra.map_or_else(String::new, name);
            let what = format!("the CA certificate in the same response did not issue {who}");
            collector.add(Finding::anomaly(step, anomaly, what));
        }
    }
    if !all.iter().any(|certificate| certificate.role().is_ra()) {
        collector.add(Finding::warning(
            step,
            "there is no RA certificate: NDES has two, one to sign and one to decrypt",
            "if this is NDES, configure the role service again; a CA with built-in SCEP needs none",
        ));
    }
}

fn expiry_finding(context: &Context<'_>, certificate: &Certificate) -> Finding {
    let step = Step::GetCaCert;
    let who = format!("{} {}", role(certificate), name(certificate));
    let Some(end) = certificate.not_after else {
        return Finding::ok(step, who);
    };
    let time_left = time_left(end, context.now);
    if !renewal_is_late(end, context.now) {
        return Finding::ok(step, format!("{who}: {time_left}"));
    }
    let cure = match certificate.role().is_ra() {
        true => {
            "renew both RA certificates (CEP Encryption, Exchange Enrollment Agent) in the machine's store and restart IIS"
        }
        false => "renew the CA certificate, then the RA certificates",
    };
    Finding::warning(step, format!("{who} expires soon: {time_left}"), cure)
}

fn anomaly_finding(certificate: &Certificate, anomaly: Reason) -> Finding {
    let step = Step::GetCaCert;
    let who = format!("{} {}", role(certificate), name(certificate));
    match (anomaly, certificate.not_after) {
        (Reason::CaCertificateExpired | Reason::RaCertificateExpired, Some(end)) => {
            Finding::anomaly(step, anomaly, format!("{who} expired on {}", date(end)))
        }
        // Only Apple devices refuse these signatures.
        (Reason::CaSignaturePss | Reason::CaSignatureSha1, _) => {
            let what = format!("{who} is signed with {}", certificate.signature.as_str());
            Finding::anomaly(step, anomaly, what)
        }
        _ => Finding::anomaly(step, anomaly, who),
    }
}

fn role(certificate: &Certificate) -> &'static str {
    match certificate.role() {
        Role::Ca => "CA",
        Role::Ra => "RA",
        Role::RaSigning => "signing RA",
        Role::RaEncryption => "encryption RA",
        Role::Other => "certificate",
    }
}

/// Returns the subject, which has no invisible characters (RFC 4514).
fn name(certificate: &Certificate) -> String {
    let subject = certificate.subject.text();
    cut(subject.as_deref().unwrap_or("without a name"), 120).to_owned()
}
