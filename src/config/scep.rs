//! `[application.scep]`: the SCEP messages that an application refuses in addition to what the gate
//! refuses. Everything is off by default, because NDES may be able to read a message that the proxy
//! cannot.

use serde::Deserialize;

use super::example::examples;
use super::read::Section;
use crate::base::problem::Diagnostic;
use crate::scep::{Cipher, Digest, MessageType};

/// The default refuses nothing.
#[derive(Clone, Debug, Default)]
pub struct ScepPolicy {
    pub unreadable: OnUnreadable,
    pub refused_messages: Vec<MessageType>,
    /// A message whose digest is weaker or unknown is refused.
    pub weakest_digest: Option<Digest>,
    /// A message is also refused if the cipher of its envelope is weaker or unknown. A message
    /// without an envelope passes.
    pub weakest_cipher: Option<Cipher>,
}

/// What the proxy does with a PKIOperation whose message it cannot read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnreadable {
    #[default]
    Forward,
    Refuse,
}

/// The policy module of NDES, which decides how a healthy NDES responds to a request without an
/// operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyModule {
    /// The policy module of Microsoft Intune: the healthy response is 403.
    Intune,
    /// No policy module, as with other MDMs: the healthy response is the page of NDES (200).
    None,
}

pub(super) fn policy(mut section: Section<'_, '_>) -> ScepPolicy {
    let policy = ScepPolicy {
        unreadable: section.value_or("unreadable", OnUnreadable::Forward),
        refused_messages: section
            .list::<RefusedMessage>("refuse_messages")
            .unwrap_or_default()
            .into_iter()
            .map(|message| message.value.0)
            .collect(),
        weakest_digest: section.value("weakest_digest").map(|it| {
            let WeakestDigest(digest) = it.value;
            digest
        }),
        weakest_cipher: section.value("weakest_cipher").map(|it| {
            let WeakestCipher(cipher) = it.value;
            cipher
        }),
    };
    if policy.reads_messages() && policy.unreadable == OnUnreadable::Forward {
        section.document.report(
            &section.location(""),
            Diagnostic::warning(
                "messages that cannot be read are forwarded without these checks",
                "write unreadable = \"refuse\" in the same section",
            ),
        );
    }
    section.finish();
    policy
}

impl ScepPolicy {
    /// Whether a rule depends on the content of messages.
    fn reads_messages(&self) -> bool {
        !self.refused_messages.is_empty()
            || self.weakest_digest.is_some()
            || self.weakest_cipher.is_some()
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct RefusedMessage(MessageType);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WeakestDigest(Digest);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WeakestCipher(Cipher);

examples! {
    PolicyModule: "\"intune\" or \"none\"",
    OnUnreadable: "\"forward\" or \"refuse\"",
    RefusedMessage: "\"GetCRL\"",
    WeakestDigest: "\"sha256\"",
    WeakestCipher: "\"aes128-cbc\"",
}

impl TryFrom<String> for RefusedMessage {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        one_of(&word, MessageType::KNOWN, MessageType::as_str).map(Self)
    }
}

impl TryFrom<String> for WeakestDigest {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        one_of(&word, Digest::KNOWN, Digest::as_str).map(Self)
    }
}

impl TryFrom<String> for WeakestCipher {
    type Error = String;

    fn try_from(word: String) -> Result<Self, String> {
        one_of(&word, Cipher::KNOWN, Cipher::as_str).map(Self)
    }
}

/// Returns the value whose name is `word`, compared with regard to case.
fn one_of<T: Copy, const N: usize>(
    word: &str,
    known: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    let found = known.into_iter().find(|one| name(*one) == word);
    found.ok_or_else(|| {
        let words = known.map(|one| format!("\"{}\"", name(one)));
        format!("this value is not known; write one of {}", words.join(", "))
    })
}
