//! Metrics of SCEP messages by application. Label values come from closed lists: any value
//! that a device invents is counted as `other`.

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec, IntGaugeVec, Registry};

use super::resolved::ResolvedSeries;
use super::series::{counters, histograms, opts, register};
use crate::base::reason::Reason;

/// The series of all applications.
pub(super) struct Scep {
    messages: IntCounterVec,
    algorithms: IntCounterVec,
    unreadable: IntCounterVec,
    answers: IntCounterVec,
    enrolment: HistogramVec,
    not_after: IntGaugeVec,
    ra_changed: IntCounterVec,
    anomalies: IntCounterVec,
}

impl Scep {
    pub(super) fn new(registry: &Registry) -> Result<Self, prometheus::Error> {
        let r = registry;
        Ok(Self {
            messages: counters(
                r,
                "scep_messages_total",
                "SCEP messages of devices, by messageType and whether they renew.",
                &["application", "message_type", "enrolment"],
            )?,
            algorithms: counters(
                r,
                "scep_algorithms_total",
                "Algorithms in SCEP messages of devices, by purpose.",
                &["application", "purpose", "algorithm"],
            )?,
            unreadable: counters(
                r,
                "scep_unreadable_total",
                "SCEP messages that could not be read and were passed on.",
                &["application", "message", "reason"],
            )?,
            answers: counters(
                r,
                "scep_answers_total",
                "Results of the PKIOperations that the proxy did not refuse.",
                &["application", "enrolment", "pki_status", "fail_info"],
            )?,
            enrolment: histograms(
                r,
                "scep_enrolment_seconds",
                "From the first message to the certificate, if a device had to poll.",
                &["application"],
                &[
                    1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14400.0, 86400.0, 604800.0,
                ],
            )?,
            not_after: register(
                r,
                IntGaugeVec::new(
                    opts(
                        "scep_ca_certificate_not_after_seconds",
                        "Expiry of the certificates that GetCACert returns, seconds since 1970.",
                    ),
                    &["application", "role"],
                )?,
            )?,
            ra_changed: counters(
                r,
                "scep_ra_certificates_changed_total",
                "How often GetCACert returned other RA certificates than before.",
                &["application"],
            )?,
            anomalies: counters(
                r,
                "anomalies_total",
                "Anomalies between a device and NDES, by reason.",
                &["application", "reason"],
            )?,
        })
    }

    pub(super) fn of(&self, application: &str) -> ScepMetrics {
        self.ra_changed.with_label_values(&[application]);
        ScepMetrics {
            application: application.to_owned(),
            enrolment: self.enrolment.with_label_values(&[application]),
            messages: Counters::of(&self.messages),
            algorithms: Counters::of(&self.algorithms),
            unreadable: self.unreadable.clone(),
            answers: Counters::of(&self.answers),
            not_after: self.not_after.clone(),
            ra_changed: self.ra_changed.clone(),
            anomalies: self.anomalies.clone(),
        }
    }
}

/// The series of one application.
pub struct ScepMetrics {
    application: String,
    /// Times of the transactions that were polled.
    pub enrolment: Histogram,
    messages: Counters<2>,
    algorithms: Counters<2>,
    unreadable: IntCounterVec,
    answers: Counters<3>,
    not_after: IntGaugeVec,
    ra_changed: IntCounterVec,
    anomalies: IntCounterVec,
}

impl ScepMetrics {
    /// Shows this series at 0, so that rates and alerts include the first event.
    pub fn show_answer(&self, enrolment: &str, pki_status: &str, fail_info: &str) {
        let labels = [enrolment, pki_status, fail_info];
        self.answers.resolve(&self.application, labels);
    }

    pub fn message(&self, message_type: &'static str, enrolment: &'static str) {
        let labels = [message_type, enrolment];
        self.messages.of_labels(&self.application, labels).inc();
    }

    pub fn algorithm(&self, purpose: &'static str, algorithm: &'static str) {
        let labels = [purpose, algorithm];
        self.algorithms.of_labels(&self.application, labels).inc();
    }

    pub fn unreadable(&self, message: &str, reason: &str) {
        let labels = [&self.application[..], message, reason];
        self.unreadable.with_label_values(&labels).inc();
    }

    pub fn answer(
        &self,
        enrolment: &'static str,
        pki_status: &'static str,
        fail_info: &'static str,
    ) {
        let labels = [enrolment, pki_status, fail_info];
        self.answers.of_labels(&self.application, labels).inc();
    }

    /// Sets the expiry in seconds since 1970, or removes it if GetCACert returns no certificate of
    /// this role.
    pub fn certificate(&self, role: &str, not_after: Option<i64>) {
        let labels = [&self.application[..], role];
        match not_after {
            Some(not_after) => self.not_after.with_label_values(&labels).set(not_after),
            // An error means that it was not shown before either.
            None => _ = self.not_after.remove_label_values(&labels),
        }
    }

    pub fn ra_changed(&self) {
        self.ra_changed
            .with_label_values(&[&self.application])
            .inc();
    }

    pub fn anomaly(&self, reason: Reason, times: u64) {
        let labels = [&self.application[..], reason.word()];
        self.anomalies.with_label_values(&labels).inc_by(times);
    }
}

/// Counters of one application, by labels from closed lists.
struct Counters<const N: usize> {
    all: IntCounterVec,
    resolved: ResolvedSeries<[&'static str; N], IntCounter>,
}

impl<const N: usize> Counters<N> {
    fn of(all: &IntCounterVec) -> Self {
        Self {
            all: all.clone(),
            resolved: ResolvedSeries::default(),
        }
    }

    fn of_labels(&self, application: &str, labels: [&'static str; N]) -> &IntCounter {
        let resolve = || (labels, self.resolve(application, labels));
        self.resolved.find(|known| *known == labels, resolve)
    }

    fn resolve(&self, application: &str, labels: [&str; N]) -> IntCounter {
        let labels: Vec<_> = [application].into_iter().chain(labels).collect();
        self.all.with_label_values(&labels)
    }
}
