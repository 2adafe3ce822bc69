//! The command line.

use std::path::PathBuf;

use clap::Parser;

use crate::Result;
use crate::scenarios::Scenario;

/// The name of the two memory rows for `--only`.
pub(crate) const MEMORY: &str = "memory";

/// Load on ndes-proxy, nginx and HAProxy: CPU per request, latency, memory.
#[derive(Parser)]
pub(crate) struct Options {
    /// Runs one round with half a second per cell and 500 idle connections: checks that everything
    /// works, but is too short for comparisons.
    #[arg(long)]
    pub(crate) quick: bool,
    /// Number of rounds; each starts with a different proxy [default: 5].
    #[arg(long)]
    pub(crate) rounds: Option<usize>,
    /// Measured seconds per scenario, proxy and round [default: 2].
    #[arg(long)]
    pub(crate) seconds: Option<f64>,
    /// Threads or processes of each proxy, except in the row with one worker.
    #[arg(long, value_name = "N", default_value_t = 2)]
    pub(crate) workers: usize,
    /// Idle connections of the memory row [default: 5000].
    #[arg(long)]
    pub(crate) idle: Option<usize>,
    /// Runs only the row of this name, or all rows whose names begin with NAME if it ends in `*`;
    /// may be repeated.
    #[arg(long, value_name = "NAME")]
    pub(crate) only: Vec<String>,
    /// Writes the figures of all rounds to this file.
    #[arg(long, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,
    /// Leaves out ndes-proxy.
    #[arg(long)]
    pub(crate) peers_only: bool,
    /// Measures this ndes-proxy instead of the one that cargo has just built.
    #[arg(long, value_name = "FILE")]
    pub(crate) program: Option<PathBuf>,
    /// Measures ndes-proxy with many connections and with many applications instead.
    #[arg(long)]
    pub(crate) growth: bool,
    /// Counts instructions and system calls of ndes-proxy per request with callgrind instead.
    #[arg(long)]
    pub(crate) counts: bool,
    /// The file of counts to compare with [default: benches/counts.txt].
    #[arg(long, value_name = "FILE")]
    pub(crate) against: Option<PathBuf>,
    /// Writes the counts to this file for later comparisons.
    #[arg(long, value_name = "FILE")]
    pub(crate) record: Option<PathBuf>,
    /// Passed by cargo.
    #[arg(long, hide = true)]
    pub(crate) bench: bool,
    /// Runs the origin with the PKI in this directory; the bench starts itself again with this
    /// option.
    #[arg(long, hide = true, value_name = "DIR")]
    pub(crate) origin: Option<PathBuf>,
}

impl Options {
    pub(crate) fn selects(&self, row: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|name| is_named(row, name))
    }

    /// Returns an error if a name of `--only` matches no row, so that a misspelt name does not look
    /// like a successful run.
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
