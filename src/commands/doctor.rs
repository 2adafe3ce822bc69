//! `ndes-proxy doctor`: examines the whole path from a device to NDES and reports what is wrong and
//! what to do. It sends only requests that any device may send, one after the other, a few dozen in
//! total, and never a PKIOperation.
//!
//! - `finding`: one line of the report; `collector`: the list of findings about one application
//! - `endpoint`: the server that a public name leads to; `public`: its handshake and certificate
//! - `direct`: the connection to NDES; `questions`: the requests to it; `certificates`: those that
//!   GetCACert returns
//! - `length`: the longest URI that NDES accepts; `limits`: the name of the limit
//! - `through_proxy`: the same requests through the proxy
//! - `request`: one HTTP request; `report`: text and JSON; `terminal`: output for a terminal only

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

mod certificates;
mod collector;
mod direct;
mod endpoint;
mod finding;
mod length;
mod limits;
mod public;
mod questions;
mod report;
mod request;
pub mod terminal;
mod through_proxy;

use collector::Collector;
pub use finding::{Finding, Level, Section, Step};
pub use report::{Report, Style};

/// The findings about one application.
#[derive(Clone, Debug, serde::Serialize)]
pub struct ApplicationReport {
    pub name: String,
    /// The findings in the order of the steps.
    pub findings: Vec<Finding>,
    /// The steps that were not run, because earlier findings make them pointless.
    pub left_out: Vec<Step>,
}

/// An application with its configuration and files: the input of all steps.
struct Context<'a> {
    config: &'a Config,
    application: &'a Application,
    /// The certificates whose files can be used.
    identities: Vec<Identity>,
    /// The NDES server that is examined: the first one of the application, as the proxy uses it.
    settings: &'a config::Upstream,
    /// `None` if `ca_roots` cannot be used.
    upstream: Option<Arc<Client>>,
    now: SystemTime,
}

/// The maximum time for all steps together. Each step has its own, much shorter timeout.
const DEADLINE: Duration = Duration::from_secs(180);

/// Reads `file` and examines each application in it. Calls `progress` with each operation that may
/// take a while.
///
/// # Errors
/// The configuration cannot be used.
pub async fn examine(file: &Path, progress: &mut dyn FnMut(&str)) -> Result<Report, Problems> {
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
        let context = Context {
            config: &config,
            application,
            identities: files.identities,
            settings,
            upstream: upstream.map(Arc::new),
            now: SystemTime::now(),
        };
        let mut collector = Collector::new(&application.name, progress);
        if timeout(DEADLINE, walk(&context, &mut collector))
            .await
            .is_err()
        {
            collector.time_out(DEADLINE);
        }
        applications.push(collector.into_report());
    }
    Ok(Report::new(configuration_findings(problems), applications))
}

/// Runs all steps. Only this function defines their order.
async fn walk(context: &Context<'_>, collector: &mut Collector<'_>) {
    // 1. The public side, for each name as a device connects to it.
    let (mut endpoint, mut seen) = (None, Vec::new());
    for name in &context.application.public_names {
        let Some(found) = endpoint::find(context, name, collector).await else {
            continue;
        };
        if let Some(chain) = public::handshake(&found, collector).await {
            public::certificate(context, &found, &chain, &mut seen, collector);
            endpoint = endpoint.or(Some(found));
        }
    }
    if let Some(endpoint) = &endpoint {
        public::without_sni(context, endpoint, collector).await;
    }

    // 2. NDES, with the code of the proxy.
    let mut results = questions::DirectResults::default();
    if let Some(direct) = direct::connect(context, collector).await {
        results = questions::ask_all(context, &direct, collector).await;
        if results.capabilities.is_some() {
            results.longest = length::measure(context, &direct, collector).await;
        } else {
            collector.skip(&[Step::UrlLength]);
        }
    }

    // 3. Both together.
    match &endpoint {
        Some(endpoint) => through_proxy::ask_all(context, endpoint, &results, collector).await,
        None => collector.skip(&Step::THROUGH),
    }
}

/// Converts the problems of `check` to findings, each with its location.
fn configuration_findings(problems: Problems) -> Vec<Finding> {
    problems
        .0
        .into_iter()
        .map(
            |Problem {
                 location,
                 mut diagnostic,
             }| {
                diagnostic.what = format!("{location}: {}", diagnostic.what);
                Finding::from_diagnostic(Step::Configuration, diagnostic)
            },
        )
        .collect()
}
