//! How long and how much a client may still send after its last response, before the connection or
//! the HTTP/2 stream is reset: long enough to read the response.

use std::time::Duration;

pub(super) const LINGER_TIME: Duration = Duration::from_secs(10);
pub(super) const LINGER_BYTES: usize = 32 << 20;
