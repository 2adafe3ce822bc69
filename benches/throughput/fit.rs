//! Whether the cost of a request grows in proportion to its length: the straight line through the
//! rows of long GETs.

use std::fmt;

use serde::Serialize;

use crate::request::Request;
use crate::row::Row;
use crate::scenarios::{Http, Scenario};

/// The line of one proxy: `fixed_us + us_per_kb * length`.
#[derive(Serialize)]
pub(crate) struct Fit {
    proxy: &'static str,
    fixed_us: f64,
    us_per_kb: f64,
    /// The largest deviation of a row from the line in percent of the line, and its length.
    deviation_percent: f64,
    deviation_at_kb: f64,
}

/// Returns a line for each proxy with at least three measured lengths; any two points are on a
/// line.
pub(crate) fn fits(rows: &[Row], scenarios: &[Scenario]) -> Vec<Fit> {
    let mut lines: Vec<(&'static str, Vec<(f64, f64)>)> = Vec::new();
    for scenario in scenarios {
        let (Request::LongGet(bytes), Http::One) = (scenario.request, scenario.http) else {
            continue;
        };
        for line in rows
            .iter()
            .filter(|row| row.name == scenario.name)
            .flat_map(|row| &row.proxies)
        {
            let point = (bytes as f64 / 1024.0, line.value.median);
            match lines.iter_mut().find(|(proxy, _)| *proxy == line.proxy) {
                Some((_, points)) => points.push(point),
                None => lines.push((line.proxy, vec![point])),
            }
        }
    }
    lines.retain(|(_, points)| points.len() > 2);
    let fit = |(proxy, points): (_, Vec<_>)| Fit::new(proxy, &points);
    lines.into_iter().map(fit).collect()
}

impl Fit {
    /// Fits the line by least squares to points of KB and us.
    fn new(proxy: &'static str, points: &[(f64, f64)]) -> Self {
        let count = points.len() as f64;
        let mean_kb = points.iter().map(|(kb, _)| kb).sum::<f64>() / count;
        let mean_us = points.iter().map(|(_, us)| us).sum::<f64>() / count;
        let covariance: f64 = points
            .iter()
            .map(|(kb, us)| (kb - mean_kb) * (us - mean_us))
            .sum();
        let variance: f64 = points.iter().map(|(kb, _)| (kb - mean_kb).powi(2)).sum();
        let us_per_kb = covariance / variance;
        let fixed_us = mean_us - us_per_kb * mean_kb;
        let deviation = |&(kb, us): &(f64, f64)| {
            let line = fixed_us + us_per_kb * kb;
            (100.0 * (us - line) / line, kb)
        };
        let (deviation_percent, deviation_at_kb) = points
            .iter()
            .map(deviation)
            .max_by(|(a, _), (b, _)| a.abs().total_cmp(&b.abs()))
            .unwrap_or_default();
        Self {
            proxy,
            fixed_us,
            us_per_kb,
            deviation_percent,
            deviation_at_kb,
        }
    }
}

impl fmt::Display for Fit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "CPU us of a GET, {}: {:.1} and {:.2} per KB of its URI; farthest from that line {:+.0} % at {:.1} KB",
            self.proxy, self.fixed_us, self.us_per_kb, self.deviation_percent, self.deviation_at_kb
        )
    }
}
