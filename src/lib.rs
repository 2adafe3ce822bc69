//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.
//!
//! A request passes `edge` (TLS, HTTP) -> `exchange` (the order of things) -> `gate` (what is let
//! in) -> `upstream` (NDES), and leaves a `record`. Modules use only those on lower floors:
//!
//! ```text
//! 12  doctor                           examines the whole way
//! 11  app  check  demo  healthcheck  import_wap    wire it, bind it; what would be published; try it; ask it
//! 10  edge  admin                      own sockets and tasks
//! 9   exchange  reload  probe          the life of one request; a new generation; how NDES is
//! 8   body                             its answer, on the way out
//! 7   generation  record               what a reload replaces; what a request leaves behind
//! 6   process                          what outlives every reload
//! 5   insight                          what SCEP says on its way through
//! 4   gate  diagnosis                  judgement
//! 3   site  upstream  log              what is published; the way to NDES; where lines go
//! 2   config  metrics  tls  buffers    what was written, counted, trusted, lent
//! 2   handover  history  chunked       the way to the next process; the last hour; bodies in chunks
//! 1   head  scep  client  rejection  problem  text  shutdown  systemd
//! 0   hash  patience                   what tells keys, files and messages apart; deadlines
//! ```

pub mod admin;
pub mod app;
pub mod body;
pub mod buffers;
pub mod check;
pub mod chunked;
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
pub mod hash;
pub mod head;
pub mod healthcheck;
pub mod history;
pub mod import_wap;
pub mod insight;
pub mod log;
pub mod metrics;
pub mod patience;
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
