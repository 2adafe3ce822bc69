//! The result of all rounds as a table and as a JSON document.

use std::fmt;

use serde::Serialize;

use crate::fit::Fit;
use crate::row::{Row, Spread};

#[derive(Serialize)]
pub(crate) struct Report {
    pub(crate) machine: String,
    pub(crate) date: String,
    pub(crate) rounds: usize,
    pub(crate) seconds_per_cell: f64,
    pub(crate) proxies: Vec<String>,
    pub(crate) absent: Vec<&'static str>,
    pub(crate) rows: Vec<Row>,
    pub(crate) fits: Vec<Fit>,
}

/// The table for the terminal.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{}, {}, {} rounds of {} s",
            self.machine, self.date, self.rounds, self.seconds_per_cell
        )?;
        writeln!(
            f,
            "{:<34} {:<10} {:<6} {:>24} {:>17} {:>7} {:>7} {:>7} {:>5} {:>6}",
            "scenario",
            "proxy",
            "unit",
            "median (min-max)",
            "ratio (min-max)",
            "req/s",
            "p50 us",
            "p99 us",
            "load",
            "origin"
        )?;
        for row in &self.rows {
            let mut title = &*row.title;
            for line in &row.proxies {
                writeln!(f, "{title:<34} {}", line.text(row.unit))?;
                title = "";
            }
        }
        for fit in &self.fits {
            writeln!(f, "{fit}")?;
        }
        write!(
            f,
            "CPU of processes outside of this run, in percent of all cores: {}",
            self.others()
        )
    }
}

impl Report {
    fn others(&self) -> String {
        let cells = || self.rows.iter().flat_map(|row| &row.proxies);
        let all = Spread::of(cells().flat_map(|l| l.cells.iter().map(|c| c.others_percent)));
        format!("median {:.1} %, worst cell {:.1} %", all.median, all.max)
    }
}
