//! What is remembered of one application between its requests. Outlives every reload; bounded.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use http::HeaderValue;
use tracing::warn;

use super::health::Health;
use super::recent::Recent;
use crate::base::client::ClientKey;
use crate::insight::diagnosis::{Anomaly, of_certificates};
use crate::observe::history::{Hour, Minute};
use crate::observe::metrics::{Metrics, ScepMetrics};
use crate::scep::{
    self, Capabilities, Certificate, FailInfo, PkiStatus, Recipient, Role, Unreadable,
};

/// All applications that there have been in this process, by name.
#[derive(Default)]
pub struct Applications(Mutex<HashMap<String, Arc<Application>>>);

/// One published NDES, as its messages show it.
pub struct Application {
    name: String,
    pub(super) metrics: ScepMetrics,
    pub health: Health,
    /// What the status page draws.
    pub hour: Hour<Minute>,
    /// What GetCACert gave last; empty until it was asked.
    certificates: ArcSwap<Presented>,
    /// Transactions that were answered PENDING, since their first message.
    polled: Mutex<Recent<Box<[u8]>>>,
    /// What GetCACaps gave last.
    capabilities: ArcSwap<(Vec<u8>, Capabilities)>,
    /// Devices that have the CA certificates, and have not sent a PKIOperation since.
    fetched: Mutex<Recent<Device>>,
    told: Mutex<HashMap<&'static str, Told>>,
    hasher: RandomState,
}

/// An answer to GetCACert, and what it says: NDES gives the same to thousands of devices, and it is
/// read once.
#[derive(Default)]
struct Presented {
    body: Vec<u8>,
    certificates: Arc<Vec<Certificate>>,
}

/// A device as the proxy can tell it from others: its address, and a hash of its User-Agent.
pub(super) type Device = (ClientKey, u64);

#[derive(Default)]
struct Told {
    last: Option<Instant>,
    untold: u64,
}

/// Transactions and devices, an application: about a megabyte in all.
const MOST: usize = 8_192;
/// An admin may take days to approve a request; NDES forgets it after a week at most.
const POLLING: Duration = Duration::from_secs(7 * 24 * 3_600);
/// A device sends its request seconds after GetCACert, unless a person has to agree to something.
const FETCHED: Duration = Duration::from_secs(10 * 60);
/// One line of an anomaly in this time; the counters see all of them.
const TOLD: Duration = Duration::from_secs(60);

impl Applications {
    pub fn get(&self, name: &str, metrics: &Metrics) -> Arc<Application> {
        let mut all = lock(&self.0);
        if let Some(known) = all.get(name) {
            return known.clone();
        }
        let new = Arc::new(Application {
            name: name.to_owned(),
            metrics: shown(metrics.scep(name)),
            health: Health::new(name, metrics.health(name)),
            hour: Hour::new(Instant::now()),
            certificates: ArcSwap::default(),
            capabilities: ArcSwap::default(),
            polled: Mutex::new(Recent::new(MOST, POLLING)),
            fetched: Mutex::new(Recent::new(MOST, FETCHED)),
            told: Mutex::default(),
            hasher: RandomState::new(),
        });
        all.insert(name.to_owned(), new.clone());
        new
    }

    /// Counts the devices that did not come back in time. For whoever reads the metrics.
    pub fn expire(&self, now: Instant) {
        let all: Vec<_> = lock(&self.0).values().cloned().collect();
        for application in all {
            application.expire(now);
        }
    }
}

impl Application {
    /// Counts anomalies, and says in the log what they mean.
    pub fn tell(&self, anomaly: Anomaly, times: u64, now: Instant) {
        let reason = anomaly.reason();
        self.metrics.anomaly(reason, times);
        self.hour
            .count(now, |minute| minute.anomalies.add(reason, times));
        let times = {
            let mut told = lock(&self.told);
            let told = told.entry(reason).or_default();
            told.untold += times;
            if told
                .last
                .is_some_and(|last| now.saturating_duration_since(last) < TOLD)
            {
                return;
            }
            told.last = Some(now);
            std::mem::take(&mut told.untold)
        };
        warn!(target: "diagnosis", application = self.name, reason, times, "{}", anomaly.advice());
    }

    pub(super) fn device(&self, client: ClientKey, user_agent: Option<&HeaderValue>) -> Device {
        (client, self.hasher.hash_one(user_agent))
    }

    /// A device has got the CA certificates.
    pub(super) fn fetched(&self, device: Device, now: Instant) {
        self.expire(now);
        lock(&self.fetched).note(device, now);
    }

    /// A device sends a PKIOperation, whatever becomes of it.
    pub fn enrols(&self, client: ClientKey, user_agent: Option<&HeaderValue>) {
        let device = self.device(client, user_agent);
        lock(&self.fetched).take(&device);
    }

    fn expire(&self, now: Instant) {
        let gone = lock(&self.fetched).expire(now);
        if gone > 0 {
            self.tell(Anomaly::NoPkiOperation, gone as u64, now);
        }
        lock(&self.polled).expire(now);
    }

    /// A CertRep for a message that came at `asked`.
    pub(super) fn answered(&self, transaction: &[u8], status: PkiStatus, asked: Instant) {
        let mut polled = lock(&self.polled);
        match status {
            PkiStatus::Pending => polled.note(transaction.into(), asked),
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

    /// What NDES hands out; empty until it was asked.
    pub fn certificates(&self) -> Arc<Vec<Certificate>> {
        self.certificates.load().certificates.clone()
    }

    /// It is published, perhaps again.
    pub fn show(&self) {
        self.health.show();
    }

    /// Takes away its gauges: it is not published any more.
    pub fn hide(&self) {
        self.health.hide();
        self.hide_certificates();
    }

    fn hide_certificates(&self) {
        for role in ROLES {
            self.metrics.certificate(role.as_str(), None);
        }
    }

    /// Whether a message is for none of the certificates that NDES hands out. False where that is
    /// not known.
    pub(super) fn is_stale(&self, recipients: &[Recipient]) -> bool {
        let presented = self.certificates.load();
        let certificates = &presented.certificates;
        let names_one = |recipient: &Recipient| *recipient != Recipient::Other;
        let is_known = |recipient| certificates.iter().any(|known| known.is(recipient));
        !certificates.is_empty()
            && recipients.iter().any(names_one)
            && !recipients.iter().any(is_known)
    }

    /// NDES has answered GetCACert with `body`. What is wrong with the certificates in it.
    ///
    /// # Errors
    /// Why there are none.
    pub fn learn(&self, body: &[u8]) -> Result<Vec<Anomaly>, Unreadable> {
        let before = self.certificates.load();
        let is_known = !body.is_empty() && before.body == body;
        let certificates = match is_known {
            true => before.certificates.clone(),
            false => Arc::new(scep::ca_certificates(body)?),
        };
        for role in ROLES {
            let these = certificates.iter().filter(|one| one.role() == role);
            let first = these.filter_map(|one| one.not_after).min();
            self.metrics.certificate(role.as_str(), first);
        }
        // After they are set: whichever of both comes last, none stays.
        if self.health.is_hidden() {
            self.hide_certificates();
        }
        let anomalies = of_certificates(&certificates, now());
        if !is_known {
            let old = ra_certificates(&before.certificates);
            if !old.is_empty() && old != ra_certificates(&certificates) {
                self.metrics.ra_changed();
                warn!(target: "diagnosis", application = self.name, "NDES hands out other RA certificates than before");
            }
            self.certificates.store(Arc::new(Presented {
                body: body.to_vec(),
                certificates,
            }));
        }
        Ok(anomalies)
    }

    /// What an answer to GetCACaps says.
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

/// With every counter of what alerts are about, so that they see the first event too.
fn shown(metrics: ScepMetrics) -> ScepMetrics {
    for anomaly in Anomaly::all() {
        metrics.anomaly(anomaly.reason(), 0);
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

/// Those that have a gauge.
const ROLES: [Role; 4] = [Role::Ca, Role::Ra, Role::RaSigning, Role::RaEncryption];

/// Fingerprints in order, whatever order NDES gives them in.
fn ra_certificates(certificates: &[Certificate]) -> Vec<[u8; 32]> {
    let ra = certificates.iter().filter(|one| one.role().is_ra());
    let mut fingerprints: Vec<_> = ra.map(|one| one.sha256).collect();
    fingerprints.sort_unstable();
    fingerprints
}

fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0, |since| since.as_secs() as i64)
}

pub(super) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    fn application(metrics: &Metrics) -> Arc<Application> {
        Applications::default().get("ndes", metrics)
    }

    fn counted(metrics: &Metrics, reason: &str) -> usize {
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let series = format!("anomalies_total{{application=\"ndes\",reason=\"{reason}\"}} ");
        let value = text.lines().find_map(|line| line.split_once(&series));
        value.map_or(0, |(_, value)| value.parse().unwrap())
    }

    /// A counter that appears at 1 has not increased, as Prometheus sees it.
    #[test]
    fn what_alerts_are_about_is_there_before_it_happens() {
        let metrics = Metrics::new().unwrap();
        application(&metrics);
        let text = String::from_utf8(metrics.text().unwrap()).unwrap();
        let at_zero = |name: &str, label: &str| {
            let series = |line: &&str| line.contains(name) && line.contains(label);
            text.lines().filter(series).all(|line| line.ends_with(" 0"))
                && text.lines().any(|line| series(&line))
        };
        for anomaly in Anomaly::all() {
            let reason = format!("reason=\"{}\"", anomaly.reason());
            assert!(at_zero("anomalies_total{", &reason), "{reason}");
        }
        for info in FailInfo::KNOWN {
            let label = format!("fail_info=\"{}\"", info.as_str());
            assert!(at_zero("scep_answers_total{", &label), "{label}");
        }
    }

    #[test]
    fn the_same_answer_says_the_same_and_an_empty_one_nothing() {
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
    fn devices_behind_one_address() {
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
    fn every_anomaly_is_counted_and_one_line_a_minute_told() {
        let metrics = Metrics::new().unwrap();
        let (application, start) = (application(&metrics), Instant::now());
        let untold = |reason: &str| lock(&application.told)[reason].untold;
        for second in 0..90 {
            application.tell(Anomaly::PoolStopped, 2, start + Duration::from_secs(second));
        }
        assert_eq!(counted(&metrics, "pool_stopped"), 180);
        // The first and that of second 60 were lines; what came since waits for the next.
        assert_eq!(untold("pool_stopped"), 2 * 29);
        application.tell(Anomaly::IisBusy, 1, start);
        assert_eq!(untold("iis_busy"), 0, "each reason for itself");
    }
}
