//! The published applications, by name.

use std::collections::HashMap;
use std::sync::Arc;

use super::application::Application;

/// The applications of one generation. Generic, so that the gate can be tested, fuzzed and
/// measured with rules alone.
#[derive(Debug)]
pub struct Site<A = Application> {
    /// In the order of the configuration, which requires at least one.
    applications: Vec<Arc<A>>,
    /// Public names in lower case.
    names: HashMap<Box<str>, Arc<A>>,
}

/// The server name that a client requested in TLS (SNI, RFC 6066 §3). A name that is not published
/// is refused in the handshake.
#[derive(Debug)]
pub struct Sni<A = Application> {
    /// In lower case.
    pub name: Arc<str>,
    /// `None` if a reload has removed the name since.
    pub application: Option<Arc<A>>,
}

impl<A> Site<A> {
    /// Each application comes with its public names, in lower case.
    pub fn new<'n, N: IntoIterator<Item = &'n str>>(
        applications: impl IntoIterator<Item = (Arc<A>, N)>,
    ) -> Self {
        let mut site = Self {
            applications: Vec::new(),
            names: HashMap::new(),
        };
        for (application, names) in applications {
            let names = names
                .into_iter()
                .map(|name| (name.into(), application.clone()));
            site.names.extend(names);
            site.applications.push(application);
        }
        site
    }

    pub fn applications(&self) -> &[Arc<A>] {
        &self.applications
    }

    /// Returns the application for clients that name no host: the first one.
    pub fn default_application(&self) -> &Arc<A> {
        &self.applications[0]
    }

    /// Returns the application that publishes `name`, compared without regard to ASCII case.
    pub fn find(&self, name: &str) -> Option<&Arc<A>> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.names.get(name.to_ascii_lowercase().as_str());
        }
        self.names.get(name)
    }

    /// Looks `name` up again, as after a reload.
    pub fn sni(&self, name: Arc<str>) -> Sni<A> {
        let application = self.find(&name).cloned();
        Sni { name, application }
    }
}
