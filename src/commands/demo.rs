//! Prepares a demonstration of the proxy that needs no root, configuration or Windows server: a
//! temporary PKI, a simulated NDES, and a configuration file that puts the proxy in front of it.
//!
//! Called by the subcommand `demo`, which starts the proxy itself. Tests and benches use the
//! submodules.

pub mod cert_rep;
pub mod condition;
pub mod degenerate;
mod der;
pub mod enrolment;
mod guide;
pub mod http_sys;
pub mod iis;
pub mod ndes;
pub mod pki;
pub mod query;
pub mod ra;
pub mod record;
pub mod relay;

use std::fs::{self, DirBuilder};
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use condition::Condition;
use ndes::SimulatedNdes;
use pki::{Key, Leaf, Pki};
use ra::ScepCertificates;

/// The command line of `ndes-proxy demo`.
#[derive(Clone, Debug, clap::Args)]
pub struct Arguments {
    /// Public address of the proxy; if the port is in use, any free one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8443")]
    https: SocketAddr,
    /// Address for status page and metrics; if the port is in use, any free one is taken
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:9464")]
    admin: SocketAddr,
    /// A real SCEP server that responds in place of the simulation, so that devices can enrol
    #[arg(long, value_name = "URL")]
    scep_server: Option<relay::ScepServer>,
    /// Condition of the simulated NDES, to observe how devices and the proxy react to it
    #[arg(long, value_name = "CONDITION", value_enum, default_value_t)]
    ndes: Condition,
    /// Result of an enrolment: success (with an unusable certificate), pending, pending:N (success
    /// at the Nth poll), or the failInfo of a failure, for instance badRequest. Without it and
    /// --scep-server: 500, as for an unreadable message
    #[arg(long, value_name = "END", conflicts_with = "scep_server")]
    enrolment: Option<enrolment::Enrolment>,
    /// MaxRequestBytes of the simulated HTTP.sys
    #[arg(long, value_name = "BYTES", default_value_t = 131_072)]
    max_request_bytes: usize,
}

impl From<Arguments> for Options {
    fn from(arguments: Arguments) -> Self {
        let limits = http_sys::HttpSysLimits {
            max_request_bytes: arguments.max_request_bytes,
            ..http_sys::HttpSysLimits::default()
        };
        let ndes = ndes::Options {
            limits,
            condition: arguments.ndes,
            enrolment: arguments.enrolment,
            scep_server: arguments.scep_server,
            ..ndes::Options::default()
        };
        Self {
            https: arguments.https,
            admin: arguments.admin,
            ndes,
        }
    }
}

/// The addresses of the demo, and the behaviour of its NDES.
#[derive(Clone, Debug)]
pub struct Options {
    /// The public address of the proxy. If the port is in use, any free one is taken.
    pub https: SocketAddr,
    /// The address for status page and metrics. If the port is in use, any free one is taken.
    pub admin: SocketAddr,
    pub ndes: ndes::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            https: (Ipv4Addr::LOCALHOST, 8443).into(),
            admin: (Ipv4Addr::LOCALHOST, 9464).into(),
            ndes: ndes::Options::default(),
        }
    }
}

/// A prepared demo. Its files exist and its NDES runs until this is dropped.
pub struct Demo {
    dir: TemporaryDir,
    pub ndes: SimulatedNdes,
    condition: Condition,
}

impl Demo {
    /// Creates the PKI, starts the NDES and writes the files.
    ///
    /// # Errors
    /// See [`DemoError`].
    pub async fn prepare(options: Options) -> Result<Self, DemoError> {
        let dir = TemporaryDir::create().map_err(DemoError::Files)?;
        let root = Pki::new("ndes-proxy demo CA", Key::EcdsaP256)?;
        let public = root.issue(&Leaf::server(&[PUBLIC_NAME, LOCAL_NAME]))?;
        // As in Microsoft's guide, the subject is the public name and the SAN the internal one.
        let internal = root.issue(&Leaf {
            common_name: PUBLIC_NAME.to_owned(),
            ..Leaf::server(&[INTERNAL_NAME])
        })?;
        let scep = ScepCertificates::new(Key::Rsa2048)?;
        let condition = options.ndes.condition;
        let ndes = ndes::start(options.ndes, &internal, &scep)
            .await
            .map_err(DemoError::Ndes)?;

        let demo = Self {
            dir,
            ndes,
            condition,
        };
        let https = or_any_port(options.https).map_err(DemoError::Listen)?;
        let admin = or_any_port(options.admin).map_err(DemoError::Listen)?;
        demo.write(
            &root,
            &public,
            &configuration(https, admin, demo.ndes.address),
        )
        .map_err(DemoError::Files)?;
        Ok(demo)
    }

    /// Returns the directory of the files. It is removed when this value is dropped.
    pub fn dir(&self) -> &Path {
        &self.dir.0
    }

    /// Returns the path of the proxy's configuration file.
    pub fn config_file(&self) -> PathBuf {
        self.dir.0.join("ndes-proxy.toml")
    }

    fn write(&self, root: &Pki, public: &pki::Issued, configuration: &str) -> io::Result<()> {
        root.write_to(self.dir(), "demo-ca")?;
        let files = public.write_to(self.dir(), "public")?;
        // The file includes the root, so that `check` does not report an incomplete chain.
        fs::write(
            files.chain,
            format!("{}{}", public.chain_pem, root.certificate_pem()),
        )?;
        fs::write(self.config_file(), configuration)
    }
}

/// The reason why the demo cannot start.
#[derive(Debug, thiserror::Error)]
pub enum DemoError {
    #[error("the demo's files cannot be written to the temporary directory")]
    Files(#[source] io::Error),
    #[error("the demo's certificates cannot be generated")]
    Certificates(#[from] rcgen::Error),
    #[error("the simulated NDES cannot listen")]
    Ndes(#[source] io::Error),
    #[error("the proxy cannot listen on its addresses")]
    Listen(#[source] io::Error),
}

/// A directory that only its owner can access. It is removed when this value is dropped.
struct TemporaryDir(PathBuf);

impl TemporaryDir {
    fn create() -> io::Result<Self> {
        let name = format!("ndes-proxy-demo-{}", std::process::id());
        let mut path = std::env::temp_dir().join(&name);
        let mut attempt = 1;
        loop {
            match DirBuilder::new().mode(0o700).create(&path) {
                // In a container the process id is always the same, and a killed demo does not
                // remove its directory.
                Err(error)
                    if error.kind() == io::ErrorKind::AlreadyExists && attempt < ATTEMPTS =>
                {
                    attempt += 1;
                    path.set_file_name(format!("{name}-{attempt}"));
                }
                created => return created.map(|()| Self(path)),
            }
        }
    }
}

impl Drop for TemporaryDir {
    fn drop(&mut self) {
        // Files that cannot be removed remain in the system's temporary directory.
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Returns `address`, with port 0 (any free port) if its port is in use.
fn or_any_port(address: SocketAddr) -> io::Result<SocketAddr> {
    match TcpListener::bind(address) {
        Ok(_) => Ok(address),
        Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
            Ok(SocketAddr::new(address.ip(), 0))
        }
        Err(error) => Err(error),
    }
}

fn configuration(https: SocketAddr, admin: SocketAddr, ndes: SocketAddr) -> String {
    format!(
        r#"# Written by `ndes-proxy demo`.

[listen]
https = ["{https}"]
admin = "{admin}"

[[application]]
name = "ndes"
public_names = ["{PUBLIC_NAME}", "{LOCAL_NAME}"]
certificate = {{ chain = "public.pem", key = "public.key" }}

[[application.upstream]]
url = "https://{INTERNAL_NAME}"
address = "{ndes}"
ca_roots = ["demo-ca.pem"]
"#
    )
}

const PUBLIC_NAME: &str = "scep.example.test";
/// For SCEP clients that cannot use a given address for a name.
const LOCAL_NAME: &str = "localhost";
const INTERNAL_NAME: &str = "ndes.corp.test";
const ATTEMPTS: u32 = 1000;

#[cfg(test)]
mod tests;
