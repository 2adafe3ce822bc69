//! Observability: log lines, Prometheus metrics, and the history of the last hour.

pub mod history;
pub mod log;
pub mod metrics;
