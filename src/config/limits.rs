//! `[limits]` and `[timeouts]`: how much clients may send or hold, and how long each phase may
//! take.

use std::time::Duration;

use super::read::Section;
use super::types::{Count, Period};
use crate::base::problem::Diagnostic;

/// A field whose name ends in `bytes` is a number of bytes; each other one is a count.
#[derive(Clone, Debug)]
pub struct Limits {
    pub uri_bytes: usize,
    /// Name and value of one header field line.
    pub header_field_bytes: usize,
    /// Number of header field lines.
    pub header_fields: usize,
    /// Request line and all header field lines together.
    pub head_bytes: usize,
    pub body_bytes: usize,
    /// Request bodies held in memory, of all connections together.
    pub buffered_bytes: usize,
    pub connections: usize,
    pub connections_per_client: usize,
}

/// Each timeout covers its whole phase, not the wait between two reads.
#[derive(Clone, Debug)]
pub struct Timeouts {
    pub tls_handshake: Duration,
    pub request_head: Duration,
    pub request_body: Duration,
    pub keep_alive: Duration,
    pub response_write: Duration,
    pub upstream_connect: Duration,
    pub upstream_response: Duration,
    pub upstream_pki_operation: Duration,
    pub upstream_body: Duration,
    pub shutdown: Duration,
}

pub(super) fn limits(mut section: Section<'_, '_>) -> Limits {
    const MEGABYTE: usize = 1 << 20;
    let limits = Limits {
        // The maximum is what `http::Uri` can hold and what HTTP.sys accepts as a header field.
        uri_bytes: section.value_or("uri_bytes", Count::<64, 65_534>(65_534)).0,
        header_field_bytes: section
            .value_or("header_field_bytes", Count::<64, MEGABYTE>(65_534))
            .0,
        header_fields: section.value_or("header_fields", Count::<8, 1_000>(100)).0,
        head_bytes: section
            .value_or("head_bytes", Count::<1_024, MEGABYTE>(131_072))
            .0,
        body_bytes: section
            .value_or("body_bytes", Count::<1_024, { 64 * MEGABYTE }>(262_144))
            .0,
        buffered_bytes: section
            .value_or(
                "buffered_bytes",
                Count::<MEGABYTE, { 1 << 40 }>(256 * MEGABYTE),
            )
            .0,
        connections: section
            .value_or("connections", Count::<1, 1_000_000>(8_000))
            .0,
        connections_per_client: section
            .value_or("connections_per_client", Count::<1, 1_000_000>(1_000))
            .0,
    };
    let head = ("head_bytes", limits.head_bytes);
    let buffered = ("buffered_bytes", limits.buffered_bytes);
    for (key, inner, (around, outer)) in [
        ("uri_bytes", limits.uri_bytes, head),
        ("header_field_bytes", limits.header_field_bytes, head),
        ("body_bytes", limits.body_bytes, buffered),
    ] {
        if inner >= outer {
            section.document.report(
                &section.location(key),
                Diagnostic::warning(
                    format!("{inner} is never reached because {around} = {outer} applies first"),
                    format!("raise {around} above {inner}, or lower {key} below {outer}"),
                ),
            );
        }
    }
    section.finish();
    limits
}

pub(super) fn timeouts(mut section: Section<'_, '_>) -> Timeouts {
    let mut seconds = |key, default| {
        section
            .value_or(key, Period(Duration::from_secs(default)))
            .0
    };
    let timeouts = Timeouts {
        tls_handshake: seconds("tls_handshake", 30),
        request_head: seconds("request_head", 30),
        request_body: seconds("request_body", 60),
        keep_alive: seconds("keep_alive", 75),
        response_write: seconds("response_write", 120),
        upstream_connect: seconds("upstream_connect", 5),
        upstream_response: seconds("upstream_response", 20),
        upstream_pki_operation: seconds("upstream_pki_operation", 180),
        upstream_body: seconds("upstream_body", 60),
        shutdown: seconds("shutdown", 30),
    };
    section.finish();
    timeouts
}
