//! What is let in: one ordered list of checks, each a plain function of the head.
//!
//! The order is part of the interface: a request that is wrong in several ways is refused for the
//! first of them. Framing comes before all this, where the head is read; rates and the upstream's
//! bounds come after, in `exchange`.

mod host;
pub mod policy;
pub mod rate;
mod size;

use crate::base::client::Peer;
use crate::base::head::{Head, Method, Target};
use crate::base::rejection::{Allow, Rejection};
use crate::config::Limits;
use crate::config::types::PublishedPath;
use crate::proxy::site::{Published, Site};
use crate::scep::{self, Operation, Unclear};

/// A request that may go on, and only as this.
#[derive(Clone, Debug)]
pub struct Admitted {
    /// Index into `Site::applications`.
    pub application: usize,
    pub method: Method,
    /// None for a bare GET or HEAD: NDES's health page.
    pub operation: Option<Operation>,
    /// The configured path, not the client's bytes, and the client's query byte for byte.
    pub target: Target,
}

/// Judges a head that is well-formed. Reads nothing but its arguments.
pub fn admit(
    head: &Head,
    peer: &Peer,
    site: &Site,
    limits: &Limits,
) -> Result<Admitted, Rejection> {
    let application = host::application(head, peer, site)?;
    size::check(head, limits)?;
    let published = &site.applications[application].published;
    let path = published.path(head.target.path())?;
    published.method(head.method)?;
    let operation = published.operation(head.method, head.target.query())?;
    let target = head.target.with_path(path.as_str());
    Ok(Admitted {
        application,
        method: head.method,
        operation,
        target,
    })
}

/// The application of a head that was refused, for its metrics: the one it would have reached.
pub fn application_of(head: &Head, peer: &Peer, site: &Site) -> Option<usize> {
    host::application(head, peer, site).ok()
}

impl Published {
    /// Compared on the raw bytes without regard to ASCII case: IIS folds case, and whatever it
    /// would decode or normalise is not published, so nothing is decoded here.
    fn path(&self, path: &[u8]) -> Result<&PublishedPath, Rejection> {
        let same =
            |published: &&PublishedPath| published.as_str().as_bytes().eq_ignore_ascii_case(path);
        self.paths
            .iter()
            .find(same)
            .ok_or(Rejection::PathNotPublished)
    }

    fn method(&self, method: Method) -> Result<(), Rejection> {
        let has = |method| self.methods.contains(&method);
        if has(method) {
            return Ok(());
        }
        let allow = Allow {
            get: has(Method::Get),
            head: has(Method::Head),
            post: has(Method::Post),
        };
        Err(Rejection::MethodNotAllowed { allow })
    }

    fn operation(
        &self,
        method: Method,
        query: Option<&[u8]>,
    ) -> Result<Option<Operation>, Rejection> {
        match scep::operation(query.unwrap_or_default()) {
            Ok(None) if method == Method::Post => Err(Rejection::OperationMissing),
            Ok(Some(operation)) if !self.operations.contains(&operation) => {
                Err(Rejection::OperationNotPublished)
            }
            Ok(operation) => Ok(operation),
            Err(Unclear::Unknown) => Err(Rejection::OperationNotPublished),
            Err(Unclear::Ambiguous) => Err(Rejection::OperationAmbiguous),
        }
    }
}
