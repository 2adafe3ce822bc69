//! The audit event of a PKIOperation: enough to find it again in the IIS log and among the
//! connector's events. Never the message itself; what a device made up is bounded and escaped.

use std::fmt;
use std::net::IpAddr;

use tracing::{field, info};

use super::Insight;
use crate::client::escaped;
use crate::scep::{
    Cipher, Digest, FailInfo, Message, MessageType, Name, PkiStatus, Recipient, Signature,
};

/// What the event says beside the message: the rest of its request.
pub struct Audit<'a> {
    pub request_id: fmt::Arguments<'a>,
    pub application: Option<&'a str>,
    pub client: IpAddr,
    /// Where the proxy itself answered.
    pub reason: Option<&'static str>,
    /// The device left before its answer.
    pub client_gone: bool,
    /// Milliseconds, as the next.
    pub duration_ms: f64,
    pub upstream_ms: Option<f64>,
}

impl Audit<'_> {
    /// Writes the event of a PKIOperation that was refused before its message was read.
    pub fn unread(&self) {
        info!(
            target: "scep",
            request_id = %self.request_id,
            application = self.application,
            client = %self.client,
            reason = self.reason,
            client_gone = self.client_gone.then_some(true),
            duration_ms = self.duration_ms,
        );
    }
}

impl Insight {
    /// Writes the event, if this was a PKIOperation.
    pub fn audit(&self, of: &Audit<'_>) {
        let Some(sent) = &self.sent else { return };
        let asked = sent.message.as_ref().ok();
        let signer = asked.and_then(|message| message.signer.as_ref());
        let answer = self.answer.as_ref().and_then(|answer| answer.as_ref().ok());
        let fail_info_text = answer.and_then(|answer| answer.fail_info_text.as_deref());
        let anomaly = self.anomaly();
        info!(
            target: "scep",
            request_id = %of.request_id,
            application = of.application,
            client = %of.client,
            message_type = asked.and_then(|m| m.message_type).map(kind).map(field::display),
            enrolment = asked.map(super::enrolment),
            transaction_id = transaction_id(asked),
            signer = signer.and_then(|s| s.subject.text()).as_deref().map(name),
            signer_issuer = signer.and_then(|s| s.issuer.as_ref()?.text()).as_deref().map(name),
            signer_serial = signer.map(|s| s.serial.text()),
            recipients = asked.map(|m| Recipients(&m.recipients).to_string()),
            digest = asked.map(|m| Algorithm::from(m.digest)).map(field::display),
            signature = asked.map(|m| Algorithm::from(m.signature)).map(field::display),
            cipher = asked.and_then(|m| m.content_encryption).map(Algorithm::from).map(field::display),
            message_bytes = sent.bytes,
            sha256 = (sent.bytes > 0).then(|| format!("{:016x}", u64::from_be_bytes(sent.sha256))),
            unreadable = sent.message.as_ref().err().map(|error| error.reason()),
            status = self.status.map(|status| status.as_u16()),
            pki_status = answer.map(|answer| answer.pki_status).map(status).map(field::display),
            fail_info = answer.and_then(|answer| answer.fail_info).map(fail_info).map(field::display),
            fail_info_text = fail_info_text.map(name),
            answer_unreadable = self.answer.as_ref().and_then(|a| a.as_ref().err()).map(|error| error.reason()),
            reason = of.reason,
            anomaly = anomaly.map(|anomaly| anomaly.reason()),
            advice = anomaly.map(|anomaly| anomaly.advice()),
            client_gone = of.client_gone.then_some(true),
            duration_ms = of.duration_ms,
            upstream_ms = of.upstream_ms,
        );
    }
}

/// Bytes of a text that a device chose.
const MOST: usize = 200;

fn transaction_id(message: Option<&Message>) -> Option<String> {
    let id = message?.transaction_id.as_deref()?;
    Some(escaped(id, MOST))
}

fn name(text: &str) -> String {
    escaped(text.as_bytes(), MOST)
}

/// A number of RFC 8894 as its word, another one as it is.
enum Word {
    Known(&'static str),
    Number(u32),
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(word) => f.write_str(word),
            Self::Number(number) => number.fmt(f),
        }
    }
}

fn kind(kind: MessageType) -> Word {
    match kind {
        MessageType::Other(number) => Word::Number(number),
        known => Word::Known(known.as_str()),
    }
}

fn status(status: PkiStatus) -> Word {
    match status {
        PkiStatus::Other(number) => Word::Number(number),
        known => Word::Known(known.as_str()),
    }
}

fn fail_info(info: FailInfo) -> Word {
    match info {
        FailInfo::Other(number) => Word::Number(number),
        known => Word::Known(known.as_str()),
    }
}

/// A known algorithm as its word, another one as its OID.
enum Algorithm {
    Known(&'static str),
    Other(crate::scep::Oid),
}

impl From<Digest> for Algorithm {
    fn from(digest: Digest) -> Self {
        match digest {
            Digest::Other(oid) => Self::Other(oid),
            known => Self::Known(known.as_str()),
        }
    }
}

impl From<Cipher> for Algorithm {
    fn from(cipher: Cipher) -> Self {
        match cipher {
            Cipher::Other(oid) => Self::Other(oid),
            known => Self::Known(known.as_str()),
        }
    }
}

impl From<Signature> for Algorithm {
    fn from(signature: Signature) -> Self {
        match signature {
            Signature::Other(oid) => Self::Other(oid),
            known => Self::Known(known.as_str()),
        }
    }
}

impl fmt::Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Known(word) => f.write_str(word),
            Self::Other(oid) => oid.fmt(f),
        }
    }
}

/// Those whom a message is encrypted for, as `3eb CN=NDES CA,O=Corp; ...`.
struct Recipients<'a>(&'a [Recipient]);

impl fmt::Display for Recipients<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most often one CA issued them all: its text is made once.
        let mut last: Option<(&Name, String)> = None;
        for (index, recipient) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str("; ")?;
            }
            match recipient {
                Recipient::IssuerAndSerial { issuer, serial } => {
                    let text = match last.take() {
                        Some((known, text)) if known == issuer => text,
                        _ => name(issuer.text().as_deref().unwrap_or("?")),
                    };
                    f.write_str(&serial.text())?;
                    f.write_str(" ")?;
                    f.write_str(&text)?;
                    last = Some((issuer, text));
                }
                Recipient::KeyId(id) => id.iter().try_for_each(|byte| write!(f, "{byte:02x}"))?,
                Recipient::Other => f.write_str("?")?,
            }
        }
        Ok(())
    }
}
