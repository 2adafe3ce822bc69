//! The tests from outside: the real app on port 0, real TLS on both sides, judged by what the
//! upstream really received.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    unreachable_pub,
    reason = "these are tests"
)]

mod admin;
mod allow_list;
mod config_files;
mod connections;
mod corpus;
mod docs;
mod doctor;
mod health;
mod host;
mod hostile;
mod http1;
mod http2;
mod ill_ndes;
mod import_wap;
mod insight;
mod log_lines;
mod output;
mod properties;
mod proxy_protocol;
mod queue;
mod rates;
mod reload;
mod restart;
mod scep_bytes;
mod shutdown;
mod slow;
mod status;
mod support;
mod timeouts;
mod tls;
mod upstream_answers;
mod upstream_connections;
mod upstream_tls;
mod uri_limits;
