//! What the simulated NDES was asked, kept for tests that compare byte for byte.
//!
//! Called by `ndes`.

use std::collections::VecDeque;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;
use http::{Version, request};

/// A request as it came in. hyper has lower-cased the field names and trimmed the values.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    pub method: String,
    /// Byte for byte as in the request line (but hyper drops a `#` and what follows).
    pub target: String,
    pub version: Version,
    /// Several fields of one name stand in their order.
    pub headers: Vec<(String, Vec<u8>)>,
    pub body: Bytes,
}

impl Seen {
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
pub(super) struct Record(Mutex<VecDeque<Seen>>);

impl Record {
    pub(super) fn add(&self, seen: Seen) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if all.len() == RECORDED {
            all.pop_front();
        }
        all.push_back(seen);
    }

    /// Oldest first.
    pub(super) fn requests(&self) -> Vec<Seen> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.iter().cloned().collect()
    }
}

const RECORDED: usize = 1000;
