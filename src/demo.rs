//! All that a first look at the proxy needs, without root, configuration or a Windows server: a
//! throw-away PKI, a simulated NDES, and the configuration file that puts the proxy before it.
//!
//! Called by the subcommand `demo`; the proxy itself is started there. Tests and benches use the
//! parts.

pub mod degenerate;
pub mod http_sys;
pub mod iis;
pub mod ndes;
pub mod pki;
pub mod query;
pub mod ra;
pub mod record;
pub mod relay;
