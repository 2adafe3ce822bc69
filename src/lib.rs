//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.
//!
//! A request passes `edge` (TLS, HTTP) -> `exchange` (the order of things) -> `gate` (what is let
//! in) -> `upstream` (NDES), and leaves a `record`. Modules use only those on lower floors:
//!
//! ```text
//! 9  app  check  demo  healthcheck    wire it, bind it; what would be published; try it; ask it
//! 8  edge  admin                      own sockets and tasks
//! 7  exchange  reload                 the life of one request; a new generation
//! 6  body                             its answer, on the way out
//! 5  generation  record               what a reload replaces; what a request leaves behind
//! 4  process                          what outlives every reload
//! 3  gate                             judgement
//! 2  site  upstream  log              what is published; the way to NDES; where lines go
//! 1  config  metrics  tls  buffers    what was written, counted, trusted, lent
//! 1  handover                         the way to the next process
//! 0  head  scep  client  rejection  problem  text  shutdown  systemd
//! ```

pub mod admin;
pub mod app;
pub mod body;
pub mod buffers;
pub mod check;
pub mod client;
pub mod config;
pub mod demo;
pub mod edge;
pub mod exchange;
pub mod gate;
pub mod generation;
pub mod handover;
pub mod head;
pub mod healthcheck;
pub mod log;
pub mod metrics;
pub mod problem;
pub mod process;
pub mod record;
pub mod rejection;
pub mod reload;
pub mod scep;
pub mod shutdown;
pub mod site;
pub mod systemd;
pub mod text;
pub mod tls;
pub mod upstream;
