//! `ndes-proxy`: publishes Microsoft NDES (SCEP) to the Internet.

pub mod demo;
pub mod problem;
pub mod tls;
