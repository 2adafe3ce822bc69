//! Records the requests to the simulated NDES, for tests that compare them byte for byte.
//!
//! Called by `ndes`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Version, request};

/// A request as received. hyper has lower-cased the field names and trimmed the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordedRequest {
    pub method: String,
    /// Byte for byte as in the request line, but hyper drops a `#` and all bytes after it.
    pub target: String,
    pub version: Version,
    /// The header fields. Several fields with the same name keep their order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Bytes,
}

impl RecordedRequest {
    pub(super) fn new(head: &request::Parts, target: &str, body: &Bytes) -> Self {
        let headers = head.headers.iter();
        Self {
            method: head.method.to_string(),
            target: target.to_owned(),
            version: head.version,
            headers: headers
                .map(|(name, value)| (name.to_string(), value.as_bytes().to_vec()))
                .collect(),
            body: body.clone(),
        }
    }
}

/// The last [`RECORDED`] requests.
#[derive(Default)]
pub(super) struct Recorder(Mutex<VecDeque<RecordedRequest>>);

impl Recorder {
    pub(super) fn add(&self, request: RecordedRequest) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == RECORDED {
            all.pop_front();
        }
        all.push_back(request);
    }

    /// Returns the requests, oldest first.
    pub(super) fn requests(&self) -> Vec<RecordedRequest> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }
}

const RECORDED: usize = 1000;
