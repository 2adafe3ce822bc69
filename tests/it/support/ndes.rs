//! The simulated NDES of the crate, on a runtime of its own.

use std::net::SocketAddr;
use std::sync::OnceLock;

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::enrolment::Enrolment;
use ndes_proxy::commands::demo::ndes::{self, Options, SimulatedNdes};
use ndes_proxy::commands::demo::pki::{Issued, Key};
use ndes_proxy::commands::demo::ra::ScepCertificates;
use ndes_proxy::commands::demo::record::RecordedRequest;
use tokio::runtime::Runtime;

use super::pki::pki;

pub struct Ndes {
    pub address: SocketAddr,
    /// The certificates that GetCACert returns if NDES is healthy and nothing was renewed.
    pub scep: ScepCertificates,
    simulated: SimulatedNdes,
    _runtime: Runtime,
}

impl Ndes {
    pub fn start() -> Self {
        Self::with_options(Options::default())
    }

    /// Starts with these options, and records all requests.
    pub fn with_options(options: Options) -> Self {
        Self::with_certificate(&pki().internal, options)
    }

    /// Starts with another TLS certificate. `upstream_tls` has those that the proxy must not accept.
    pub fn with_certificate(certificate: &Issued, options: Options) -> Self {
        static SCEP: OnceLock<ScepCertificates> = OnceLock::new();
        let scep = SCEP.get_or_init(|| ScepCertificates::new(Key::EcdsaP256).unwrap());
        let options = Options {
            record: true,
            ..options
        };
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let simulated = runtime
            .block_on(ndes::start(options, certificate, scep))
            .unwrap();
        Self {
            address: simulated.address,
            scep: scep.clone(),
            simulated,
            _runtime: runtime,
        }
    }

    /// Sets the condition of NDES from now on.
    pub fn set(&self, condition: Condition) {
        self.simulated.set(condition).unwrap();
    }

    /// Sets the result of every enrolment from now on.
    pub fn set_enrolment(&self, enrolment: Enrolment) {
        self.simulated.set_enrolment(Some(enrolment));
    }

    /// Replaces the RA certificates by others of the same CA.
    pub fn renew_ra(&self) {
        let renewed = self.scep.renewed().unwrap();
        self.simulated.set_certificates(&renewed).unwrap();
    }

    pub fn requests(&self) -> Vec<RecordedRequest> {
        self.simulated.requests()
    }
}
