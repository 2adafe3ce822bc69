//! Everything that the configuration decides and a reload replaces, built whole or not at all.
//! `run`, `check` and a reload use this one builder.

mod gauges;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use rustls::server::ProducesTickets;

use super::application::Application;
use super::files::Files;
use super::process::Process;
use super::site::Site;
use crate::base::problem::Problems;
use crate::config::types::{DnsName, PublishedPath};
use crate::config::{Config, Limits, Timeouts};

/// One immutable state of the proxy. A request keeps the one with which it began.
pub struct Generation {
    pub limits: Limits,
    /// Answered by the proxy itself, under any host.
    pub probe_path: Option<PublishedPath>,
    pub timeouts: Timeouts,
    pub site: Site,
    pub warnings: Problems,
    replaced: AtomicBool,
}

impl Generation {
    /// Reads every file that the configuration names.
    ///
    /// `previous` is the generation that the result will replace: an application that keeps its
    /// name keeps its queue, so that NDES never has more than `max_in_flight` requests of both,
    /// and, if its upstream is the same, its connections to NDES.
    ///
    /// # Errors
    /// Returns all problems at once.
    pub fn build(
        config: &Config,
        mut warnings: Problems,
        process: &Arc<Process>,
        ticketer: &Arc<dyn ProducesTickets>,
        previous: Option<&Self>,
    ) -> Result<Self, Problems> {
        let problems = &mut warnings;
        let files: Vec<_> = config
            .applications
            .iter()
            .map(|application| Files::read(application, problems))
            .collect();
        if problems.has_errors() {
            return Err(warnings);
        }
        let mut applications = Vec::new();
        for (settings, files) in config.applications.iter().zip(files) {
            let before = previous.and_then(|all| all.named(&settings.name));
            let before = before.map(|before| &**before);
            match Application::build(config, settings, files, process, ticketer, before) {
                Ok(application) => applications.push(Arc::new(application)),
                Err(diagnostic) => problems.add(&settings.location, diagnostic),
            }
        }
        if warnings.has_errors() {
            return Err(warnings);
        }
        let names = config.applications.iter().map(|application| {
            let names = application.public_names.iter();
            names.map(DnsName::as_str)
        });
        let built = Self {
            limits: config.limits.clone(),
            probe_path: config.listen.probe_path.clone(),
            timeouts: config.timeouts.clone(),
            site: Site::new(applications.into_iter().zip(names)),
            warnings,
            replaced: AtomicBool::new(false),
        };
        // Nothing fails from here on.
        for (application, settings) in built.applications().iter().zip(&config.applications) {
            for (upstream, settings) in application.upstreams.iter().zip(&settings.upstreams) {
                let queue = &upstream.queue;
                queue.resize(settings.max_in_flight, settings.queue);
            }
        }
        built.show(&process.metrics, previous);
        Ok(built)
    }

    /// Replaces what is current by `new`.
    pub fn replace(current: &ArcSwap<Self>, new: Self) {
        let old = current.swap(Arc::new(new));
        // Whoever sees this finds the new one.
        old.replaced.store(true, Ordering::Release);
    }

    /// Returns whether a reload has replaced this generation. Every request asks this.
    pub fn is_replaced(&self) -> bool {
        self.replaced.load(Ordering::Acquire)
    }

    /// Returns the applications in the order of the configuration.
    pub fn applications(&self) -> &[Arc<Application>] {
        self.site.applications()
    }

    fn named(&self, name: &str) -> Option<&Arc<Application>> {
        self.applications().iter().find(|one| one.name == name)
    }
}
