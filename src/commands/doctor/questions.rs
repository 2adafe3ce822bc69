//! Sends NDES the requests that a device may send before it enrols, and judges the responses.

use http::StatusCode;

use super::direct::Direct;
use super::request::Response;
use super::{Collector, Context, Finding, Step, certificates};
use crate::base::reason::Reason;
use crate::config::PolicyModule;
use crate::insight::diagnosis::{RequestFacts, is_page, of_answer};
use crate::scep::{Capabilities, Capability, Cipher, Digest, Operation};

/// How NDES responds directly, to be compared with its responses through the proxy. A value is
/// `None` if there was no response.
#[derive(Debug, Default)]
pub(super) struct DirectResults {
    /// The status of the response to a request without operation, healthy or not.
    pub(super) bare: Option<StatusCode>,
    /// The number of capabilities in a successful response to GetCACaps.
    pub(super) capabilities: Option<usize>,
    /// The longest URI that passed, in bytes.
    pub(super) longest: Option<usize>,
}

pub(super) const GET_CA_CAPS: &str = "operation=GetCACaps&message=ca";
const GET_CA_CERT: &str = "operation=GetCACert&message=ca";

/// Sends a request without operation, GetCACaps and GetCACert, and reports on each response.
pub(super) async fn ask_all(
    context: &Context<'_>,
    direct: &Direct,
    collector: &mut Collector<'_>,
) -> DirectResults {
    let mut results = DirectResults::default();
    collector.begin(Step::BareGet, "GET without operation");
    let response = match direct.get(None, "").await {
        Ok(response) => response,
        Err(error) => {
            let finding = error.finding(Step::BareGet, context);
            if finding.step != Step::ClientCertificate {
                collector.skip(&[Step::ClientCertificate]);
            }
            collector.add(finding);
            collector.skip(&[Step::GetCaCaps, Step::GetCaCert]);
            return results;
        }
    };
    let anomaly = anomaly_of(context, None, &response, direct);
    collector.add(bare_finding(context, &response, anomaly));
    collector.ok(Step::ClientCertificate, "IIS demands none");
    results.bare = Some(response.status);
    if anomaly.is_some_and(|anomaly| anomaly != Reason::PolicyModuleMissing) {
        // A server with any other anomaly responds like this to every request.
        collector.skip(&[Step::GetCaCaps, Step::GetCaCert]);
        return results;
    }

    collector.begin(Step::GetCaCaps, "GetCACaps");
    match ask(context, direct, Operation::GetCACaps, GET_CA_CAPS).await {
        Ok(response) => {
            let capabilities = Capabilities::read(&response.body);
            results.capabilities = Some(capabilities.iter().count());
            report_capabilities(context, &response, capabilities, collector);
        }
        Err(finding) => collector.add(finding),
    }
    collector.begin(Step::GetCaCert, "GetCACert");
    match ask(context, direct, Operation::GetCACert, GET_CA_CERT).await {
        Ok(response) => certificates::report(context, &response, collector),
        Err(finding) => collector.add(finding),
    }
    results
}

/// Returns the response to `operation`.
///
/// # Errors
/// There is no response, or its status is an anomaly.
async fn ask(
    context: &Context<'_>,
    direct: &Direct,
    operation: Operation,
    query: &str,
) -> Result<Response, Finding> {
    let step = match operation {
        Operation::GetCACert => Step::GetCaCert,
        _ => Step::GetCaCaps,
    };
    let response = direct.get(Some(operation), query).await;
    let response = response.map_err(|error| error.finding(step, context))?;
    match anomaly_of(context, Some(operation), &response, direct) {
        Some(anomaly) => {
            let what = format!("answered {}", response.summary());
            Err(Finding::anomaly(step, anomaly, what))
        }
        None => Ok(response),
    }
}

fn anomaly_of(
    context: &Context<'_>,
    operation: Option<Operation>,
    response: &Response,
    direct: &Direct,
) -> Option<Reason> {
    let facts = RequestFacts {
        operation,
        // The queries are short, so the length cannot be the cause.
        uri_bytes: direct.path.len(),
        policy_module: context.application.policy_module,
    };
    of_answer(facts, response.status, response.answerer())
}

fn bare_finding(context: &Context<'_>, response: &Response, anomaly: Option<Reason>) -> Finding {
    let step = Step::BareGet;
    let summary = response.summary();
    if let Some(anomaly) = anomaly {
        let but = match anomaly {
            Reason::PolicyModuleMissing => ", but the policy module answers 403",
            _ => "",
        };
        return Finding::anomaly(step, anomaly, format!("answered {summary}{but}"));
    }
    let meaning = match (response.status, context.application.policy_module) {
        (StatusCode::FORBIDDEN, _) => "the policy module is active",
        (_, PolicyModule::None) => "NDES responds, without a policy module",
        (_, PolicyModule::Intune) => "NDES responds",
    };
    Finding::ok(step, format!("{summary}: {meaning}"))
}

fn report_capabilities(
    context: &Context<'_>,
    response: &Response,
    capabilities: Capabilities,
    collector: &mut Collector<'_>,
) {
    let step = Step::GetCaCaps;
    let words: Vec<_> = capabilities.iter().map(Capability::as_str).collect();
    if words.is_empty() {
        let what = match is_page(&response.fields) {
            true => "the response is an HTML page, not capabilities",
            false => "the response names no capability",
        };
        // Worse than a missing POST: the response is useless, and NDES is unhealthy by it.
        let finding = Finding::anomaly(step, Reason::PostNotOffered, what);
        return collector.add(finding.as_problem());
    }
    let words = words.join(", ");
    let before = collector.count();
    if !capabilities.takes_post() {
        let what = format!("POSTPKIOperation is missing: {words}");
        collector.add(Finding::anomaly(step, Reason::PostNotOffered, what));
    }
    let digest = strongest_digest(capabilities);
    if digest < Some(Digest::Sha256) {
        collector.add(Finding::warning(
            step,
            format!("SHA-256 is missing, devices sign with SHA-1: {words}"),
            r"install the updates of NDES, and check HashAlgorithm below HKLM\SOFTWARE\Microsoft\Cryptography\MSCEP",
        ));
    }
    let policy = &context.application.scep;
    let aes = capabilities.takes_aes();
    if policy.weakest_cipher > Some(Cipher::Des3) && !aes {
        collector.add(Finding::problem(
            step,
            format!("AES is missing, so devices may encrypt with Triple DES, which weakest_cipher refuses: {words}"),
            "set weakest_cipher = \"des3-cbc\", or check in the log that every device uses AES nevertheless",
        ));
    }
    if let Some(weakest) = policy
        .weakest_digest
        .filter(|weakest| digest < Some(*weakest))
    {
        collector.add(Finding::problem(
            step,
            format!(
                "no digest is as strong as weakest_digest = \"{}\" requires: {words}",
                weakest.as_str()
            ),
            "set a weaker weakest_digest, or configure NDES to offer a stronger one",
        ));
    }
    if collector.count() == before {
        let aes = if aes {
            ""
        } else {
            "; no AES, as usual: devices encrypt with Triple DES"
        };
        collector.ok(step, format!("{words}{aes}"));
    }
}

fn strongest_digest(capabilities: Capabilities) -> Option<Digest> {
    let digests = capabilities.iter().filter_map(|word| match word {
        Capability::Sha1 => Some(Digest::Sha1),
        Capability::Sha224 => Some(Digest::Sha224),
        Capability::Sha256 => Some(Digest::Sha256),
        Capability::Sha384 => Some(Digest::Sha384),
        Capability::Sha512 => Some(Digest::Sha512),
        // RFC 8894 §3.5.2: implies AES, SHA-256 and POSTPKIOperation.
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
