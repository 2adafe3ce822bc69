//! All that a first look at the proxy needs, without root, configuration or a Windows server: a
//! throw-away PKI, a simulated NDES, and the configuration file that puts the proxy before it.
//!
//! Called by the subcommand `demo`; the proxy itself is started there. Tests and benches use the
//! parts.

pub mod degenerate;
pub mod pki;
pub mod ra;
