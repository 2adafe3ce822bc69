//! Shared by all tests: a proxy to test, a client that sends any bytes, and an upstream that responds
//! with any bytes.

pub mod binary;
pub mod client;
pub mod ndes;
pub mod origin;
pub mod pki;
pub mod proxy;
pub mod tcp;
pub mod upstream_tls;

use std::time::{Duration, Instant};

pub use client::{Connect, Connection, End, Response};
pub use ndes::Ndes;
pub use origin::{Gate, Origin, Received, Wire};
pub use proxy::Proxy;

/// The name that the first application publishes.
pub const PUBLIC: &str = "scep.example.test";
/// The name of a second application, if a test publishes one.
pub const OTHER: &str = "other.example.test";
/// The name in the certificate of the upstream.
pub const INTERNAL: &str = "ndes.corp.test";
/// The path that most devices use.
pub const MSCEP: &str = "/certsrv/mscep/mscep.dll";

/// How long tests wait at most for an event that must occur.
pub const MAX_WAIT: Duration = Duration::from_secs(20);

/// Waits until the condition is true, and panics after `MAX_WAIT`.
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    let mut is_so = is_so;
    let deadline = Instant::now() + MAX_WAIT;
    while !is_so() {
        assert!(Instant::now() < deadline, "timed out: {what}");
        std::thread::yield_now();
    }
}
