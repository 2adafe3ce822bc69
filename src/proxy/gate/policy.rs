//! Which SCEP messages an application refuses. Nothing by default.

use crate::base::rejection::Rejection;
use crate::config::{OnUnreadable, ScepPolicy};
use crate::scep::{Message, Unreadable};

/// Judges the message of a PKIOperation. `message` is `None` for other operations.
pub fn check(
    policy: &ScepPolicy,
    message: Option<&Result<Message, Unreadable>>,
) -> Result<(), Rejection> {
    let message = match message {
        None => return Ok(()),
        Some(Err(_)) if policy.unreadable == OnUnreadable::Refuse => {
            return Err(Rejection::ScepUnreadable);
        }
        Some(Err(_)) => return Ok(()),
        Some(Ok(message)) => message,
    };
    let kind = message.message_type;
    if kind.is_some_and(|kind| policy.refused_messages.contains(&kind)) {
        return Err(Rejection::ScepMessageType);
    }
    if policy
        .weakest_digest
        .is_some_and(|weakest| message.digest < weakest)
    {
        return Err(Rejection::ScepDigest);
    }
    let cipher = message.content_encryption;
    let is_weak = |weakest| cipher.is_some_and(|cipher| cipher < weakest);
    if policy.weakest_cipher.is_some_and(is_weak) {
        return Err(Rejection::ScepCipher);
    }
    Ok(())
}
