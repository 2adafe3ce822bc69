//! Tests that the doctor reports each fault at the right step with the right reason, and nothing
//! else. The simulated NDES, real TLS or the real proxy reproduces each fault.

mod command;
mod direct;
mod public;
mod through;

use std::net::SocketAddr;
use std::path::Path;
use std::sync::OnceLock;

use ndes_proxy::commands::demo::pki::{Issued, Leaf, Pki};
use ndes_proxy::commands::doctor::{self, Finding, Level, Report, Section};
use ndes_proxy::config::Config;
use tempfile::TempDir;

use crate::support::pki::pki;
use crate::support::{INTERNAL, Proxy};

/// A public name that resolves to this machine without a name server.
const NAME: &str = "localhost";

/// Level, step and reason of a finding.
type Summary = (Level, &'static str, Option<&'static str>);

/// A configuration with its files.
struct Fixture {
    files: TempDir,
}

/// The certificate for `NAME`, issued by an intermediate CA.
fn public() -> &'static Issued {
    static ISSUED: OnceLock<Issued> = OnceLock::new();
    ISSUED.get_or_init(|| issuing_ca().issue(&Leaf::server(&[NAME])).unwrap())
}

fn issuing_ca() -> &'static Pki {
    static CA: OnceLock<Pki> = OnceLock::new();
    CA.get_or_init(|| {
        let root = &pki().public_root;
        let key = ndes_proxy::commands::demo::pki::Key::EcdsaP256;
        root.intermediate("public issuing CA", key).unwrap()
    })
}

impl Fixture {
    fn new() -> Self {
        let files = tempfile::tempdir().unwrap();
        public().write_to(files.path(), "public").unwrap();
        pki()
            .internal_root
            .write_to(files.path(), "internal-root")
            .unwrap();
        Self { files }
    }

    /// Starts the real proxy with this certificate in front of `upstream`.
    fn proxy(&self, upstream: SocketAddr, change: impl FnOnce(&mut Config)) -> Proxy {
        let text = application(upstream);
        Proxy::start_text(&text, |config| {
            for application in &mut config.applications {
                for certificate in &mut application.certificates {
                    for file in [&mut certificate.chain, &mut certificate.key] {
                        let name = file.value.file_name().unwrap();
                        file.value = self.files.path().join(name);
                    }
                }
            }
            change(config);
        })
    }

    /// Runs the doctor with a proxy at `https` and an NDES at `upstream`.
    fn examine(&self, https: SocketAddr, upstream: SocketAddr) -> Report {
        self.examine_text(&text(https, upstream))
    }

    fn examine_text(&self, text: &str) -> Report {
        std::fs::write(self.config(), text).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let file = self.config();
        let report = runtime.block_on(doctor::examine(&file, &mut |_| {}));
        runtime.shutdown_background();
        report.unwrap()
    }

    fn config(&self) -> std::path::PathBuf {
        self.path().join("ndes-proxy.toml")
    }

    fn path(&self) -> &Path {
        self.files.path()
    }
}

fn text(https: SocketAddr, upstream: SocketAddr) -> String {
    listen(https) + &application(upstream)
}

fn listen(https: SocketAddr) -> String {
    format!(
        "[listen]\nhttps = [\"{https}\"]\nadmin = \"127.0.0.1:0\"\n[limits]\nconnections = 100\n"
    )
}

fn application(upstream: SocketAddr) -> String {
    format!(
        r#"
[[application]]
name = "ndes"
public_names = ["{NAME}"]
certificate = {{ chain = "public.pem", key = "public.key" }}
[[application.upstream]]
url = "https://{INTERNAL}"
address = "{upstream}"
ca_roots = ["internal-root.pem"]
"#
    )
}

/// Returns all warnings and problems.
fn not_ok(report: &Report) -> Vec<Summary> {
    let findings = report.all().filter(|finding| finding.level != Level::Ok);
    findings.map(summary).collect()
}

/// Returns all warnings and problems of one section.
fn not_ok_in(section: Section, report: &Report) -> Vec<Summary> {
    let in_section = report
        .all()
        .filter(|finding| finding.step.section() == section);
    in_section
        .filter(|finding| finding.level != Level::Ok)
        .map(summary)
        .collect()
}

fn summary(finding: &Finding) -> Summary {
    (finding.level, finding.step.word(), finding.reason)
}

/// Returns the sentences and cures of all warnings and problems.
fn texts(report: &Report) -> String {
    let findings = report.all().filter(|finding| finding.level != Level::Ok);
    let lines = findings.map(|finding| {
        let cure = finding.cure.as_deref().unwrap_or_default();
        assert!(!cure.is_empty(), "no cure: {finding:?}");
        format!("{}\n{cure}\n", finding.what)
    });
    lines.collect()
}

const fn problem(step: &'static str, reason: &'static str) -> Summary {
    (Level::Problem, step, Some(reason))
}

const fn warning(step: &'static str, reason: &'static str) -> Summary {
    (Level::Warning, step, Some(reason))
}

/// A finding that is not an anomaly of NDES.
const fn without_reason(level: Level, step: &'static str) -> Summary {
    (level, step, None)
}
