//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::Result;
use crate::scenarios::Scenario;

/// What `--only` calls the two rows on memory.
pub(crate) const MEMORY: &str = "memory";

/// WorkerLoad on ndes-proxy, nginx and HAProxy: CPU per request, latency, memory.
#[derive(Parser)]
pub(crate) struct Options {
    /// One round, half a second per cell, 500 idle connections: to see that all works, not to compare.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Rounds; each starts with another proxy [default: 5].
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Measured seconds per scenario, proxy and round [default: 2].
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Threads or processes of each proxy, but in the row with one.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// Idle connections of the memory row [default: 5000].
    #[arg(long)]
    pub(crate) idle: Option<usize>,
    /// Only the row of this name, or of all names that begin with it where NAME ends in `*`; may be given several times.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Writes all figures of all rounds to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Without ndes-proxy.
    #[arg(long)]
    pub(crate) peers_only: bool,
    /// Measures this ndes-proxy, not the one that cargo has just built.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Instead of all that: ndes-proxy with many connections and with many applications.
    #[arg(long)]
    pub(crate) growth: bool,
    /// Instead of all that: instructions and system calls of ndes-proxy per request, counted by callgrind.
    #[arg(long)]
    pub(crate) counts: bool,
    /// What the counts are compared with [default: benches/counts.txt].
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Writes the counts to this file, to compare others with.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Given by cargo.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Be the origin, with the PKI in this directory: how the bench starts itself a second time.
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) origin: Option<PathBuf>,
}

impl Options {
    pub(crate) fn wants(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| is_named(row, name))
    }

    /// A misspelt name must not look like a run without errors.
    pub(crate) fn check_names<'a>(
        &self,
        scenarios: impl Iterator<Item = &'a Scenario>,
    ) -> Result<()> {
        let mut rows: Vec<&str> = scenarios.map(|scenario| scenario.name).collect();
        rows.push(MEMORY);
        match self
            .only
            .iter()
            .find(|name| !rows.iter().any(|row| is_named(row, name)))
        {
            Some(name) => Err(format!("--only {name}: the names are {}", rows.join(", ")).into()),
            None => Ok(()),
        }
    }
}

fn is_named(row: &str, name: &str) -> bool {
    match name.strip_suffix('*') {
        Some(start) => row.starts_with(start),
        None => row == name,
    }
}
