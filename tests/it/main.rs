//! The integration tests: the real proxy on port 0 and real TLS on both sides, checked by what the
//! upstream received.

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
mod unhealthy_ndes;
mod upstream_connections;
mod upstream_responses;
mod upstream_tls;
mod uri_limits;
