//! The library's simulated NDES, on a runtime of its own.

use std::net::SocketAddr;
use std::sync::OnceLock;

use ndes_proxy::demo::ndes::{self, Options, SimulatedNdes};
use ndes_proxy::demo::pki::Key;
use ndes_proxy::demo::ra::ScepCertificates;
use ndes_proxy::demo::record::Seen;
use tokio::runtime::Runtime;

use super::pki::pki;

pub struct Ndes {
    pub address: SocketAddr,
    simulated: SimulatedNdes,
    _runtime: Runtime,
}

impl Ndes {
    pub fn start() -> Self {
        Self::with_options(Options::default())
    }

    /// Records, whatever the options say.
    pub fn with_options(options: Options) -> Self {
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
        let started = runtime.block_on(ndes::start(options, &pki().internal, scep));
        let simulated = started.unwrap();
        Self {
            address: simulated.address,
            simulated,
            _runtime: runtime,
        }
    }

    pub fn requests(&self) -> Vec<Seen> {
        self.simulated.requests()
    }
}
