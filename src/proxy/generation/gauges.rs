//! The gauges that a generation sets, and takes away again.

use super::Generation;
use crate::observe::metrics::Metrics;
use crate::tls::identity::Identity;

impl Generation {
    /// Sets the gauges of what there is, and takes away those of what has gone since `previous`.
    pub(super) fn show(&self, metrics: &Metrics, previous: Option<&Self>) {
        for (name, before) in previous.iter().flat_map(|previous| previous.named()) {
            let now = self.published(name);
            if now.is_none() {
                metrics.forget_application(name);
                before.scep.hide();
            }
            for Identity { key, .. } in &before.identities {
                let kept = now.is_some_and(|now| now.identities.iter().any(|now| now.key == *key));
                if !kept {
                    // An error says that it is gone already.
                    _ = metrics
                        .certificate_not_after
                        .remove_label_values(&[name, key]);
                }
            }
        }
        for (name, published) in self.named() {
            published.scep.show();
            let identities = &published.identities;
            for identity in identities {
                // Of two certificates with the same kind of key the earlier end is the one to see.
                let alike = identities.iter().filter(|other| other.key == identity.key);
                let first = alike.map(|other| other.not_after).min();
                let gauge = metrics
                    .certificate_not_after
                    .with_label_values(&[name, &identity.key]);
                gauge.set(first.unwrap_or(identity.not_after));
            }
        }
    }
}
