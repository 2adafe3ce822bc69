//! The rows of the table: the cells of one scenario, and their medians.

use std::fmt;

use serde::Serialize;

use crate::proxies::Kind;

/// The figures of one scenario with one proxy in one round.
#[derive(Clone, Serialize)]
pub(crate) struct Cell {
    pub(crate) requests: usize,
    pub(crate) requests_per_second: f64,
    /// User and system time of the proxy's process tree.
    pub(crate) cpu_us_per_request: f64,
    pub(crate) p50_us: u32,
    pub(crate) p99_us: u32,
    /// CPU time of the load generator. With that of the origin, it limits the proxy's requests per
    /// second.
    pub(crate) load_cpu_us_per_request: f64,
    pub(crate) origin_cpu_us_per_request: f64,
    /// CPU time of processes outside of this run, in percent of all cores.
    pub(crate) others_percent: f64,
}

/// The memory of one newly started proxy in one round.
#[derive(Clone)]
pub(crate) struct Memory {
    pub(crate) start_kb: f64,
    pub(crate) per_idle_connection_kb: f64,
}

/// A scenario, or one of the two memory rows.
#[derive(Serialize)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) title: String,
    pub(crate) unit: &'static str,
    pub(crate) proxies: Vec<Line>,
}

/// The figures of one proxy in one row.
#[derive(Serialize)]
pub(crate) struct Line {
    pub(crate) proxy: &'static str,
    /// The row's figure in its unit, one value per round.
    pub(crate) values: Vec<f64>,
    /// All figures, only in rows with load.
    pub(crate) cells: Vec<Cell>,
    pub(crate) value: Spread,
    /// The ratio to the better installed peer, round by round. `None` if no peer is installed.
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
    /// Creates a row from the rounds of each proxy: the values, and the cells if there was load.
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

impl Line {
    /// Returns the cells of the terminal table after the title.
    pub(crate) fn text(&self, unit: &str) -> String {
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
