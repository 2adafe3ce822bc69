//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.
//!
//! A request passes `edge` (TLS, HTTP) -> `exchange` (the order of things) -> `gate` (what is let
//! in) -> `upstream` (NDES), and leaves a `record`. Modules use only those on lower floors:
//!
//! ```text
//! 7  app  check  demo                wire it, bind it; what would be published; try it
//! 6  edge  admin                     own sockets and tasks
//! 5  exchange                        the life of one request
//! 4  generation                      what a reload replaces
//! 3  upstream  record  body          one request's way out and back
//! 2  process  gate  tls              limits of the process; judgement; certificates
//! 1  site  config  metrics  rejection
//! 0  head  scep  client  problem  text  shutdown
//! ```

pub mod admin;
pub mod app;
pub mod body;
pub mod check;
pub mod client;
pub mod config;
pub mod demo;
pub mod edge;
pub mod exchange;
pub mod gate;
pub mod generation;
pub mod head;
pub mod healthcheck;
pub mod log;
pub mod metrics;
pub mod problem;
pub mod process;
pub mod record;
pub mod rejection;
pub mod scep;
pub mod shutdown;
pub mod site;
pub mod text;
pub mod tls;
pub mod upstream;
