//! Makes series and registers them, all under one prefix.

use std::sync::OnceLock;

use prometheus::core::Collector;
use prometheus::{
    HistogramOpts, HistogramVec, IntCounter, IntCounterVec, IntGauge, IntGaugeVec, Opts, Registry,
};

pub(super) fn opts(name: &str, help: &str) -> Opts {
    Opts::new(name, help).namespace("ndes_proxy")
}

pub(super) fn register<C: Collector + Clone + 'static>(
    registry: &Registry,
    collector: C,
) -> Result<C, prometheus::Error> {
    registry.register(Box::new(collector.clone()))?;
    Ok(collector)
}

pub(super) fn counter(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntCounter, prometheus::Error> {
    register(registry, IntCounter::with_opts(opts(name, help))?)
}

pub(super) fn counters(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
) -> Result<IntCounterVec, prometheus::Error> {
    register(registry, IntCounterVec::new(opts(name, help), labels)?)
}

pub(super) fn gauge(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntGauge, prometheus::Error> {
    register(registry, IntGauge::with_opts(opts(name, help))?)
}

pub(super) fn gauges(
    registry: &Registry,
    name: &str,
    help: &str,
) -> Result<IntGaugeVec, prometheus::Error> {
    register(
        registry,
        IntGaugeVec::new(opts(name, help), &["application"])?,
    )
}

pub(super) fn histograms(
    registry: &Registry,
    name: &str,
    help: &str,
    labels: &[&str],
    buckets: &[f64],
) -> Result<HistogramVec, prometheus::Error> {
    let opts = HistogramOpts::from(opts(name, help)).buckets(buckets.to_vec());
    register(registry, HistogramVec::new(opts, labels)?)
}

/// The counters of one application, by labels from closed lists. To look one up by its labels costs
/// far more than to count: those that occur are found here again.
pub(super) struct Counters<const LABELS: usize> {
    application: String,
    all: IntCounterVec,
    /// In the order of their first time; the free ones are last.
    found: [OnceLock<([&'static str; LABELS], IntCounter)>; FOUND],
}

/// More than occur but in an attack; what comes later is looked up.
const FOUND: usize = 24;

impl<const LABELS: usize> Counters<LABELS> {
    pub(super) fn new(all: &IntCounterVec, application: &str) -> Self {
        Self {
            application: application.to_owned(),
            all: all.clone(),
            found: [const { OnceLock::new() }; FOUND],
        }
    }

    pub(super) fn inc(&self, labels: [&'static str; LABELS]) {
        for place in &self.found {
            let (known, counter) = place.get_or_init(|| (labels, self.get(labels)));
            if *known == labels {
                return counter.inc();
            }
        }
        self.get(labels).inc();
    }

    /// Shows it at 0 if it was not counted yet.
    pub(super) fn get(&self, labels: [&'static str; LABELS]) -> IntCounter {
        let labels: Vec<&str> = [&self.application[..]].into_iter().chain(labels).collect();
        self.all.with_label_values(&labels)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_counted_by_its_labels_however_many_there_are() {
        let all = counters(&Registry::new(), "x", "x", &["application", "a", "b"]).unwrap();
        let (one, other) = (Counters::new(&all, "one"), Counters::new(&all, "other"));
        let words: Vec<&'static str> = (0..2 * FOUND).map(|n| &*n.to_string().leak()).collect();
        for _ in 0..2 {
            words.iter().for_each(|word| one.inc([word, "b"]));
        }
        other.inc([words[0], "b"]);
        for word in &words {
            assert_eq!(all.with_label_values(&["one", word, "b"]).get(), 2);
        }
        assert_eq!(all.with_label_values(&["other", words[0], "b"]).get(), 1);
    }
}
