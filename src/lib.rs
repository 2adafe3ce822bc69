//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.

pub mod problem;
pub mod tls;
