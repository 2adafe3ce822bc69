//! The rows of the table. A new row is one more entry in [`all`].

use crate::pki::PUBLIC_NAME;

/// The longest URI that has to pass.
pub(crate) const URI_BYTES: usize = 65534;

/// Length of the answer to [`Request::LargeAnswer`].
pub(crate) const LARGE_ANSWER: usize = 1 << 20;
/// What the query of [`Request::LargeAnswer`] ends with, by which the origin knows it.
pub(crate) const LARGE_MARK: &[u8] = b"message=large";

/// What the query of [`Request::Enrol`] ends with, by which the origin knows it.
pub(crate) const ENROL_MARK: &[u8] = b"message=enrol";

/// A PKCSReq of micromdm's scepclient with an RSA key of 4096 bits, as it went over the wire.
const PKCS_REQ: &[u8] =
    include_bytes!("../../tests/corpus/raw/118-big-scepclient-rsa4096-post-post-pkioperation.req");
/// The answer to it.
const CERT_REP: &[u8] =
    include_bytes!("../../tests/corpus/raw/118-big-scepclient-rsa4096-post-post-pkioperation.resp");

const PATH: &str = "/certsrv/mscep/mscep.dll";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

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
pub(crate) enum Request {
    ShortGet,
    /// A PKIOperation by GET whose URI has this many bytes.
    LongGet(usize),
    /// A PKIOperation by POST whose body has this many bytes.
    Post(usize),
    /// A real PKCSReq and its CertRep; as another operation, whose message nobody reads, it is what
    /// the path costs without a look at SCEP.
    Enrol {
        read: bool,
    },
    /// A short GET that is answered with 1 MB.
    LargeAnswer,
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

impl Http {
    /// What ALPN calls it.
    pub(crate) fn protocol(self) -> &'static str {
        match self {
            Self::One => "http/1.1",
            Self::Two { .. } => "h2",
        }
    }
}

impl Request {
    /// The bytes to send over HTTP/1.
    pub(crate) fn bytes(self, host: &str) -> Vec<u8> {
        match self {
            Self::ShortGet => get(&format!("{PATH}?operation=GetCACaps&message=ndes"), host),
            Self::LongGet(length) => get(&long_target(length), host),
            Self::LargeAnswer => {
                let mark = String::from_utf8_lossy(LARGE_MARK);
                get(&format!("{PATH}?operation=GetCACert&{mark}"), host)
            }
            Self::Enrol { read } => {
                let operation = if read {
                    "PKIOperation"
                } else {
                    "GetCACertChain"
                };
                let mark = String::from_utf8_lossy(ENROL_MARK);
                let message = body(PKCS_REQ);
                let target = format!("{PATH}?operation={operation}&{mark}");
                [&post(&target, host, message.len()), message].concat()
            }
            Self::Post(length) => {
                let head = post(&post_target(), host, length);
                // Not text: every byte value, and no run that could be compressed by accident.
                let body = (0..length).map(|i| (i * 167 + i / 251) as u8);
                head.into_iter().chain(body).collect()
            }
        }
    }

    /// The body of the answer when all of the request reached the origin; `None` for the large one, of which only the
    /// length is known.
    pub(crate) fn answer(self) -> Option<Vec<u8>> {
        let short = |request: &[u8], body| {
            let target = request.split(|&b| b == b' ').nth(1).map_or(0, <[u8]>::len);
            receipt(target, body)
        };
        match self {
            Self::ShortGet | Self::LongGet(_) => Some(short(&self.bytes(PUBLIC_NAME), 0)),
            Self::Post(length) => Some(short(&self.bytes(PUBLIC_NAME), length)),
            Self::Enrol { .. } => Some(cert_rep().to_vec()),
            Self::LargeAnswer => None,
        }
    }
}

/// What the origin answers to [`Request::Enrol`].
pub(crate) fn cert_rep() -> &'static [u8] {
    body(CERT_REP)
}

/// What follows the head of an HTTP message.
fn body(message: &'static [u8]) -> &'static [u8] {
    memchr::memmem::find(message, b"\r\n\r\n").map_or(&[], |end| &message[end + 4..])
}

fn post(target: &str, host: &str, length: usize) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: throughput\r\nAccept: */*\r\n\
         Content-Type: application/x-pki-message\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// What the origin answers to a request whose target and body have these many bytes.
pub(crate) fn receipt(target: usize, body: usize) -> Vec<u8> {
    format!("target {target:>8} body {body:>8}\n").into_bytes()
}

/// A GET of `target` as a SCEP client sends it.
pub(crate) fn get(target: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: throughput\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// A PKIOperation of exactly `length` bytes.
pub(crate) fn long_target(length: usize) -> String {
    let mut target = format!("{PATH}?operation=PKIOperation&message=");
    let missing = length.saturating_sub(target.len());
    target.extend((0..missing).map(|i| char::from(BASE64[(i * 37 + i / 64) % BASE64.len()])));
    target
}

fn post_target() -> String {
    format!("{PATH}?operation=PKIOperation")
}
