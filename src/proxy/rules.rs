//! What an application publishes: paths, methods and SCEP operations.

use crate::base::head::Method;
use crate::base::rejection::{Allow, Rejection};
use crate::config;
use crate::config::types::PublishedPath;
use crate::scep::{self, Operation, Unclear};

/// The rules of one application. Each check is a plain function of the request.
#[derive(Clone, Debug)]
pub struct Rules {
    pub paths: Vec<PublishedPath>,
    pub methods: Vec<Method>,
    pub operations: Vec<Operation>,
}

impl Rules {
    pub fn new(application: &config::Application) -> Self {
        Self {
            paths: application.paths.clone(),
            methods: application.methods.clone(),
            operations: application.operations.clone(),
        }
    }

    /// Returns the configured path that `path` matches. The raw bytes are compared without regard
    /// to ASCII case: IIS folds case, and whatever it would decode or normalise is not published,
    /// so nothing is decoded here.
    pub(super) fn path(&self, path: &[u8]) -> Result<&PublishedPath, Rejection> {
        let same =
            |published: &&PublishedPath| published.as_str().as_bytes().eq_ignore_ascii_case(path);
        let found = self.paths.iter().find(same);
        found.ok_or(Rejection::PathNotPublished)
    }

    pub(super) fn method(&self, method: Method) -> Result<http::Method, Rejection> {
        let has = |method| self.methods.contains(&method);
        match method.to_http() {
            Some(standard) if has(method) => Ok(standard),
            _ => Err(Rejection::MethodNotAllowed {
                allow: Allow {
                    get: has(Method::Get),
                    head: has(Method::Head),
                    post: has(Method::Post),
                },
            }),
        }
    }

    /// Returns the operation that `query` names. GET and HEAD may name none.
    pub(super) fn operation(
        &self,
        method: &http::Method,
        query: Option<&[u8]>,
    ) -> Result<Option<Operation>, Rejection> {
        match scep::operation(query.unwrap_or_default()) {
            Ok(None) if method == http::Method::POST => Err(Rejection::OperationMissing),
            Ok(Some(operation)) if !self.operations.contains(&operation) => {
                Err(Rejection::OperationNotPublished)
            }
            Ok(operation) => Ok(operation),
            Err(Unclear::Unknown) => Err(Rejection::OperationNotPublished),
            Err(Unclear::Ambiguous) => Err(Rejection::OperationAmbiguous),
        }
    }
}

/// So that the gate works with rules alone.
impl AsRef<Self> for Rules {
    fn as_ref(&self) -> &Self {
        self
    }
}
