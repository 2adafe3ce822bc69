//! Tables of bytes that a hostile client can send on an HTTP/1 connection. Each case is raw bytes over
//! real TLS, and is checked by what the origin received.

mod chunks;
mod defect;
mod early;
mod evasion;
mod fields;
mod framing;
mod lines;
mod paths;
mod tls;

use crate::support::origin::answer;
use crate::support::{Connection, End, MSCEP, Origin, PUBLIC, Proxy, Received};

/// A proxy before an origin that responds to each request with its target.
struct Lab {
    origin: Origin,
    proxy: Proxy,
    request_count: Box<dyn Fn() -> usize>,
    /// The number of cases so far, which also marks the target of the next one.
    cases: usize,
    /// A connection that carries requests as long as none is refused.
    open: Option<Connection>,
}

impl Lab {
    fn new() -> Self {
        let origin = Origin::start(|request, wire| {
            wire.send(answer(200, &[], request.target().as_bytes()));
        });
        Self {
            proxy: Proxy::start(origin.address, |_| {}),
            request_count: Box::new(origin.probe()),
            origin,
            cases: 0,
            open: None,
        }
    }

    /// Returns the target of the next case, which differs from all others at the origin.
    fn target(&mut self) -> String {
        self.cases += 1;
        format!("{MSCEP}?operation=PKIOperation&message={}", self.cases)
    }

    /// Returns a connection that has carried a request already, so that it is known to work before
    /// the case.
    fn connection(&mut self) -> Connection {
        let mut connection = self.open.take().unwrap_or_else(|| self.proxy.connect());
        assert_eq!(connection.get("/certsrv/mscep?warm").status, 200);
        connection
    }

    /// Sends `bytes`, and after them a request that would be served. The response must be one 400 and
    /// the close of the connection, and nothing may reach the origin.
    #[track_caller]
    fn refused(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        let mut connection = self.connection();
        let before = (self.request_count)();
        connection.send([bytes.as_ref(), &smuggled()].concat());
        let response = connection.response();
        assert_eq!(response.status, 400, "{name}: {}", response.text());
        let reason = response.reason().expect("a reason");
        assert!(
            ["malformed_head", "malformed_framing", "host_invalid"].contains(&reason),
            "{name}: {reason}"
        );
        assert_eq!(response.field("connection"), Some("close"), "{name}");
        assert_eq!(connection.end(), End::CloseNotify, "{name}");
        assert_eq!(
            (self.request_count)(),
            before,
            "{name}: the origin received a request"
        );
        self.cases += 1;
    }

    /// Sends one request for `target`, and another after it. Both must reach the origin as two separate
    /// requests. Returns the first as the origin received it.
    #[track_caller]
    fn served(&mut self, name: &str, target: &str, bytes: impl AsRef<[u8]>) -> Received {
        let mut connection = self.connection();
        connection.send([bytes.as_ref(), &smuggled()].concat());
        let response = connection.response();
        assert_eq!(response.status, 200, "{name}: {}", response.text());
        assert_eq!(response.body, target.as_bytes(), "{name}");
        let behind = connection.response();
        assert_eq!(behind.status, 200, "{name}: {}", behind.text());
        assert_eq!(behind.body, SMUGGLED.as_bytes(), "{name}");
        self.open = Some(connection);
        let requests = self.origin.last_requests(2);
        assert_eq!(requests[1].target(), SMUGGLED, "{name}");
        let request = requests[0].clone();
        assert_is_plain(name, &request);
        request
    }

    /// Asserts that at least `least` cases were tried, and that each was counted.
    fn finish(self, least: usize) {
        assert!(self.cases >= least, "only {} cases", self.cases);
        for request in self.origin.requests() {
            assert_is_plain("at the end", &request);
        }
    }
}

const SMUGGLED: &str = "/certsrv/mscep/?behind";

fn smuggled() -> Vec<u8> {
    format!("GET {SMUGGLED} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n").into_bytes()
}

fn post(target: &str, fields: &str, body: &str) -> Vec<u8> {
    format!("POST {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n{fields}\r\n{body}").into_bytes()
}

/// Asserts that a request has only one interpretation.
#[track_caller]
fn assert_is_plain(name: &str, request: &Received) {
    let fields = request.fields();
    for (field, _) in &fields {
        let known = [
            "host",
            "accept",
            "content-type",
            "user-agent",
            "content-length",
        ];
        assert!(known.contains(&&field[..]), "{name}: {field}");
        let same = fields.iter().filter(|(other, _)| other == field);
        assert_eq!(same.count(), 1, "{name}: {field}");
    }
    let bytes = &request.head;
    let bare = bytes
        .windows(2)
        .any(|two| two[1] == b'\n' && two[0] != b'\r')
        || bytes
            .windows(2)
            .any(|two| two[0] == b'\r' && two[1] != b'\n');
    assert!(
        !bare && !bytes.contains(&0),
        "{name}: {}",
        bytes.escape_ascii()
    );
    assert!(request.line().ends_with(" HTTP/1.1"), "{name}");
}
