//! What NDES answers to all that a device may ask before it enrols.

use http::StatusCode;

use super::ask::Answered;
use super::direct::Direct;
use super::{Finding, Notes, Step, Subject, certificates};
use crate::base::reason::Reason;
use crate::config::PolicyModule;
use crate::insight::diagnosis::{RequestFacts, is_page, of_answer};
use crate::scep::{Capabilities, Capability, Cipher, Digest, Operation};

/// What NDES was found to do, to be compared with what comes through the proxy.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// The answer to a request without operation, healthy or not.
    pub(super) bare: Option<StatusCode>,
    /// How many capabilities it names, where GetCACaps was answered.
    pub(super) capabilities: Option<usize>,
    /// The longest URI that it took, in bytes.
    pub(super) longest: Option<usize>,
}

pub(super) const GET_CA_CAPS: &str = "operation=GetCACaps&message=ca";
const GET_CA_CERT: &str = "operation=GetCACert&message=ca";

pub(super) async fn climb(subject: &Subject<'_>, direct: &Direct, notes: &mut Notes<'_>) -> Known {
    let mut known = Known::default();
    notes.begin(Step::BareGet, "GET without operation");
    let answer = match direct.get(None, "").await {
        Ok(answer) => answer,
        Err(none) => {
            let finding = none.finding(Step::BareGet, subject);
            if finding.step != Step::ClientCertificate {
                notes.leave_out(&[Step::ClientCertificate]);
            }
            notes.add(finding);
            notes.leave_out(&[Step::GetCaCaps, Step::GetCaCert]);
            return known;
        }
    };
    let anomaly = judge(subject, None, &answer, direct);
    notes.add(bare(subject, &answer, anomaly));
    notes.ok(Step::ClientCertificate, "none is demanded");
    known.bare = Some(answer.status);
    if anomaly.is_some_and(|anomaly| anomaly != Reason::PolicyModuleMissing) {
        // Whoever answers so answers everything so.
        notes.leave_out(&[Step::GetCaCaps, Step::GetCaCert]);
        return known;
    }

    notes.begin(Step::GetCaCaps, "GetCACaps");
    match ask(subject, direct, Operation::GetCACaps, GET_CA_CAPS).await {
        Ok(answer) => {
            let named = Capabilities::read(&answer.body);
            known.capabilities = Some(named.iter().count());
            capabilities(subject, &answer, named, notes);
        }
        Err(finding) => notes.add(finding),
    }
    notes.begin(Step::GetCaCert, "GetCACert");
    match ask(subject, direct, Operation::GetCACert, GET_CA_CERT).await {
        Ok(answer) => certificates::judge(subject, &answer, notes),
        Err(finding) => notes.add(finding),
    }
    known
}

/// The answer to `operation`, if its head is as it should be.
async fn ask(
    subject: &Subject<'_>,
    direct: &Direct,
    operation: Operation,
    query: &str,
) -> Result<Answered, Finding> {
    let step = match operation {
        Operation::GetCACert => Step::GetCaCert,
        _ => Step::GetCaCaps,
    };
    let answer = direct.get(Some(operation), query).await;
    let answer = answer.map_err(|none| none.finding(step, subject))?;
    match judge(subject, Some(operation), &answer, direct) {
        Some(anomaly) => {
            let what = format!("answered {}", answer.told());
            Err(Finding::anomaly(step, anomaly, what))
        }
        None => Ok(answer),
    }
}

fn judge(
    subject: &Subject<'_>,
    operation: Option<Operation>,
    answer: &Answered,
    direct: &Direct,
) -> Option<Reason> {
    let asked = RequestFacts {
        operation,
        // Short, whatever the query.
        uri_bytes: direct.path.len(),
        policy_module: subject.application.policy_module,
    };
    of_answer(asked, answer.status, answer.answerer())
}

fn bare(subject: &Subject<'_>, answer: &Answered, anomaly: Option<Reason>) -> Finding {
    let step = Step::BareGet;
    let told = answer.told();
    if let Some(anomaly) = anomaly {
        let but = match anomaly {
            Reason::PolicyModuleMissing => ", where the policy module answers 403",
            _ => "",
        };
        return Finding::anomaly(step, anomaly, format!("answered {told}{but}"));
    }
    let meaning = match (answer.status, subject.application.policy_module) {
        (StatusCode::FORBIDDEN, _) => "the policy module is active",
        (_, PolicyModule::None) => "NDES answers, without a policy module",
        (_, PolicyModule::Intune) => "NDES answers",
    };
    Finding::ok(step, format!("{told}: {meaning}"))
}

fn capabilities(
    subject: &Subject<'_>,
    answer: &Answered,
    known: Capabilities,
    notes: &mut Notes<'_>,
) {
    let step = Step::GetCaCaps;
    let words: Vec<_> = known.iter().map(Capability::as_str).collect();
    if words.is_empty() {
        let what = match is_page(&answer.fields) {
            true => "a page came instead of capabilities",
            false => "it names no capability at all",
        };
        return notes.add(Finding::anomaly(step, Reason::PostNotOffered, what));
    }
    let told = words.join(", ");
    let before = notes.count();
    if !known.takes_post() {
        let what = format!("POSTPKIOperation is missing: {told}");
        notes.add(Finding::anomaly(step, Reason::PostNotOffered, what).mild());
    }
    let digest = strongest_digest(known);
    if digest < Some(Digest::Sha256) {
        notes.add(Finding::warning(
            step,
            format!("SHA-256 is missing, devices sign with SHA-1: {told}"),
            r"install the updates of NDES, and see HashAlgorithm below HKLM\SOFTWARE\Microsoft\Cryptography\MSCEP",
        ));
    }
    let policy = &subject.application.scep;
    let aes = known.takes_aes();
    if policy.weakest_cipher > Some(Cipher::Des3) && !aes {
        notes.add(Finding::problem(
            step,
            format!("AES is missing, so devices may encrypt with Triple DES, which weakest_cipher refuses: {told}"),
            "write weakest_cipher = \"des3-cbc\", or see in the log that every device uses AES all the same",
        ));
    }
    if let Some(weakest) = policy
        .weakest_digest
        .filter(|weakest| digest < Some(*weakest))
    {
        notes.add(Finding::problem(
            step,
            format!(
                "no digest is as strong as weakest_digest = \"{}\" wants: {told}",
                weakest.as_str()
            ),
            "write a weaker weakest_digest, or let NDES offer a stronger one",
        ));
    }
    if notes.count() == before {
        let aes = if aes {
            ""
        } else {
            "; no AES, as usual: devices encrypt with Triple DES"
        };
        notes.ok(step, format!("{told}{aes}"));
    }
}

fn strongest_digest(known: Capabilities) -> Option<Digest> {
    let digests = known.iter().filter_map(|word| match word {
        Capability::Sha1 => Some(Digest::Sha1),
        Capability::Sha224 => Some(Digest::Sha224),
        Capability::Sha256 => Some(Digest::Sha256),
        Capability::Sha384 => Some(Digest::Sha384),
        Capability::Sha512 => Some(Digest::Sha512),
        // RFC 8894 §3.5.2: stands for AES, SHA-256 and POSTPKIOperation.
        Capability::SCEPStandard => Some(Digest::Sha256),
        Capability::Aes
        | Capability::Des3
        | Capability::GetNextCACert
        | Capability::POSTPKIOperation
        | Capability::Renewal
        | Capability::Update => None,
    });
    digests.max()
}
