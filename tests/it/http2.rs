//! HTTP/2, if it is enabled: the same gate and the same limits apply.

mod conformance;
mod ends;
mod limits;
mod malformed;
pub mod wire;

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use bytes::Bytes;
use http::{Request, StatusCode, Uri, uri};
use http_body_util::{BodyExt, Full};
use hyper::client::conn::http2::{self, SendRequest};
use hyper_util::rt::{TokioExecutor, TokioIo};
use ndes_proxy::config::{Config, Protocol};
use rustls::AlertDescription;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use crate::support::origin::answer;
use crate::support::proxy::target_of;
use crate::support::{Connect, MAX_WAIT, MSCEP, OTHER, Origin, PUBLIC, Proxy};

fn offered(config: &mut Config) {
    config.listen.protocols = vec![Protocol::Http1, Protocol::H2];
}

pub(super) fn run<T>(test: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    runtime.block_on(test)
}

async fn connect(proxy: &Proxy) -> SendRequest<Full<Bytes>> {
    connect_to(proxy.https).await
}

pub(super) async fn connect_to(https: SocketAddr) -> SendRequest<Full<Bytes>> {
    let config = Connect::to(https).alpn(&["h2"]).config();
    let tcp = TcpStream::connect(https).await.unwrap();
    let name = ServerName::try_from(PUBLIC).unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let tls = connector.connect(name, tcp).await.unwrap();
    let (sender, connection) = http2::handshake(TokioExecutor::new(), TokioIo::new(tls))
        .await
        .unwrap();
    tokio::spawn(connection);
    sender
}

/// Built from parts, because `http::Uri` does not parse the longest of these.
fn uri(authority: &str, target: &str) -> Uri {
    let mut parts = uri::Parts::default();
    parts.scheme = Some(uri::Scheme::HTTPS);
    parts.authority = Some(authority.parse().unwrap());
    parts.path_and_query = Some(target.parse().unwrap());
    Uri::from_parts(parts).unwrap()
}

pub(super) fn get(target: &str) -> Request<Full<Bytes>> {
    Request::get(uri(PUBLIC, target))
        .body(Full::default())
        .unwrap()
}

fn post(target: &str, body: impl Into<Bytes>) -> Request<Full<Bytes>> {
    Request::post(uri(PUBLIC, target))
        .body(Full::new(body.into()))
        .unwrap()
}

/// Returns the status, the reason word in Proxy-Status and the body.
async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (StatusCode, Option<String>, Bytes) {
    let response = sender.send_request(request).await.expect("an answer");
    assert!(!response.headers().contains_key("connection"));
    let reason = response.headers().get("proxy-status").map(|value| {
        let value = value.to_str().unwrap();
        value.split('"').nth(1).unwrap().to_owned()
    });
    let status = response.status();
    let body = response.into_body().collect().await.expect("a whole body");
    (status, reason, body.to_bytes())
}

#[test]
fn a_connection_to_the_upstream_is_reused() {
    let origin = Origin::start(|request, wire| {
        let body: &[u8] = match request.method() {
            "HEAD" => b"",
            _ => b"a body",
        };
        wire.send(answer(200, &[], body));
    });
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.listen.workers = 1;
    });
    run(async {
        let mut sender = connect(&proxy).await;
        for _ in 0..3 {
            let mut head = get(MSCEP);
            *head.method_mut() = http::Method::HEAD;
            for request in [get(MSCEP), head] {
                let (status, ..) = send(&mut sender, request).await;
                assert_eq!(status, StatusCode::OK);
            }
        }
    });
    assert_eq!((origin.connections(), origin.requests().len()), (1, 6));
    proxy.await_metric("ndes_proxy_requests_total", &[], 6.0);
    let incomplete = proxy.metric("ndes_proxy_responses_incomplete_total", &[]);
    assert_eq!(incomplete, 0.0);
}

#[test]
fn short_and_longest_gets_and_a_post_pass() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    run(async {
        let mut sender = connect(&proxy).await;
        for bytes in [100, 16_000, 30_000, 65_000, 65_534] {
            let (status, _, body) = send(&mut sender, get(&target_of(bytes))).await;
            assert_eq!(
                (status, &body[..]),
                (StatusCode::OK, &b"from the origin"[..])
            );
            let received = origin.requests().pop().unwrap();
            assert_eq!(received.target(), target_of(bytes));
            assert_eq!(
                received.fields(),
                [("host".to_owned(), "ndes.corp.test".to_owned())]
            );
        }
        let target = format!("{MSCEP}?operation=PKIOperation");
        let body = vec![b'x'; 262_144];
        let (status, ..) = send(&mut sender, post(&target, body.clone())).await;
        assert_eq!(status, StatusCode::OK);
        let received = origin.requests().pop().unwrap();
        assert_eq!(received.body, body);
        assert_eq!(received.field("content-length").as_deref(), Some("262144"));
        assert_eq!(received.field("transfer-encoding"), None);
        let (status, reason, _) = send(&mut sender, post(&target, vec![b'x'; 262_145])).await;
        assert_eq!(
            (status.as_u16(), reason.as_deref()),
            (413, Some("body_too_large"))
        );
    });
    assert_eq!(origin.requests().len(), 6);
    proxy.await_refusals("body_too_large", 1);
}

#[test]
fn the_same_gate_applies() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.limits.uri_bytes = 300;
    });
    let with = |query: &str| format!("{MSCEP}?{query}");
    let cases = [
        (get(&target_of(301)), 414, "uri_too_long"),
        (get("/certsrv/mscep_admin/"), 404, "path_not_published"),
        (
            get("/certsrv/mscep/../mscep_admin/"),
            404,
            "path_not_published",
        ),
        (
            get("/certsrv/mscep/..%2fmscep_admin/"),
            404,
            "path_not_published",
        ),
        (
            get(&with("operation=getcacert")),
            400,
            "operation_not_published",
        ),
        (
            get(&with("oper%61tion=GetCACert")),
            400,
            "operation_ambiguous",
        ),
        (post(&with("message=x"), "x"), 400, "operation_missing"),
        (
            Request::put(uri(PUBLIC, MSCEP))
                .body(Full::default())
                .unwrap(),
            405,
            "method_not_allowed",
        ),
        (
            Request::get(uri(PUBLIC, MSCEP))
                .body(Full::from("body"))
                .unwrap(),
            400,
            "malformed_framing",
        ),
    ];
    let count = cases.len();
    run(async {
        let mut sender = connect(&proxy).await;
        for (request, status, reason) in cases {
            let name = format!("{} {}", request.method(), request.uri());
            let answer = send(&mut sender, request).await;
            assert_eq!(
                (answer.0.as_u16(), answer.1.as_deref()),
                (status, Some(reason)),
                "{name}"
            );
        }
        origin.assert_untouched();
        // A refusal closes its stream, not the connection.
        assert_eq!(
            send(&mut sender, get(&target_of(300))).await.0,
            StatusCode::OK
        );
    });
    proxy.await_metric("ndes_proxy_refusals_total", &[], count as f64);
}

#[test]
fn authority_and_host_must_agree() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    let with = |authority: &str, host: &[&str]| {
        let mut request = Request::get(uri(authority, MSCEP));
        for host in host {
            request = request.header("host", *host);
        }
        request.body(Full::default()).unwrap()
    };
    run(async {
        let mut sender = connect(&proxy).await;
        for (request, status, reason) in [
            (with("SCEP.example.test:443", &[]), 200, None),
            (with(PUBLIC, &[PUBLIC]), 200, None),
            (
                with(PUBLIC, &["evil.example.test"]),
                400,
                Some("host_invalid"),
            ),
            (
                with("evil.example.test", &[PUBLIC]),
                400,
                Some("host_invalid"),
            ),
            (with(PUBLIC, &[PUBLIC, PUBLIC]), 400, Some("host_invalid")),
            (
                with("evil.example.test", &[]),
                421,
                Some("host_not_published"),
            ),
            (
                with("user@scep.example.test", &[]),
                400,
                Some("host_invalid"),
            ),
        ] {
            let name = format!(
                "{} {:?}",
                request.uri().authority().unwrap(),
                request.headers()
            );
            let answer = send(&mut sender, request).await;
            assert_eq!(
                (answer.0.as_u16(), answer.1.as_deref()),
                (status, reason),
                "{name}"
            );
        }
    });
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn another_application_than_that_of_the_sni_is_421() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let text = crate::support::proxy::application(PUBLIC, "public", first.address)
        + &crate::support::proxy::application(OTHER, "other", second.address);
    let proxy = Proxy::start_text(&text, offered);
    run(async {
        let mut sender = connect(&proxy).await;
        let request = Request::get(uri(OTHER, MSCEP))
            .body(Full::default())
            .unwrap();
        assert_eq!(send(&mut sender, request).await.0.as_u16(), 421);
    });
    first.assert_untouched();
    second.assert_untouched();
}

#[test]
fn only_three_header_fields_are_forwarded() {
    let origin = Origin::answering(answer(
        200,
        &["Server: IIS", "Keep-Alive: timeout=5"],
        b"ok",
    ));
    let proxy = Proxy::start(origin.address, offered);
    let mut request = get(MSCEP);
    for (name, value) in [
        ("accept", "*/*"),
        ("user-agent", "okhttp/4"),
        ("x-forwarded-for", "10.0.0.1"),
        ("x-original-url", "/certsrv/mscep_admin"),
        ("cookie", "a=b"),
        ("cookie", "c=d"),
        ("te", "trailers"),
    ] {
        request.headers_mut().append(name, value.parse().unwrap());
    }
    run(async {
        let mut sender = connect(&proxy).await;
        let response = sender.send_request(request).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        for gone in ["server", "keep-alive"] {
            assert!(!response.headers().contains_key(gone), "{gone}");
        }
    });
    let mut fields = origin.only_request().fields();
    fields.sort();
    let expected = [
        ("accept", "*/*"),
        ("host", "ndes.corp.test"),
        ("user-agent", "okhttp/4"),
    ];
    assert_eq!(fields, expected.map(|(n, v)| (n.to_owned(), v.to_owned())));
}

#[test]
fn many_streams_of_one_connection_are_served() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, offered);
    run(async {
        let sender = connect(&proxy).await;
        let requests = (0..200).map(|_| {
            let mut sender = sender.clone();
            tokio::spawn(async move { send(&mut sender, get(MSCEP)).await.0 })
        });
        for answer in requests.collect::<Vec<_>>() {
            assert_eq!(answer.await.unwrap(), StatusCode::OK);
        }
    });
    assert_eq!(origin.requests().len(), 200);
    let labels = [("result", "served")];
    assert_eq!(proxy.metric("ndes_proxy_connections_total", &labels), 1.0);
}

#[test]
fn requests_in_flight_complete_at_shutdown() {
    use crate::support::{Gate, eventually};
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    let mut proxy = Proxy::start(origin.address, offered);
    let stopping = run(async {
        let mut sender = connect(&proxy).await;
        let answering = sender.send_request(get(MSCEP));
        let answering = tokio::spawn(answering);
        tokio::task::spawn_blocking({
            let received = origin_probe(&origin);
            move || eventually("the request", received)
        })
        .await
        .unwrap();
        let stopping = proxy.begin_stop();
        gate.open();
        let response = answering.await.unwrap().expect("an answer");
        let body = response.into_body().collect().await.unwrap();
        assert_eq!(body.to_bytes(), "late");
        stopping
    });
    stopping.wait();
}

fn origin_probe(origin: &Origin) -> impl FnMut() -> bool + Send + 'static {
    let probe = origin.probe();
    move || probe() > 0
}

#[test]
fn alpn_selects_the_protocol() {
    let origin = Origin::ok();
    let offering = Proxy::start(origin.address, offered);
    let plain = Proxy::start(origin.address, |_| {});
    let alpn = |proxy: &Proxy, protocols: &[&str]| {
        let connection = Connect::to(proxy.https).alpn(protocols).open();
        connection
            .alpn()
            .map(|p| String::from_utf8_lossy(p).into_owned())
    };
    assert_eq!(alpn(&offering, &["http/1.1"]).as_deref(), Some("http/1.1"));
    assert_eq!(alpn(&offering, &["h2"]).as_deref(), Some("h2"));
    assert_eq!(alpn(&offering, &[]), None);
    assert_eq!(
        alpn(&plain, &["h2", "http/1.1"]).as_deref(),
        Some("http/1.1")
    );
    assert_eq!(alpn(&plain, &["http/1.1"]).as_deref(), Some("http/1.1"));
    let refused = Connect::to(plain.https).alpn(&["h2"]).try_open();
    let error = refused.err().expect("no common protocol").to_string();
    let expected = format!("{:?}", AlertDescription::NoApplicationProtocol);
    assert!(error.contains(&expected), "{error}");

    // HTTP/1.1 is served without ALPN, and if ALPN has selected it.
    for protocols in [&[][..], &["http/1.1"]] {
        let mut connection = Connect::to(offering.https).alpn(protocols).open();
        assert_eq!(connection.get(MSCEP).status, 200);
    }
    assert_eq!(origin.requests().len(), 2);
    // Neither protocol is served if ALPN has selected the other.
    let mut connection = Connect::to(offering.https).open();
    connection.send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    connection.response().assert_refused(400, "malformed_head");
    let mut connection = Connect::to(offering.https).alpn(&["h2"]).open();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    while connection.frame().is_some() {}
    assert_eq!(origin.requests().len(), 2);
}

#[test]
fn idle_connections_make_room_near_the_limit() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        offered(config);
        config.limits.connections = 10;
    });
    run(async {
        let mut senders = Vec::new();
        for _ in 0..9 {
            let mut sender = connect(&proxy).await;
            assert_eq!(send(&mut sender, get(MSCEP)).await.0, StatusCode::OK);
            senders.push(sender);
        }
        let mut new = connect(&proxy).await;
        assert_eq!(send(&mut new, get(MSCEP)).await.0, StatusCode::OK);
        let labels = [("result", "idle_closed")];
        proxy.await_metric("ndes_proxy_connections_total", &labels, 1.0);
        // One has closed, and its client has received GOAWAY.
        let ended = async {
            while senders.iter().all(|sender| !sender.is_closed()) {
                tokio::task::yield_now().await;
            }
        };
        timeout(MAX_WAIT, ended).await.expect("one ends");
    });
}
