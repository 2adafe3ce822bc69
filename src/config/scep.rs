//! `[application.scep]`: what an application refuses of SCEP beyond the gate. All of it is off by
//! default: a message that the proxy cannot read may be one that NDES can.

use serde::Deserialize;

use super::read::Section;
use crate::base::problem::Diagnostic;
use crate::scep::{Cipher, Digest, MessageType};

/// Refuses nothing by default.
#[derive(Clone, Debug, Default)]
pub struct ScepPolicy {
    pub unreadable: OnUnreadable,
    pub refused_messages: Vec<MessageType>,
    /// A message whose digest is weaker is refused, as is one whose digest is not known.
    pub weakest_digest: Option<Digest>,
    /// The same for the cipher of its envelope, where it has one.
    pub weakest_cipher: Option<Cipher>,
}

/// What happens to a PKIOperation whose message cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OnUnreadable {
    #[default]
    Forward,
    Refuse,
}

/// What NDES is expected to say to a request without operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PolicyModule {
    /// Microsoft Intune: 403 is healthy.
    Intune,
    /// None, as for other MDMs: the page of NDES is healthy.
    None,
}

pub(super) fn policy(mut section: Section<'_, '_>) -> ScepPolicy {
    let policy = ScepPolicy {
        unreadable: section.value_or("unreadable", OnUnreadable::Forward),
        refused_messages: section
            .list::<Message>("refuse_messages")
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
    if policy.judges() && policy.unreadable == OnUnreadable::Forward {
        section.document.report(
            &section.location(""),
            Diagnostic::warning(
                "what is refused here still passes in a message that cannot be read",
                "write unreadable = \"refuse\" beside it",
            ),
        );
    }
    section.finish();
    policy
}

impl ScepPolicy {
    fn judges(&self) -> bool {
        !self.refused_messages.is_empty()
            || self.weakest_digest.is_some()
            || self.weakest_cipher.is_some()
    }
}

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Message(MessageType);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WeakestDigest(Digest);

#[derive(Deserialize)]
#[serde(try_from = "String")]
pub(super) struct WeakestCipher(Cipher);

impl TryFrom<String> for Message {
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

/// The value that `word` names, in the case in which it is written.
fn one_of<T: Copy, const N: usize>(
    word: &str,
    known: [T; N],
    name: fn(T) -> &'static str,
) -> Result<T, String> {
    let found = known.into_iter().find(|one| name(*one) == word);
    found.ok_or_else(|| {
        let words = known.map(|one| format!("\"{}\"", name(one)));
        format!("this word is not known; write one of {}", words.join(", "))
    })
}
