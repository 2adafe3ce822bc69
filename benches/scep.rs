//! The cost of reading a PKIOperation of 12 KB and its response, as the proxy does for each: the
//! message of the query, its values, and SHA-256 for the audit log. Without TLS and sockets.

use std::hint::black_box;
use std::net::Ipv4Addr;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use http::{Method, Response};

use ndes_proxy::base::client::{ClientKey, ConnectionId, RequestId};
use ndes_proxy::base::head::Target;
use ndes_proxy::config::{LogLevel, PolicyModule};
use ndes_proxy::insight::{AdmittedRequest, Audit, Health, Insight, ResponseEnd, ScepStates};
use ndes_proxy::observe::log::{Format, Log};
use ndes_proxy::observe::metrics::Metrics;
use ndes_proxy::scep::{CertRep, Message, Operation, message_of_query};

/// jscep with many SANs: BER with constructed strings; `+`, `/` and `=` are not escaped. Of the
/// exchanges in tests/corpus that have a response, it is the closest to 12 KB.
const EXCHANGE: &str = "128-big-jscep-rsa2048-san90-get-pkioperation";
/// certmonger: DER; every `+` and `/` is escaped.
const ESCAPED: &str = "146-extra-certmonger-get-pkioperation";

fn reading(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("scep");
    for (client, id) in [("jscep", EXCHANGE), ("certmonger", ESCAPED)] {
        let query = query(&raw(id, "req"));
        let body = message_of_query(&query).expect("a message");
        let response = body_of(&raw(id, "resp"));
        let request = |cms: &[u8]| (Message::read(cms).expect("a request"), sha256(cms));
        let get = |query: &[u8]| request(&message_of_query(query).expect("a message"));
        let reply = |cms: &[u8]| CertRep::read(cms).expect("a response");

        group.throughput(Throughput::Bytes(body.len() as u64));
        group.bench_function(format!("{client}: POST"), |bencher| {
            bencher.iter(|| request(black_box(&body)));
        });
        group.bench_function(format!("{client}: GET"), |bencher| {
            bencher.iter(|| get(black_box(&query)));
        });
        group.bench_function(format!("{client}: response"), |bencher| {
            bencher.iter(|| reply(black_box(&response)));
        });
        group.bench_function(format!("{client}: POST and response"), |bencher| {
            bencher.iter(|| (request(black_box(&body)), reply(black_box(&response))));
        });
        group.bench_function(format!("{client}: GET and response"), |bencher| {
            bencher.iter(|| (get(black_box(&query)), reply(black_box(&response))));
        });
        group.bench_function(format!("{client}: GET, base64 only"), |bencher| {
            bencher.iter(|| message_of_query(black_box(&query)));
        });
        group.bench_function(format!("{client}: SHA-256 only"), |bencher| {
            bencher.iter(|| sha256(black_box(&body)));
        });
    }
    group.finish();
}

/// Everything that the proxy does about SCEP for one exchange: counters, audit line, diagnosis. Log
/// lines are formatted and discarded.
fn insight(criterion: &mut Criterion) {
    let (log, _writer) = Log::to(std::io::sink(), Format::Text, LogLevel::Info).expect("a thread");
    let metrics = Metrics::new().expect("metrics");
    let scep = ScepStates::default().get("ndes", &metrics);
    let health = Arc::new(Health::new("ndes", metrics.health("ndes")));
    let id = "118-big-scepclient-rsa4096-post-post-pkioperation";
    let (body, response_body) = (
        Bytes::from(body_of(&raw(id, "req"))),
        Bytes::from(body_of(&raw(id, "resp"))),
    );
    let target = "/certsrv/mscep/mscep.dll?operation=PKIOperation";
    let target = Target::parse(target.into()).expect("a target");
    let request = AdmittedRequest {
        method: &Method::POST,
        operation: Some(Operation::PKIOperation),
        target: &target,
        body: &body,
        client: ClientKey::V4(Ipv4Addr::LOCALHOST),
        user_agent: None,
        policy_module: PolicyModule::Intune,
        started: Instant::now(),
    };
    let short =
        Target::parse("/certsrv/mscep/mscep.dll?operation=GetCACaps".into()).expect("a target");
    let caps_request = AdmittedRequest {
        method: &Method::GET,
        operation: Some(Operation::GetCACaps),
        target: &short,
        body: &Bytes::new(),
        ..request
    };
    let caps = Bytes::from(body_of(&raw("001-curl-get-getcacaps", "resp")));
    let response = Response::new(());
    let exchange = |request: &AdmittedRequest<'_>, response_body: &Bytes| {
        let mut insight = Insight::begin(&scep, black_box(request));
        insight.answered(&response, &health);
        insight.received(response_body);
        insight.ended(ResponseEnd::Complete, request.started);
        insight
    };
    let mut group = criterion.benchmark_group("insight");
    group.bench_function("begin", |bencher| {
        bencher.iter(|| Insight::begin(&scep, black_box(&request)));
    });
    group.bench_function("begin to end", |bencher| {
        bencher.iter(|| exchange(&request, &response_body));
    });
    group.bench_function("of a short GET", |bencher| {
        bencher.iter(|| exchange(&caps_request, &caps));
    });
    group.bench_function("audit line", |bencher| {
        let insight = exchange(&request, &response_body);
        bencher.iter(|| {
            let audit = Audit {
                request_id: RequestId {
                    connection: ConnectionId {
                        process: 0x6700_0000,
                        number: 1,
                    },
                    number: black_box(1),
                },
                application: Some("ndes"),
                client: Ipv4Addr::LOCALHOST.into(),
                reason: None,
                client_gone: false,
                duration: black_box(Duration::from_micros(1_250)),
                upstream: Some(Duration::from_millis(1)),
            };
            log.info("scep", |line| audit.write(Some(&insight), line));
        });
    });
    group.finish();
}

fn raw(id: &str, kind: &str) -> Vec<u8> {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/corpus/raw");
    std::fs::read(corpus.join(format!("{id}.{kind}"))).expect("the corpus")
}

fn query(request: &[u8]) -> Vec<u8> {
    let target = request.split(|byte| *byte == b' ').nth(1);
    let target = target.expect("a request line");
    let at = target.iter().position(|byte| *byte == b'?');
    target[at.expect("a query") + 1..].to_vec()
}

fn body_of(response: &[u8]) -> Vec<u8> {
    let end = response.windows(4).position(|four| four == b"\r\n\r\n");
    response[end.expect("a head") + 4..].to_vec()
}

fn sha256(bytes: &[u8]) -> aws_lc_rs::digest::Digest {
    aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, bytes)
}

criterion_group!(benches, reading, insight);
criterion_main!(benches);
