//! The tests from outside: the real app on port 0, real TLS on both sides, judged by what the
//! upstream really received.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "these are tests"
)]

mod docs;
mod support;
mod uri_limits;
