//! A request to NDES, as it is written to the connection.

use bytes::Bytes;
use http::Method;

use crate::base::head::Target;
use crate::scep::Operation;

/// A request to NDES. Cloning is cheap, because clones share the bytes.
#[derive(Clone, Debug)]
pub struct Outgoing {
    /// Whose pool is used: a connection belongs to the runtime that opened it. A number that no
    /// worker has means a new connection.
    pub worker: usize,
    pub method: Method,
    pub operation: Option<Operation>,
    /// Sent without scheme and authority.
    pub target: Target,
    /// The header fields, made by [`fields::Lines`](super::fields::Lines).
    pub fields: Bytes,
    pub body: Bytes,
    /// How often the request was sent before.
    pub(super) retries: u8,
}

impl Outgoing {
    pub fn new(
        worker: usize,
        method: Method,
        operation: Option<Operation>,
        target: Target,
        fields: Bytes,
    ) -> Self {
        Self {
            worker,
            method,
            operation,
            target,
            fields,
            body: Bytes::new(),
            retries: 0,
        }
    }

    /// Returns the length of the request line and the header fields, with the empty line. HTTP.sys
    /// compares it with MaxRequestBytes.
    pub fn head_bytes(&self) -> usize {
        let wire = self.on_the_wire();
        wire.iter().map(|piece| piece.len()).sum::<usize>() - self.body.len()
    }

    /// Returns the pieces to write, in order. A target of 64 KB is not copied.
    pub(super) fn on_the_wire(&self) -> [&[u8]; 6] {
        [
            self.method.as_str().as_bytes(),
            b" ",
            &self.target.path_and_query,
            b" HTTP/1.1\r\n",
            &self.fields,
            &self.body,
        ]
    }

    /// Returns whether the request may be sent again although NDES may have received it. A
    /// PKIOperation may not: NDES may have used up its challenge.
    pub(super) fn is_repeatable(&self) -> bool {
        self.operation != Some(Operation::PKIOperation) && self.method != Method::POST
    }
}
