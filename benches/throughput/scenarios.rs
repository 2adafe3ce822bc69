//! The rows of the table. A new row is one more entry in [`all`].

use crate::request::{Request, URI_BYTES};

pub(crate) struct Scenario {
    /// For `--only` and for the JSON file.
    pub(crate) name: &'static str,
    pub(crate) title: &'static str,
    pub(crate) request: Request,
    pub(crate) tls: Tls,
    pub(crate) http: Http,
    pub(crate) connections: usize,
    /// So many of them have a request at a time, each in turn; all where there is no number.
    pub(crate) at_once: Option<usize>,
    /// Of the proxy, over which the connections go round.
    pub(crate) names: usize,
    pub(crate) pace: Pace,
}

#[derive(Clone, Copy)]
pub(crate) enum Http {
    One,
    /// With so many requests at a time on each connection.
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
    /// One per connection, then requests one after the other.
    Once,
    /// A full one before each request.
    FullEach,
    /// One that resumes the session of the request before.
    ResumedEach,
}

#[derive(Clone, Copy)]
pub(crate) enum Pace {
    /// The next request follows the answer.
    Closed,
    /// So many per second over all connections, whether answers come or not.
    Open { per_second: u32 },
}

/// The handshake of all rows that are not about handshakes.
pub(crate) const KEEP_ALIVE: Tls = Tls {
    version: Version::Tls13,
    key: Key::Ecdsa,
    handshake: Handshake::Once,
};

const fn each(version: Version, key: Key, handshake: Handshake) -> Tls {
    Tls {
        version,
        key,
        handshake,
    }
}

/// Every row, in the order of the table.
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
    let two = |row| Scenario {
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
        two(row("h2-get", "HTTP/2, short GET", get, KEEP_ALIVE)),
        two(long("h2-get-60k", "HTTP/2, GET, 60 KB URI", 60 << 10)),
        row(
            "post-4k",
            "POST, 4 KB body",
            Request::Post(4 << 10),
            KEEP_ALIVE,
        ),
        row(
            "enrol",
            "POST, real PKCSReq of 4.5 KB",
            Request::Enrol { read: true },
            KEEP_ALIVE,
        ),
        row(
            "enrol-unread",
            "the same, not read as SCEP",
            Request::Enrol { read: false },
            KEEP_ALIVE,
        ),
        row(
            "new-ecdsa",
            "new TLS 1.3 connection, ECDSA",
            get,
            each(Tls13, Ecdsa, FullEach),
        ),
        row(
            "new-rsa",
            "new TLS 1.3 connection, RSA-2048",
            get,
            each(Tls13, Rsa, FullEach),
        ),
        row(
            "resumed-13",
            "TLS 1.3 resumption",
            get,
            each(Tls13, Ecdsa, ResumedEach),
        ),
        row(
            "resumed-12",
            "TLS 1.2 resumption",
            get,
            each(Tls12, Ecdsa, ResumedEach),
        ),
        row("answer-1m", "1 MB answer", Request::LargeAnswer, KEEP_ALIVE),
        Scenario {
            connections: 64,
            pace: Pace::Open { per_second: 1500 },
            ..row("open-1500", "short GET, 1500 per second", get, KEEP_ALIVE)
        },
    ]
}

/// The row that runs with one worker, whatever the others have.
pub(crate) fn one_worker() -> Scenario {
    Scenario {
        name: "get-1-worker",
        title: "short GET, one worker",
        ..short_gets(KEEP_ALIVE, 32, 1)
    }
}

/// Short GETs over so many connections, which go round over so many names.
pub(crate) fn short_gets(tls: Tls, connections: usize, names: usize) -> Scenario {
    Scenario {
        name: "get",
        title: "short GET, keep-alive",
        request: Request::ShortGet,
        tls,
        http: Http::One,
        connections,
        at_once: None,
        names,
        pace: Pace::Closed,
    }
}

impl Scenario {
    /// Requests that the connections have at a time.
    pub(crate) fn at_a_time(&self) -> usize {
        match self.http {
            Http::One => self.connections,
            Http::Two { streams } => self.connections * streams,
        }
    }
}

impl Http {
    /// What ALPN calls it.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::One => "http/1.1",
            Self::Two { .. } => "h2",
        }
    }
}
