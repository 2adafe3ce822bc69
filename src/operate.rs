//! The running process: start, reload, hand-over, probes of NDES, and the admin listener.

pub mod admin;
pub mod app;
pub mod handover;
pub mod probe;
pub mod reload;
pub mod systemd;
