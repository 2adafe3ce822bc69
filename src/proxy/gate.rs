//! What is let in: one ordered list of checks, each a plain function of the request head.
//!
//! The order is part of the interface: a request that breaks several rules is refused for the first
//! of them. Framing is checked before, where the head is read; rates and the limits of the upstream
//! are checked after, in [`exchange`](super::exchange).

mod host;
pub mod policy;
pub mod rate;
mod size;

use std::sync::Arc;

use super::application::Application;
use super::rules::Rules;
use super::site::{Site, Sni};
use crate::base::head::{Head, Target};
use crate::base::rejection::Rejection;
use crate::config::Limits;
use crate::scep::Operation;

/// A request that may continue, and only in this form.
#[derive(Debug)]
pub struct Admitted<A = Application> {
    pub application: Arc<A>,
    pub method: http::Method,
    /// `None` for a GET or HEAD without operation, which asks for the health page of NDES.
    pub operation: Option<Operation>,
    /// The configured path instead of the bytes of the client, and its query byte for byte.
    pub target: Target,
}

/// Judges a well-formed head. `sni` is the server name of its connection.
pub fn admit<A: AsRef<Rules>>(
    head: &Head,
    sni: Option<&Sni<A>>,
    site: &Site<A>,
    limits: &Limits,
) -> Result<Admitted<A>, Rejection> {
    let application = host::application(head, sni, site)?;
    size::check(head, limits)?;
    let rules: &Rules = (**application).as_ref();
    let path = rules.path(head.target.path())?;
    let method = rules.method(head.method)?;
    let operation = rules.operation(&method, head.target.query())?;
    let target = head.target.with_path(path.as_str());
    Ok(Admitted {
        application: application.clone(),
        method,
        operation,
        target,
    })
}

/// Returns the application that a refused head would have reached, for its metrics.
pub fn application_of<A>(head: &Head, sni: Option<&Sni<A>>, site: &Site<A>) -> Option<Arc<A>> {
    host::application(head, sni, site).ok().cloned()
}
