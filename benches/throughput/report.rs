//! From cells to medians, a table and a JSON document.

use std::fmt;

use serde::Serialize;

use crate::fit::Fit;
use crate::proxies::Kind;

/// One scenario against one proxy in one round.
#[derive(Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) requests: usize,
    pub(crate) requests_per_second: f64,
    /// Of the proxy's process tree, user and system.
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    /// What the load generator and the origin took: what they do not leave is the proxy's limit in requests per second.
    pub(crate) load_cpu_us_per_request: f64,
    pub(crate) origin_cpu_us_per_request: f64,
    /// Percent of all cores that went to processes which are no part of the run.
    pub(crate) others_percent: f64,
}

/// One proxy in one round, freshly started.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) start_kb: f64,
    pub(crate) per_idle_connection_kb: f64,
}

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

/// A scenario, or one of the two memory rows.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) proxies: Vec<Line>,
}

/// What one proxy showed in one row.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) proxy: &'static str,
    /// The figure that the row is about in its unit, one per round.
    pub(crate) values: Vec<f64>,
    /// The rest, of rows with load only.
    pub(crate) cells: Vec<Cell>,
    pub(crate) value: Spread,
    /// Against the best installed peer, round by round. None where there is no peer.
    pub(crate) ratio: Option<Spread>,
}

/// Median, least and greatest of all rounds.
#[derive(Clone, Copy, Serialize)]
pub(crate) struct Spread {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let mut values: Vec<f64> = values.into_iter().collect();
        values.sort_by(f64::total_cmp);
        let at = |index: usize| values.get(index).copied().unwrap_or(f64::NAN);
        let (low, high) = (values.len().saturating_sub(1) / 2, values.len() / 2);
        Self {
            median: (at(low) + at(high)) / 2.0,
            min: at(0),
            max: at(values.len().saturating_sub(1)),
        }
    }
}

impl fmt::Display for Spread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1} ({:.1}-{:.1})", self.median, self.min, self.max)
    }
}

impl Row {
    /// `rounds` of each proxy: the value of the row, and the cell where there was load.
    pub(crate) fn new(
        name: &'static str,
        title: String,
        unit: &'static str,
        rounds: Vec<(Kind, Vec<f64>, Vec<Cell>)>,
    ) -> Self {
        let best = rounds
            .iter()
            .filter(|(kind, ..)| *kind != Kind::NdesProxy)
            .map(|(_, values, _)| (Spread::of(values.iter().copied()).median, values.clone()))
            .min_by(|(a, _), (b, _)| a.total_cmp(b))
            .map(|(_, values)| values);
        let line = |(kind, values, cells): (Kind, Vec<f64>, Vec<Cell>)| Line {
            proxy: kind.name(),
            value: Spread::of(values.iter().copied()),
            ratio: best
                .as_ref()
                .map(|best| Spread::of(values.iter().zip(best).map(|(a, b)| a / b))),
            values,
            cells,
        };
        Self {
            name,
            title,
            unit,
            proxies: rounds.into_iter().map(line).collect(),
        }
    }
}

/// The table for people.
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
            "CPU of processes that are no part of this run, of all cores: {}",
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

impl Line {
    fn text(&self, unit: &str) -> String {
        let median = |get: fn(&Cell) -> f64| Spread::of(self.cells.iter().map(get)).median;
        let dash = |value: f64| match value.is_nan() {
            true => "-".to_owned(),
            false => format!("{value:.0}"),
        };
        let value = self.value.to_string();
        let ratio = match self.ratio {
            Some(r) => format!("{:.2} ({:.2}-{:.2})", r.median, r.min, r.max),
            None => "-".to_owned(),
        };
        format!(
            "{:<10} {unit:<6} {value:>24} {ratio:>17} {:>7} {:>7} {:>7} {:>5} {:>6}",
            self.proxy,
            dash(median(|c| c.requests_per_second)),
            dash(median(|c| c.p50_us.into())),
            dash(median(|c| c.p99_us.into())),
            dash(median(|c| c.load_cpu_us_per_request)),
            dash(median(|c| c.origin_cpu_us_per_request)),
        )
    }
}
