//! What is published under which name.

use std::collections::HashMap;

use crate::base::head::Method;
use crate::config::types::PublishedPath;
use crate::scep::Operation;

/// The applications by public name: all that the gate needs to know.
#[derive(Clone, Debug, Default)]
pub struct Site {
    pub applications: Vec<SiteApplication>,
    /// Lower case.
    names: HashMap<Box<str>, usize>,
}

#[derive(Clone, Debug)]
pub struct SiteApplication {
    pub name: String,
    pub published: Published,
}

/// What an application publishes.
#[derive(Clone, Debug)]
pub struct Published {
    pub paths: Vec<PublishedPath>,
    pub methods: Vec<Method>,
    pub operations: Vec<Operation>,
}

impl Site {
    pub fn new(applications: &[crate::config::Application]) -> Self {
        let mut site = Self::default();
        for (index, application) in applications.iter().enumerate() {
            site.applications.push(SiteApplication {
                name: application.name.clone(),
                published: Published {
                    paths: application.paths.clone(),
                    methods: application.methods.clone(),
                    operations: application.operations.clone(),
                },
            });
            for name in &application.public_names {
                site.names.insert(name.as_str().into(), index);
            }
        }
        site
    }

    /// The names under which an application is published, in order.
    pub fn names_of(&self, application: usize) -> Vec<&str> {
        let all = self.names.iter();
        let own = all.filter(|(_, index)| **index == application);
        let mut names: Vec<_> = own.map(|(name, _)| &**name).collect();
        names.sort_unstable();
        names
    }

    /// The index of the application that publishes `name`, compared without regard to case.
    pub fn find(&self, name: &str) -> Option<usize> {
        if name.bytes().any(|b| b.is_ascii_uppercase()) {
            return self.names.get(name.to_ascii_lowercase().as_str()).copied();
        }
        self.names.get(name).copied()
    }
}
