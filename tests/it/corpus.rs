//! Exchanges of real SCEP clients and servers, from the raw HTTP to every value that can be read in
//! them; see tests/corpus/README.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use bytes::BytesMut;
use ndes_proxy::base::chunked::Chunked;
use ndes_proxy::scep::{
    Capabilities, Capability, CertRep, Certificate, Envelope, KeyId, Message, Operation, Recipient,
    Signer, Unclear, Unreadable, ca_certificates, message_of_query, operation,
};
use serde_json::{Value, json};
use time::OffsetDateTime;
use time::format_description::well_known::Rfc3339;

/// One entry of the index.
pub struct Exchange(Value);

impl Exchange {
    pub fn all() -> Vec<Self> {
        let index = std::fs::read(folder().join("index.json")).unwrap();
        let entries: Vec<Value> = serde_json::from_slice(&index).unwrap();
        entries.into_iter().map(Self).collect()
    }

    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap()
    }

    fn is_pki_operation(&self) -> bool {
        let operation = self.0["operation"].as_str();
        operation.is_some_and(|word| word.eq_ignore_ascii_case("PKIOperation"))
    }

    /// Returns the bytes of the query; empty if there is none.
    pub fn query(&self) -> Vec<u8> {
        let (head, _) = self.raw("req");
        let target = head.split(|byte| *byte == b' ').nth(1).unwrap();
        let at = target.iter().position(|byte| *byte == b'?');
        at.map_or(Vec::new(), |at| target[at + 1..].to_vec())
    }

    /// Returns the content of a PKIOperation, sent by GET or POST.
    pub fn request(&self) -> Result<Vec<u8>, Unreadable> {
        if self.0["method"] == "POST" {
            Ok(self.raw("req").1)
        } else {
            message_of_query(&self.query())
        }
    }

    /// Returns the body of the response.
    pub fn answer(&self) -> Vec<u8> {
        self.raw("resp").1
    }

    fn raw(&self, kind: &str) -> (Vec<u8>, Vec<u8>) {
        let path = folder().join("raw").join(format!("{}.{kind}", self.id()));
        let bytes = std::fs::read(path).unwrap();
        let end = bytes.windows(4).position(|four| four == b"\r\n\r\n");
        let (head, body) = bytes.split_at(end.unwrap() + 4);
        let chunked = head.to_ascii_lowercase();
        if !chunked.windows(10).any(|word| word == b": chunked\r") {
            return (head.to_vec(), body.to_vec());
        }
        let mut decoded = BytesMut::new();
        let end = Chunked::default().decode(&mut BytesMut::from(body), &mut decoded);
        assert_eq!(end, Ok(true), "{}", self.id());
        (head.to_vec(), decoded.to_vec())
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

/// Collects all differences, with the entry and the field.
#[derive(Default)]
struct Comparison {
    wrong: Vec<String>,
    compared: BTreeMap<&'static str, usize>,
}

impl Comparison {
    /// Records a difference unless `found` has at least everything in `expected`.
    fn compare(&mut self, location: &str, expected: &Value, found: &Value) {
        match (expected, found) {
            (Value::Object(fields), Value::Object(_)) => {
                for (name, expected) in fields {
                    self.compare(&format!("{location}.{name}"), expected, &found[name]);
                }
            }
            (Value::Array(expected), Value::Array(found)) if expected.len() == found.len() => {
                for (at, (expected, found)) in expected.iter().zip(found).enumerate() {
                    self.compare(&format!("{location}[{at}]"), expected, found);
                }
            }
            _ if expected == found => {}
            _ => {
                let line = format!("{location}: {expected} was expected, {found} was read");
                self.wrong.push(line);
            }
        }
    }

    fn count(&mut self, what: &'static str) {
        *self.compared.entry(what).or_default() += 1;
    }
}

#[test]
fn every_exchange_is_read_as_expected() {
    let mut comparison = Comparison::default();
    for exchange in Exchange::all() {
        comparison.count("exchanges");
        compare_operation(&mut comparison, &exchange);
        compare_request(&mut comparison, &exchange);
        compare_response(&mut comparison, &exchange);
    }
    assert!(
        comparison.wrong.is_empty(),
        "\n{}",
        comparison.wrong.join("\n")
    );
    let counts = [
        ("answers to GetCACaps", 17),
        ("answers to GetCACert", 17),
        ("answers to PKIOperation", 75),
        ("exchanges", 133),
        ("requests", 85),
        ("unreadable requests", 5),
    ];
    assert_eq!(comparison.compared, counts.into());
}

fn compare_operation(comparison: &mut Comparison, exchange: &Exchange) {
    let names = exchange.0["parameters"].as_array().unwrap();
    let names: Vec<&str> = names.iter().map(|name| name.as_str().unwrap()).collect();
    let published = Operation::PUBLISHED.into_iter().find(|operation| {
        let sent = exchange.0["operation"].as_str();
        sent == Some(operation.as_str())
    });
    let expected = match names.iter().filter(|name| **name == "operation").count() {
        // Names that another parser might mistake for it.
        _ if names
            .iter()
            .any(|name| ["OPERATION", "oper%61tion"].contains(name)) =>
        {
            Err(Unclear::Ambiguous)
        }
        0 => Ok(None),
        1 => published.map(Some).ok_or(Unclear::Unknown),
        _ => Err(Unclear::Ambiguous),
    };
    let found = operation(&exchange.query());
    if found != expected {
        let location = format!("{}: operation", exchange.id());
        comparison.wrong.push(format!(
            "{location}: {expected:?} was expected, {found:?} was read"
        ));
    }
}

fn compare_request(comparison: &mut Comparison, exchange: &Exchange) {
    if !exchange.is_pki_operation() {
        return;
    }
    let bytes = exchange.request();
    let read = bytes.and_then(|bytes| Ok((Message::read(&bytes)?, bytes)));
    let found = match read {
        Ok((message, bytes)) => message_json(&message, &bytes),
        Err(_) => Value::Null,
    };
    let expected = &exchange.0["request_message"];
    comparison.count(match expected {
        Value::Null => "unreadable requests",
        _ => "requests",
    });
    comparison.compare(&format!("{}: request", exchange.id()), expected, &found);
}

/// The short way of reading a response finds the same as the complete one.
fn compare_cert_rep(comparison: &mut Comparison, location: &str, body: &[u8]) {
    let whole = Message::read(body).and_then(|message| {
        Ok(CertRep {
            pki_status: message.pki_status.ok_or(Unreadable::NotScep)?,
            transaction_id: message.transaction_id,
            recipient_nonce: message.recipient_nonce,
            fail_info: message.fail_info,
            fail_info_text: message.fail_info_text,
        })
    });
    let found = CertRep::read(body);
    if found != whole {
        comparison.wrong.push(format!(
            "{location}: {whole:?} was expected, {found:?} was read"
        ));
    }
}

fn compare_response(comparison: &mut Comparison, exchange: &Exchange) {
    let (location, body) = (format!("{}: answer", exchange.id()), exchange.answer());
    let expected = &exchange.0["response"];
    if let Some(expected) = expected.get("message") {
        comparison.count("answers to PKIOperation");
        let found = Message::read(&body);
        let found = found.map_or_else(|why| json!(why.reason()), |m| message_json(&m, &body));
        comparison.compare(&location, expected, &found);
        compare_cert_rep(comparison, &location, &body);
    }
    if let Some(expected @ Value::Array(_)) = expected.get("ca_certificates") {
        comparison.count("answers to GetCACert");
        let found = ca_certificates(&body);
        let found = found.map_or_else(
            |why| json!(why.reason()),
            |found| found.iter().map(ca_certificate_json).collect(),
        );
        comparison.compare(&location, expected, &found);
    }
    if let Some(expected) = expected.get("caps") {
        comparison.count("answers to GetCACaps");
        let expected = expected.as_array().unwrap().iter();
        let expected: BTreeSet<&str> = expected.map(|word| word.as_str().unwrap()).collect();
        let found: BTreeSet<&str> = Capabilities::read(&body)
            .iter()
            .map(Capability::as_str)
            .collect();
        comparison.compare(&location, &json!(expected), &json!(found));
    }
}

/// Returns the values as they are in the index.
fn message_json(message: &Message, bytes: &[u8]) -> Value {
    let mut found = json!({
        "cms_length": bytes.len(),
        "sha256": hex(aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes).as_ref()),
        "econtent": match message.envelope {
            Envelope::Absent => "absent",
            Envelope::Empty => "empty OCTET STRING",
            Envelope::Enveloped => "EnvelopedData",
            Envelope::Unreadable => "unreadable",
        },
        "digest_algorithm": message.digest.as_str(),
        "digest_algorithm_oid": message.digest.oid().to_string(),
        "signature_algorithm": message.signature.as_str(),
        "signature_algorithm_oid": message.signature.oid().to_string(),
        "content_encryption": message.content_encryption.map(|cipher| cipher.as_str()),
        "content_encryption_oid": message.content_encryption.map(|cipher| cipher.oid().to_string()),
        "messageType": message.message_type.map(|kind| kind.number().to_string()),
        "messageTypeName": message.message_type.map(|kind| kind.as_str()),
        "pkiStatus": message.pki_status.map(|status| status.number().to_string()),
        "pkiStatusName": message.pki_status.map(|status| status.as_str()),
        "failInfo": message.fail_info.map(|info| info.number().to_string()),
        "failInfoName": message.fail_info.map(|info| info.as_str()),
        "failInfoText": message.fail_info_text,
        "transactionID_hex": message.transaction_id.as_deref().map(hex),
        "senderNonce": message.sender_nonce.as_deref().map(hex),
        "recipientNonce": message.recipient_nonce.as_deref().map(hex),
        "signer": message.signer.as_ref().map(|signer| signer_json(signer, bytes)),
    });
    let mut transported = message
        .recipients
        .iter()
        .filter_map(|recipient| match recipient {
            Recipient::IssuerAndSerial { issuer, serial } => {
                Some(json!({ "issuer_rfc4514": issuer.text(), "serial_hex": serial.text() }))
            }
            Recipient::KeyId(id) => Some(json!({ "ski_hex": hex(id) })),
            Recipient::Other => None,
        });
    found["recipient"] = transported.next().unwrap_or_default();
    found
}

/// Returns the signer with the values of its certificate.
fn signer_json(signer: &Signer, message: &[u8]) -> Value {
    let issuer = signer.issuer.as_ref().unwrap_or(&signer.subject);
    let certificates = ca_certificates(message).unwrap();
    let is_named = |one: &&Certificate| one.serial == signer.serial && one.issuer.is_same(issuer);
    let certificate = certificates.iter().find(is_named).unwrap();
    assert_eq!(certificate.subject, signer.subject);
    let mut found = certificate_json(certificate);
    found["self_signed"] = json!(signer.is_self_issued());
    found["key"] = json!(certificate.key.as_str());
    found["key_bits"] = json!(certificate.key.bits());
    found
}

fn ca_certificate_json(certificate: &Certificate) -> Value {
    let usage = certificate
        .key_usage
        .into_iter()
        .flat_map(|usage| usage.names());
    let purposes = certificate.ext_key_usage.iter().map(ToString::to_string);
    let mut found = certificate_json(certificate);
    found["is_ca"] = json!(certificate.is_ca);
    found["key_usage"] = usage.collect();
    found["ext_key_usage"] = purposes.collect();
    found["signature_algorithm"] = json!(certificate.signature.as_str());
    found["signature_algorithm_oid"] = json!(certificate.signature.oid().to_string());
    found["role"] = json!(certificate.role().as_str());
    found
}

fn certificate_json(certificate: &Certificate) -> Value {
    let date = |seconds| {
        OffsetDateTime::from_unix_timestamp(seconds)
            .unwrap()
            .format(&Rfc3339)
    };
    json!({
        "subject_rfc4514": certificate.subject.text(),
        "issuer_rfc4514": certificate.issuer.text(),
        "serial_hex": certificate.serial.text(),
        "not_after": certificate.not_after.map(|seconds| date(seconds).unwrap()),
    })
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_ra_certificates_were_issued_by_the_ca_beside_them_and_get_the_messages() {
    let exchanges = Exchange::all();
    let find = |id: &str| {
        exchanges
            .iter()
            .find(|one| one.id().starts_with(id))
            .unwrap()
    };
    let certificates = ca_certificates(&find("004-").answer()).unwrap();
    let [ca, signing, encryption] = &certificates[..] else {
        panic!("{certificates:?}");
    };
    assert!(ca.is_issued_by(ca) && signing.is_issued_by(ca) && encryption.is_issued_by(ca));
    assert!(!ca.is_issued_by(signing) && !encryption.is_issued_by(signing));
    let stranger = &ca_certificates(&find("002-").answer()).unwrap()[0];
    assert!(!signing.is_issued_by(stranger));
    // A CA of the same name with another key.
    let mut renewed = ca.clone();
    renewed.subject_key_id = Some(KeyId::new(&[1]));
    assert_eq!(
        signing.is_issued_by(&renewed),
        signing.authority_key_id.is_none()
    );

    // scepclient encrypts for all three, pyscep for one.
    let recipients = |id: &str| {
        Message::read(&find(id).request().unwrap())
            .unwrap()
            .recipients
    };
    let three = recipients("019-");
    assert_eq!(three.len(), 3);
    for certificate in &certificates {
        assert_eq!(
            three.iter().filter(|one| one.is_for(certificate)).count(),
            1
        );
    }
    let one = recipients("056-");
    let is_one = |certificate: &Certificate| one.iter().any(|one| one.is_for(certificate));
    assert_eq!([ca, signing, encryption].map(is_one), [false, false, true]);
}
