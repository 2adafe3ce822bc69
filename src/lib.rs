//! `ndes-proxy` publishes Microsoft NDES (SCEP) to the Internet.
//!
//! A request enters through `edge` (TLS and HTTP), `proxy` decides about it and forwards it through
//! `upstream` to NDES, and `insight` reads what its SCEP messages say. `src/proxy/exchange.rs` is
//! the place to start reading.
//!
//! Each room below uses only rooms on lower floors. A test holds the source against this diagram.
//!
//! ```text
//! 11  commands     the subcommands: run, check, demo, doctor, explain, healthcheck, import-wap
//! 10  operate      the running process: start, reload, hand-over, probes, admin listener
//! 9   edge         public connections: TLS handshake, HTTP/1 and HTTP/2
//! 8   proxy        one request from admission to its record: gate, queue, exchange
//! 7   insight      what SCEP messages and answers say about the health of NDES
//! 6   upstream     the connections to NDES: dial, pool, queue, retry
//! 5   observe      log lines, Prometheus metrics, the history of the last hour
//! 4   config       the configuration file
//! 3   tls          certificates and keys from files, verification, errors in words
//! 2   scep         the reader of SCEP messages
//! 1   base         vocabulary of all others: requests, rejections, problems, deadlines
//! ```

pub mod base;
pub mod commands;
pub mod config;
pub mod edge;
pub mod insight;
pub mod observe;
pub mod operate;
pub mod proxy;
pub mod scep;
pub mod tls;
pub mod upstream;
