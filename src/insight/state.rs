//! What the SCEP messages of one application have shown so far. It outlives every reload and is
//! bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tracing::warn;

use super::diagnosis::of_certificates;
use super::recent::Recent;
use crate::base::client::ClientKey;
use crate::base::reason::Reason;
use crate::base::sync::lock;
use crate::observe::history::{Hour, Minute};
use crate::observe::metrics::{Metrics, ScepMetrics};
use crate::scep::{
    self, Capabilities, Certificate, FailInfo, PkiStatus, Recipient, Role, Unreadable,
};

/// The states of all applications that this process has published, by name.
#[derive(Default)]
pub struct ScepStates(Mutex<HashMap<String, Arc<ScepState>>>);

/// What is remembered of one application between its requests.
pub struct ScepState {
    application: String,
    pub(super) metrics: ScepMetrics,
    /// The history that the status page draws.
    pub hour: Hour<Minute>,
    /// The last response to GetCACert. Empty until there is one.
    certificates: ArcSwap<CaCertificates>,
    /// Transactions that were answered PENDING, with the time of their first message.
    polled: Mutex<Recent<Box<[u8]>>>,
    /// The last response to GetCACaps.
    capabilities: ArcSwap<(Vec<u8>, Capabilities)>,
    /// Devices that received the CA certificates and have not sent a PKIOperation since.
    fetched: Mutex<Recent<Device>>,
    reported: Mutex<HashMap<Reason, Reported>>,
    hasher: RandomState,
    /// The application is not published any more. Certificates that still arrive set no gauge.
    hidden: AtomicBool,
}

/// A response to GetCACert and the certificates in it. NDES returns the same response to thousands
/// of devices, and it is read once.
#[derive(Default)]
struct CaCertificates {
    body: Vec<u8>,
    certificates: Arc<Vec<Certificate>>,
}

/// A device as far as the proxy can distinguish it: its address, and a hash of its User-Agent.
pub(super) type Device = (ClientKey, u64);

/// The log lines of one reason.
#[derive(Default)]
struct Reported {
    last: Option<Instant>,
    /// Events since then, which the next line counts.
    suppressed: u64,
}

/// Transactions and devices per application: about a megabyte in all.
const MOST: usize = 8_192;
/// An admin may take days to approve a request; NDES forgets it after a week at most.
const POLLING: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A device sends its request seconds after GetCACert, unless a person has to agree to something.
const FETCHED: Duration = Duration::from_secs(10 * 60);
/// Each reason leaves one line in this time. The counters count every event.
const REPORTED: Duration = Duration::from_secs(60);

impl ScepStates {
    /// Returns the state of the application `name`, which is a new one the first time.
    pub fn get(&self, name: &str, metrics: &Metrics) -> Arc<ScepState> {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(name) {
            return known.clone();
        }
        let new = Arc::new(ScepState {
            application: name.to_owned(),
            metrics: shown(metrics.scep(name)),
            hour: Hour::new(Instant::now()),
            certificates: ArcSwap::default(),
            capabilities: ArcSwap::default(),
            polled: Mutex::new(Recent::new(MOST, POLLING)),
            fetched: Mutex::new(Recent::new(MOST, FETCHED)),
            reported: Mutex::default(),
            hasher: RandomState::new(),
            hidden: AtomicBool::new(false),
        });
        all.insert(name.to_owned(), new.clone());
        new
    }

    /// Counts the devices that did not come back in time. Called before metrics are read.
    pub fn expire(&self, now: Instant) {
        let all: Vec<_> = lock(&self.0).values().cloned().collect();
        for state in all {
            state.expire(now);
        }
    }
}

impl ScepState {
    /// Counts an anomaly and logs what it means, at most one line per reason and minute.
    pub fn report(&self, reason: Reason, times: u64, now: Instant) {
        self.metrics.anomaly(reason, times);
        self.hour
            .count(now, |minute| minute.anomalies.add(reason, times));
        let times = {
            let mut reported = lock(&self.reported);
            let reported = reported.entry(reason).or_default();
            reported.suppressed += times;
            if reported
                .last
                .is_some_and(|last| now.saturating_duration_since(last) < REPORTED)
            {
                return;
            }
            reported.last = Some(now);
            std::mem::take(&mut reported.suppressed)
        };
        let (application, word) = (&self.application, reason.word());
        warn!(target: "diagnosis", application, reason = word, times, "{}", reason.advice());
    }

    pub(super) fn device(&self, client: ClientKey, user_agent: Option<&HeaderValue>) -> Device {
        (client, self.hasher.hash_one(user_agent))
    }

    /// Remembers that `device` received the CA certificates.
    pub(super) fn fetched(&self, device: Device, now: Instant) {
        self.expire(now);
        lock(&self.fetched).note(device, now);
    }

    /// Remembers that a device sends a PKIOperation, whatever its outcome.
    pub fn enrols(&self, client: ClientKey, user_agent: Option<&HeaderValue>) {
        let device = self.device(client, user_agent);
        lock(&self.fetched).take(&device);
    }

    fn expire(&self, now: Instant) {
        let gone = lock(&self.fetched).expire(now);
        if gone > 0 {
            self.report(Reason::NoPkiOperation, gone as u64, now);
        }
        lock(&self.polled).expire(now);
    }

    /// Takes a CertRep into account, for a message that arrived at `received`.
    pub(super) fn answered(&self, transaction: &[u8], status: PkiStatus, received: Instant) {
        let mut polled = lock(&self.polled);
        match status {
            PkiStatus::Pending => polled.note(transaction.into(), received),
            PkiStatus::Success => {
                if let Some(first) = polled.take(transaction) {
                    let seconds = first.elapsed().as_secs_f64();
                    self.metrics.enrolment.observe(seconds);
                }
            }
            PkiStatus::Failure => _ = polled.take(transaction),
            PkiStatus::Other(_) => {}
        }
    }

    /// Returns the certificates of the last response to GetCACert. Empty until there is one.
    pub fn certificates(&self) -> Arc<Vec<Certificate>> {
        self.certificates.load().certificates.clone()
    }

    /// The application is published, perhaps again.
    pub fn show(&self) {
        self.hidden.store(false, Ordering::SeqCst);
    }

    /// Removes the gauges: the application is not published any more.
    pub fn hide(&self) {
        self.hidden.store(true, Ordering::SeqCst);
        self.hide_certificates();
    }

    fn hide_certificates(&self) {
        for role in ROLES {
            self.metrics.certificate(role.as_str(), None);
        }
    }

    /// Returns whether a message is encrypted for none of the certificates that GetCACert returns.
    /// Returns `false` if that is not known.
    pub(super) fn is_stale(&self, recipients: &[Recipient]) -> bool {
        let known = self.certificates.load();
        let certificates = &known.certificates;
        let names_one = |recipient: &Recipient| *recipient != Recipient::Other;
        let is_known = |recipient: &Recipient| certificates.iter().any(|one| recipient.is_for(one));
        !certificates.is_empty()
            && recipients.iter().any(names_one)
            && !recipients.iter().any(is_known)
    }

    /// Reads `body`, a response to GetCACert, and returns what is wrong with its certificates.
    ///
    /// # Errors
    /// Returns the reason if the body contains no certificates that can be read.
    pub fn learn(&self, body: &[u8]) -> Result<Vec<Reason>, Unreadable> {
        let before = self.certificates.load();
        let is_known = !body.is_empty() && before.body == body;
        let certificates = match is_known {
            true => before.certificates.clone(),
            false => Arc::new(scep::ca_certificates(body)?),
        };
        for role in ROLES {
            let of_role = certificates.iter().filter(|one| one.role() == role);
            let first = of_role.filter_map(|one| one.not_after).min();
            self.metrics.certificate(role.as_str(), first);
        }
        // Asked after the gauges are set, so that none stays whichever of both happens last.
        if self.hidden.load(Ordering::SeqCst) {
            self.hide_certificates();
        }
        let anomalies = of_certificates(&certificates, now());
        if !is_known {
            let old = ra_certificates(&before.certificates);
            if !old.is_empty() && old != ra_certificates(&certificates) {
                self.metrics.ra_changed();
                let application = &self.application;
                warn!(target: "diagnosis", application, "NDES returns other RA certificates than before");
            }
            self.certificates.store(Arc::new(CaCertificates {
                body: body.to_vec(),
                certificates,
            }));
        }
        Ok(anomalies)
    }

    /// Returns the capabilities in `body`, a response to GetCACaps.
    pub(super) fn capabilities(&self, body: &[u8]) -> Capabilities {
        let before = self.capabilities.load();
        if before.0 == body {
            return before.1;
        }
        let read = Capabilities::read(body);
        self.capabilities.store(Arc::new((body.to_vec(), read)));
        read
    }
}

/// Shows every counter that alerts use, so that they see the first event too.
fn shown(metrics: ScepMetrics) -> ScepMetrics {
    for reason in Reason::anomalies() {
        metrics.anomaly(reason, 0);
    }
    let failures = FailInfo::KNOWN.map(|info| (PkiStatus::Failure.as_str(), info.as_str()));
    let others = ["SUCCESS", "PENDING", "FAILURE", "none"].map(|status| (status, "none"));
    for (pki_status, fail_info) in failures.into_iter().chain(others) {
        for enrolment in ["initial", "renewal"] {
            metrics.show_answer(enrolment, pki_status, fail_info);
        }
    }
    metrics
}

/// The roles that have a gauge.
const ROLES: [Role; 4] = [Role::Ca, Role::Ra, Role::RaSigning, Role::RaEncryption];

/// Returns the fingerprints in ascending order, because NDES returns certificates in any order.
fn ra_certificates(certificates: &[Certificate]) -> Vec<[u8; 32]> {
    let ra = certificates.iter().filter(|one| one.role().is_ra());
    let mut fingerprints: Vec<_> = ra.map(|one| one.sha256).collect();
    fingerprints.sort_unstable();
    fingerprints
}

/// Returns the seconds since 1970.
fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn application(metrics: &Metrics) -> Arc<ScepState> {
        ScepStates::default().get("ndes", metrics)
    }

    fn counted(metrics: &Metrics, reason: &str) -> usize {
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let series = format!("anomalies_total{{application=\"ndes\",reason=\"{reason}\"}} ");
        let value = text.lines().find_map(|line| line.split_once(&series));
        value.map_or(0, |(_, value)| value.parse().unwrap())
    }

    /// A counter that appears at 1 has not increased, as Prometheus sees it.
    #[test]
    fn counters_of_alerts_exist_before_the_first_event() {
        let metrics = Metrics::new().unwrap();
        application(&metrics);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let at_zero = |name: &str, label: &str| {
            let series = |line: &&str| line.contains(name) && line.contains(label);
            text.lines().filter(series).all(|line| line.ends_with(" 0"))
                && text.lines().any(|line| series(&line))
        };
        for anomaly in Reason::anomalies() {
            let reason = format!("reason=\"{}\"", anomaly.word());
            assert!(at_zero("anomalies_total{", &reason), "{reason}");
        }
        for info in FailInfo::KNOWN {
            let label = format!("fail_info=\"{}\"", info.as_str());
            assert!(at_zero("scep_answers_total{", &label), "{label}");
        }
    }

    #[test]
    fn the_same_response_is_read_once_and_an_empty_one_changes_nothing() {
        let metrics = Metrics::new().unwrap();
        let application = application(&metrics);
        let exchange = include_bytes!("../../tests/corpus/raw/004-curl-get-getcacert.resp");
        let head = exchange.windows(4).position(|four| four == b"\r\n\r\n");
        let certificates = &exchange[head.unwrap() + 4..];
        for body in [&b""[..], b"garbage"] {
            assert!(application.learn(body).is_err(), "{body:?}");
        }
        let first = application.learn(certificates).unwrap();
        assert_eq!(application.learn(certificates).unwrap(), first);
        let known = application.certificates();
        assert!(application.learn(b"").is_err());
        assert!(!known.is_empty());
        assert_eq!(application.certificates(), known);
        for (words, post) in [("", false), ("POSTPKIOperation", true), ("AES", false)] {
            for _ in 0..2 {
                let read = application.capabilities(words.as_bytes());
                assert_eq!(read.takes_post(), post, "{words}");
            }
        }
    }

    #[test]
    fn a_device_that_does_not_come_back_is_counted_once() {
        let metrics = Metrics::new().unwrap();
        let (application, start) = (application(&metrics), Instant::now());
        let client = |number| ClientKey::V4(Ipv4Addr::from(number));
        for number in 0..5 {
            application.fetched(application.device(client(number), None), start);
        }
        application.enrols(client(3), None);
        application.expire(start + FETCHED - Duration::from_secs(1));
        assert_eq!(counted(&metrics, "no_pki_operation"), 0);
        for later in [0, 1, 100] {
            application.expire(start + FETCHED + Duration::from_secs(later));
            assert_eq!(counted(&metrics, "no_pki_operation"), 4);
        }
    }

    /// Behind one address a User-Agent tells devices apart.
    #[test]
    fn devices_behind_one_address_are_told_apart_by_user_agent() {
        let metrics = Metrics::new().unwrap();
        let (application, start) = (application(&metrics), Instant::now());
        let office = ClientKey::V4(Ipv4Addr::LOCALHOST);
        let agents = ["one", "two"].map(HeaderValue::from_static);
        for agent in &agents {
            application.fetched(application.device(office, Some(agent)), start);
        }
        application.enrols(office, Some(&agents[1]));
        application.expire(start + FETCHED);
        assert_eq!(counted(&metrics, "no_pki_operation"), 1);
    }

    #[test]
    fn every_anomaly_is_counted_and_one_line_a_minute_is_logged() {
        let metrics = Metrics::new().unwrap();
        let (application, start) = (application(&metrics), Instant::now());
        let suppressed = |reason: Reason| lock(&application.reported)[&reason].suppressed;
        for second in 0..90 {
            application.report(Reason::PoolStopped, 2, start + Duration::from_secs(second));
        }
        assert_eq!(counted(&metrics, "pool_stopped"), 180);
        // The first and that of second 60 were lines; what came since waits for the next.
        assert_eq!(suppressed(Reason::PoolStopped), 2 * 29);
        application.report(Reason::IisBusy, 1, start);
        assert_eq!(suppressed(Reason::IisBusy), 0, "each reason for itself");
    }
}
