//! The rows of the table. To add a row, add an entry to [`all`].

use crate::request::{Request, URI_BYTES};

pub(crate) struct Scenario {
    /// The name in `--only` and in the JSON file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) request: Request,
    pub(crate) tls: Tls,
    pub(crate) http: Http,
    pub(crate) connections: usize,
    /// Maximum number of connections that have a request at the same time; `None` for no limit.
    pub(crate) max_concurrent: Option<usize>,
    /// Number of the proxy's public names, over which the connections are spread evenly.
    pub(crate) public_names: usize,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy)]
pub(crate) enum Http {
    One,
    /// With this number of concurrent requests on each connection.
    Two {
        streams: usize,
    },
}

#[derive(Clone, Copy)]
pub(crate) struct Tls {
    pub(crate) version: Version,
    pub(crate) key: Key,
    pub(crate) handshake: Handshake,
}

#[derive(Clone, Copy)]
pub(crate) enum Version {
    Tls12,
    Tls13,
}

#[derive(Clone, Copy)]
pub(crate) enum Key {
    Ecdsa,
    Rsa,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum Handshake {
    /// One for each connection, which then sends one request after the other.
    Once,
    /// A full handshake before each request.
    FullEach,
    /// Before each request, one that resumes the session of the previous request.
    ResumedEach,
}

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// Closed loop: the next request follows the response.
    Closed,
    /// Open loop: this number per second over all connections, whether or not responses arrive.
    Open { per_second: u32 },
}

/// The TLS parameters of all rows that do not measure handshakes.
pub(crate) const KEEP_ALIVE: Tls = Tls {
    version: Version::Tls13,
    key: Key::Ecdsa,
    handshake: Handshake::Once,
};

const fn with_handshake(version: Version, key: Key, handshake: Handshake) -> Tls {
    Tls {
        version,
        key,
        handshake,
    }
}

/// Returns all rows in the order of the table, except [`one_worker`].
pub(crate) fn all() -> Vec<Scenario> {
    use Handshake::{FullEach, ResumedEach};
    use Key::{Ecdsa, Rsa};
    use Version::{Tls12, Tls13};

    let row = |name, title, request, tls| Scenario {
        name,
        title,
        request,
        ..short_gets(tls, 32, 1)
    };
    let get = Request::ShortGet;
    let long = |name, title, bytes| row(name, title, Request::LongGet(bytes), KEEP_ALIVE);
    let http2 = |row| Scenario {
        http: Http::Two { streams: 16 },
        connections: 4,
        ..row
    };
    vec![
        row("get", "short GET, keep-alive", get, KEEP_ALIVE),
        long("get-1k5", "GET, 1.5 KB URI", 1536),
        long("get-4k", "GET, 4 KB URI", 4 << 10),
        long("get-8k", "GET, 8 KB URI", 8 << 10),
        long("get-16k", "GET, 16 KB URI", 16 << 10),
        long("get-32k", "GET, 32 KB URI", 32 << 10),
        long("get-60k", "GET, 60 KB URI", 60 << 10),
        long("get-64k", "GET, 64 KB URI", URI_BYTES),
        http2(row("h2-get", "HTTP/2, short GET", get, KEEP_ALIVE)),
        http2(long("h2-get-60k", "HTTP/2, GET, 60 KB URI", 60 << 10)),
        row(
            "post-4k",
            "POST, 4 KB body",
            Request::Post(4 << 10),
            KEEP_ALIVE,
        ),
        row(
            "enrol",
            "POST, real PKCSReq of 4.5 KB",
            Request::Enrol { read_as_scep: true },
            KEEP_ALIVE,
        ),
        row(
            "enrol-unread",
            "the same, not read as SCEP",
            Request::Enrol {
                read_as_scep: false,
            },
            KEEP_ALIVE,
        ),
        row(
            "new-ecdsa",
            "new TLS 1.3 connection, ECDSA",
            get,
            with_handshake(Tls13, Ecdsa, FullEach),
        ),
        row(
            "new-rsa",
            "new TLS 1.3 connection, RSA-2048",
            get,
            with_handshake(Tls13, Rsa, FullEach),
        ),
        row(
            "resumed-13",
            "TLS 1.3 resumption",
            get,
            with_handshake(Tls13, Ecdsa, ResumedEach),
        ),
        row(
            "resumed-12",
            "TLS 1.2 resumption",
            get,
            with_handshake(Tls12, Ecdsa, ResumedEach),
        ),
        row(
            "answer-1m",
            "1 MB response",
            Request::LargeResponse,
            KEEP_ALIVE,
        ),
        Scenario {
            connections: 64,
            pace: Pace::Open { per_second: 1500 },
            ..row("open-1500", "short GET, 1500 per second", get, KEEP_ALIVE)
        },
    ]
}

/// Returns the row that always runs with one worker.
pub(crate) fn one_worker() -> Scenario {
    Scenario {
        name: "get-1-worker",
        title: "short GET, one worker",
        ..short_gets(KEEP_ALIVE, 32, 1)
    }
}

/// Returns short GETs over this number of connections, which are spread evenly over this number of
/// public names.
pub(crate) fn short_gets(tls: Tls, connections: usize, public_names: usize) -> Scenario {
    Scenario {
        name: "get",
        title: "short GET, keep-alive",
        request: Request::ShortGet,
        tls,
        http: Http::One,
        connections,
        max_concurrent: None,
        public_names,
        pace: Pace::Closed,
    }
}

impl Scenario {
    /// Returns the maximum number of concurrent requests over all connections.
    pub(crate) fn concurrent_requests(&self) -> usize {
        match self.http {
            Http::One => self.connections,
            Http::Two { streams } => self.connections * streams,
        }
    }
}

impl Http {
    /// Returns the ALPN protocol name.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::One => "http/1.1",
            Self::Two { .. } => "h2",
        }
    }
}
