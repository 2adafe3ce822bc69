//! The gauges that a generation sets, and removes again.

use super::Generation;
use crate::observe::metrics::Metrics;
use crate::tls::identity::Identity;

impl Generation {
    /// Sets the gauges of this generation, and removes those that only `previous` had.
    pub(super) fn show(&self, metrics: &Metrics, previous: Option<&Self>) {
        for before in previous.iter().flat_map(|previous| previous.applications()) {
            let name = &before.name[..];
            let now = self.named(name);
            if now.is_none() {
                metrics.forget_application(name);
                before.scep.hide();
                for upstream in &before.upstreams {
                    upstream.health.hide();
                }
            }
            for Identity { key, .. } in &before.identities {
                let kept = now.is_some_and(|now| now.identities.iter().any(|now| now.key == *key));
                if !kept {
                    // An error means that the series does not exist.
                    _ = metrics
                        .certificate_not_after
                        .remove_label_values(&[name, key]);
                }
            }
        }
        for application in self.applications() {
            application.scep.show();
            let identities = &application.identities;
            for identity in identities {
                // Two certificates with the same kind of key share a series: the earlier end is
                // the one to report.
                let alike = identities.iter().filter(|other| other.key == identity.key);
                let first = alike.map(|other| other.not_after).min();
                let gauge = metrics
                    .certificate_not_after
                    .with_label_values(&[&application.name[..], &identity.key]);
                gauge.set(first.unwrap_or(identity.not_after));
            }
        }
    }
}
