//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.
//!
//! A request passes `edge` (TLS, HTTP) -> `exchange` (the order of things) -> `gate` (what is let
//! in) -> `upstream` (NDES), and leaves a `record`. Modules use only those on lower floors:
//!
//! ```text
//! 11  doctor                           examines the whole way
//! 10  app  check  demo  healthcheck  import_wap    wire it, bind it; what would be published; try it; ask it
//! 9   edge  admin                      own sockets and tasks
//! 8   exchange  reload  probe          the life of one request; a new generation; how NDES is
//! 7   body                             its answer, on the way out
//! 6   generation  record               what a reload replaces; what a request leaves behind
//! 5   process                          what outlives every reload
//! 4   insight                          what SCEP says on its way through
//! 3   gate  diagnosis                  judgement
//! 2   site  upstream  log              what is published; the way to NDES; where lines go
//! 1   config  metrics  tls  buffers    what was written, counted, trusted, lent
//! 1   handover  history                the way to the next process; the last hour
//! 0   head  scep  client  rejection  problem  text  shutdown  systemd
//! ```

pub mod admin;
pub mod app;
pub mod body;
pub mod buffers;
pub mod check;
pub mod client;
pub mod config;
pub mod demo;
pub mod diagnosis;
pub mod doctor;
pub mod edge;
pub mod exchange;
pub mod gate;
pub mod generation;
pub mod handover;
pub mod head;
pub mod healthcheck;
pub mod history;
pub mod import_wap;
pub mod insight;
pub mod log;
pub mod metrics;
pub mod probe;
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
