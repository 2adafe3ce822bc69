//! The limits of a request head, and of the body as far as the head announces it.

use crate::base::head::{Framing, Head};
use crate::base::rejection::Rejection;
use crate::config::Limits;

pub(super) fn check(head: &Head, limits: &Limits) -> Result<(), Rejection> {
    if head.target.bytes > limits.uri_bytes {
        return Err(Rejection::UriTooLong);
    }
    if head.size.fields > limits.header_fields {
        return Err(Rejection::TooManyFields);
    }
    if head.size.largest_field > limits.header_field_bytes {
        return Err(Rejection::FieldTooLarge);
    }
    if head.size.head > limits.head_bytes {
        return Err(Rejection::HeadTooLarge);
    }
    match head.framing {
        Framing::Length(length) if length > limits.body_bytes as u64 => {
            Err(Rejection::BodyTooLarge)
        }
        Framing::Length(_) | Framing::Unknown => Ok(()),
    }
}
