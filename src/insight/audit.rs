//! The audit event of a PKIOperation: enough to find it again in the IIS log and among the events
//! of the connector. It never contains the message, and values that a device chose are bounded and
//! escaped.

use std::net::IpAddr;
use std::time::Duration;

use super::Insight;
use crate::base::client::RequestId;
use crate::base::reason::Reason;
use crate::observe::log::{Bare, Cut, Line, Text, Value, put};
use crate::scep::{
    Cipher, Digest, FailInfo, MessageType, Name, Oid, PkiStatus, Recipient, Signature, Unreadable,
};

/// The values of the event that are not from the message.
pub struct Audit<'a> {
    pub request_id: RequestId,
    pub application: Option<&'a str>,
    pub client: IpAddr,
    /// Set if the proxy itself answered.
    pub reason: Option<Reason>,
    /// Whether the device left before it received the response.
    pub client_gone: bool,
    pub duration: Duration,
    pub upstream: Option<Duration>,
}

impl Audit<'_> {
    /// `insight` is `None` for a PKIOperation that was refused before its message was read.
    pub fn write(&self, insight: Option<&Insight>, line: &mut Line) {
        let sent = insight.and_then(|insight| insight.message.as_deref());
        let message = sent.map(|sent| sent.message.as_ref());
        let asked = message.and_then(Result::ok);
        let signer = asked.and_then(|asked| asked.signer.as_ref());
        let subject = signer.and_then(|signer| signer.subject.text());
        let issuer = signer.and_then(|signer| signer.issuer.as_ref()?.text());
        let serial = signer.map(|signer| signer.serial.text());
        let read = insight.and_then(|insight| insight.answer.as_ref().map(Result::as_ref));
        let answer = read.and_then(Result::ok);
        let status = insight.and_then(|insight| insight.status);
        let anomaly = insight.and_then(Insight::anomaly);
        let unreadable = |error: &Unreadable| error.reason();
        let digested = sent.filter(|sent| sent.bytes > 0);

        put!(
            line,
            "request_id" = self.request_id,
            "application" = self.application,
            "client" = self.client,
            "message_type" = asked.and_then(|asked| asked.message_type).map(kind),
            "enrolment" = asked.map(super::request::enrolment),
            "transaction_id" = asked
                .and_then(|asked| asked.transaction_id.as_deref())
                .map(cut),
            "signer" = subject.as_deref().map(text),
            "signer_issuer" = issuer.as_deref().map(text),
            "signer_serial" = serial.as_deref(),
            "recipients" = asked.map(|asked| Recipients(&asked.recipients)),
            "digest" = asked.map(|asked| digest(asked.digest)),
            "signature" = asked.map(|asked| signature(asked.signature)),
            "cipher" = asked.and_then(|asked| asked.content_encryption).map(cipher),
            "message_bytes" = sent.map(|sent| sent.bytes),
            "sha256" = digested.map(|sent| Hex(&sent.sha256)),
            "unreadable" = message.and_then(Result::err).map(unreadable),
            "status" = status.map(|status| status.as_u16()),
            "pki_status" = answer.map(|answer| pki_status(answer.pki_status)),
            "fail_info" = answer.and_then(|answer| answer.fail_info).map(fail_info),
            "fail_info_text" = answer
                .and_then(|answer| answer.fail_info_text.as_deref())
                .map(text),
            "answer_unreadable" = read.and_then(Result::err).map(unreadable),
            "reason" = self.reason.map(Reason::word),
            "anomaly" = anomaly.map(Reason::word),
            "advice" = anomaly.map(Reason::advice),
            "client_gone" = self.client_gone.then_some(true),
            "duration_ms" = self.duration,
            "upstream_ms" = self.upstream,
        );
    }
}

/// The most bytes of a text that a device chose.
const MOST: usize = 200;

fn cut(bytes: &[u8]) -> Cut<'_> {
    Cut(bytes, MOST)
}

fn text(text: &str) -> Text<'_> {
    Text(text, MOST)
}

/// Writes a number of RFC 8894 as its word, and another one as the number. The next two do the
/// same.
fn kind(kind: MessageType) -> Bare<u32> {
    match kind {
        MessageType::Other(number) => Bare::Other(number),
        known => Bare::Known(known.as_str()),
    }
}

fn pki_status(status: PkiStatus) -> Bare<u32> {
    match status {
        PkiStatus::Other(number) => Bare::Other(number),
        known => Bare::Known(known.as_str()),
    }
}

fn fail_info(info: FailInfo) -> Bare<u32> {
    match info {
        FailInfo::Other(number) => Bare::Other(number),
        known => Bare::Known(known.as_str()),
    }
}

/// Writes a known algorithm as its word, and another one as its OID. The next two do the same.
fn digest(digest: Digest) -> Bare<Oid> {
    match digest {
        Digest::Other(oid) => Bare::Other(oid),
        known => Bare::Known(known.as_str()),
    }
}

fn signature(signature: Signature) -> Bare<Oid> {
    match signature {
        Signature::Other(oid) => Bare::Other(oid),
        known => Bare::Known(known.as_str()),
    }
}

fn cipher(cipher: Cipher) -> Bare<Oid> {
    match cipher {
        Cipher::Other(oid) => Bare::Other(oid),
        known => Bare::Known(known.as_str()),
    }
}

/// Writes two hexadecimal digits for each byte.
struct Hex<'a>(&'a [u8]);

impl Value for Hex<'_> {
    fn write(self, line: &mut Line) {
        line.quoted(|line| line.hex(self.0));
    }
}

/// The certificates that a message is encrypted for, as `3eb CN=NDES CA,O=Corp; ...`.
struct Recipients<'a>(&'a [Recipient]);

impl Value for Recipients<'_> {
    fn write(self, line: &mut Line) {
        line.quoted(|line| {
            // One CA issued all of them as a rule, and its name is formatted once.
            let mut last: Option<(&Name, String)> = None;
            for (index, recipient) in self.0.iter().enumerate() {
                if index > 0 {
                    line.push("; ");
                }
                match recipient {
                    Recipient::IssuerAndSerial { issuer, serial } => {
                        let text = match last.take() {
                            Some((known, text)) if known == issuer => text,
                            _ => issuer.text().unwrap_or_else(|| "?".to_owned()),
                        };
                        line.text(serial.text().as_bytes(), MOST);
                        line.push(" ");
                        line.string(&text, MOST);
                        last = Some((issuer, text));
                    }
                    Recipient::KeyId(id) => line.hex(id),
                    Recipient::Other => line.push("?"),
                }
            }
        });
    }
}
