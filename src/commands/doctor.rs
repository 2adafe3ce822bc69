//! `ndes-proxy doctor`: walks the whole way from a device to NDES and says what is wrong on it and
//! what to do. Asks only what any device may ask, one thing after the other, a few dozen in all;
//! never a PKIOperation.
//!
//! - `finding`: one line of the report; `notes`: where the steps write them down
//! - `door`: where a public name leads; `public`: what is shown there
//! - `direct`: the way to NDES; `ladder`: what it says there; `certificates`: what it hands out
//! - `length`: the longest URI that it takes; `limits`: whose limit that is
//! - `through`: the same through the proxy
//! - `ask`: one request; `report`: text and JSON; `terminal`: what only a
//!   person at one gets

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tokio::time::timeout;

use crate::base::problem::{Diagnostic, Location, Problem, Problems};
use crate::commands::check;
use crate::config::{self, Application, Config};
use crate::observe::metrics::Metrics;
use crate::proxy::application;
use crate::proxy::files::{Files, UpstreamFiles};
use crate::tls::identity::Identity;
use crate::upstream::Client;

mod ask;
mod certificates;
mod direct;
mod door;
mod finding;
mod ladder;
mod length;
mod limits;
mod notes;
mod public;
mod report;
pub mod terminal;
mod through;

pub use finding::{Finding, Level, Side, Step};
use notes::Notes;
pub use report::{Report, Style};

/// What was found about one application.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Examined {
    pub name: String,
    /// In the order in which it was found.
    pub findings: Vec<Finding>,
    /// Steps that make no sense after what was found.
    pub left_out: Vec<Step>,
}

/// An application with all that is known of it before anything is asked.
struct Subject<'a> {
    config: &'a Config,
    application: &'a Application,
    /// Its certificates, as far as their files can be used.
    identities: Vec<Identity>,
    /// The NDES server that is examined: the first one of the application, as the proxy uses it.
    settings: &'a config::Upstream,
    /// `None` if `ca_roots` cannot be used.
    upstream: Option<Arc<Client>>,
    now: SystemTime,
}

/// Each step has its own deadline, much earlier; this is for the sum of them.
const PATIENCE: Duration = Duration::from_secs(180);

/// Reads `file` and examines each application in it. `watch` is told what is waited for.
///
/// # Errors
/// The configuration cannot be used.
pub async fn examine(file: &Path, watch: &mut dyn FnMut(&str)) -> Result<Report, Problems> {
    let (config, mut problems) = Config::load(file)?;
    let metrics = Metrics::new().map_err(|error| {
        let cure = "this is a defect of the proxy or the system";
        let finding = Diagnostic::error(error.to_string(), cure);
        Problems(vec![finding.at(&Location::file(file))])
    })?;
    let findings = check::system_diagnostics(&config).into_iter();
    let system = findings.map(|finding| finding.at(&Location::file(file)));
    problems.0.extend(system);
    let files: Vec<_> = config
        .applications
        .iter()
        .map(|application| Files::read(application, &mut problems))
        .collect();

    let mut applications = Vec::new();
    for (application, files) in config.applications.iter().zip(files) {
        let mut upstreams = application.upstreams.iter().zip(files.upstreams);
        let Some((settings, UpstreamFiles { roots, trust })) = upstreams.next() else {
            continue;
        };
        let identity = application::settings(&config, settings, roots);
        let metrics = metrics.upstream(&application.name);
        let upstream = trust.map(|trust| Client::new(identity, trust.config, metrics, 1));
        let subject = Subject {
            config: &config,
            application,
            identities: files.identities,
            settings,
            upstream: upstream.map(Arc::new),
            now: SystemTime::now(),
        };
        let mut notes = Notes::new(&application.name, watch);
        if timeout(PATIENCE, walk(&subject, &mut notes)).await.is_err() {
            notes.out_of_time(PATIENCE);
        }
        applications.push(notes.into_examined());
    }
    Ok(Report::new(of_check(problems), applications))
}

/// All steps in their order: the only place that knows it.
async fn walk(subject: &Subject<'_>, notes: &mut Notes<'_>) {
    // 1. The public side, each name as a device comes to it.
    let (mut door, mut seen) = (None, Vec::new());
    for name in &subject.application.public_names {
        let Some(found) = door::find(subject, name, notes).await else {
            continue;
        };
        if let Some(chain) = public::handshake(&found, notes).await {
            public::certificate(subject, &found, &chain, &mut seen, notes);
            door = door.or(Some(found));
        }
    }
    if let Some(door) = &door {
        public::without_sni(subject, door, notes).await;
    }

    // 2. NDES, the way the proxy goes.
    let mut known = ladder::Known::default();
    if let Some(direct) = direct::connect(subject, notes).await {
        known = ladder::climb(subject, &direct, notes).await;
        if known.capabilities.is_some() {
            known.longest = length::measure(subject, &direct, notes).await;
        } else {
            notes.leave_out(&[Step::UrlLength]);
        }
    }

    // 3. Both together.
    match &door {
        Some(door) => through::all(subject, door, &known, notes).await,
        None => notes.leave_out(&through::STEPS),
    }
}

/// What `check` says of the file, with the place where it says it.
fn of_check(problems: Problems) -> Vec<Finding> {
    problems
        .0
        .into_iter()
        .map(
            |Problem {
                 location,
                 mut diagnostic,
             }| {
                diagnostic.what = format!("{location}: {}", diagnostic.what);
                Finding::of_check(Step::Configuration, diagnostic)
            },
        )
        .collect()
}
