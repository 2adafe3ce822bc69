//! What all tests share: a proxy to test, a client that sends any bytes, an upstream that answers
//! any bytes.

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
/// The name of a second one, where a test publishes it.
pub const OTHER: &str = "other.example.test";
/// The name in the upstream's certificate.
pub const INTERNAL: &str = "ndes.corp.test";
/// The path that devices use most.
pub const MSCEP: &str = "/certsrv/mscep/mscep.dll";

/// How long anything may take that is sure to come.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again and again until it is so.
pub fn eventually(what: &str, is_so: impl FnMut() -> bool) {
    let mut is_so = is_so;
    let deadline = Instant::now() + PATIENCE;
    while !is_so() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::yield_now();
    }
}
