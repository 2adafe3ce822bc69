//! What the program logs, and what it must never log.

use std::time::Instant;

use serde_json::Value;

use crate::support::binary::Binary;
use crate::support::origin::answer;
use crate::support::proxy::{ask, metric};
use crate::support::{Connect, MSCEP, Origin, PUBLIC, Response, eventually};

fn send(binary: &Binary, request: impl AsRef<[u8]>) -> Response {
    let mut connection = Connect::to(binary.https).open();
    connection.send(request);
    connection.response()
}

/// Returns the access lines, once there are `count` of them.
fn lines(binary: &Binary, count: usize) -> Vec<Value> {
    eventually("all access lines", || binary.access_lines().len() >= count);
    let lines = binary.access_lines();
    assert_eq!(lines.len(), count, "{lines:?}");
    lines
}

#[test]
fn each_request_has_one_line() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let mut connection = Connect::to(binary.https).open();
    let port = connection.local_address().port();
    connection.send(format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nUser-Agent: profiled/1.0\r\nContent-Length: 5\r\n\r\nhello"
    ));
    connection.response();
    connection.send(format!("GET /scan?a=b HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    connection.response();
    connection.send("nonsense\r\n\r\n");
    connection.response();

    let lines = lines(&binary, 3);
    let served = &lines[0];
    for (key, value) in [
        ("level", "INFO".into()),
        ("target", "access".into()),
        ("application", "public".into()),
        ("client", "127.0.0.1".into()),
        ("port", port.into()),
        ("tls", "1.3".into()),
        ("sni", PUBLIC.into()),
        ("method", "POST".into()),
        ("path", MSCEP.into()),
        ("operation", "PKIOperation".into()),
        ("uri_bytes", 47.into()),
        ("request_bytes", 5.into()),
        ("status", 200.into()),
        ("reason", Value::Null),
        ("response_bytes", "from the origin".len().into()),
        ("incomplete", Value::Null),
        ("user_agent", "profiled/1.0".into()),
    ] {
        assert_eq!(served[key], value, "{key}");
    }
    assert!(served["duration_ms"].as_f64() >= served["upstream_ms"].as_f64());
    assert!(served["upstream_ms"].as_f64() > Some(0.0));
    assert!(served["timestamp"].is_string());

    assert_eq!(lines[1]["reason"], "path_not_published");
    assert_eq!(lines[1]["status"], 404);
    assert_eq!(lines[1]["upstream_ms"], Value::Null);
    assert_eq!(lines[2]["reason"], "malformed_head");
    assert_eq!(lines[2]["path"], Value::Null);
    // One connection with three requests.
    let ids: Vec<&str> = lines
        .iter()
        .map(|l| l["request_id"].as_str().unwrap())
        .collect();
    let (connection_id, _) = ids[0].rsplit_once('-').unwrap();
    for (number, id) in ids.iter().enumerate() {
        assert_eq!(**id, format!("{connection_id}-{}", number + 1));
    }
}

#[test]
fn the_query_and_the_body_are_never_logged() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let secret = "S3cretChallenge";
    let query = format!("operation=PKIOperation&message={secret}");
    let absolute = format!("https://{PUBLIC}{MSCEP}?{query}");
    let long = format!("{MSCEP}?{query}{}", "x".repeat(70_000));
    for (target, status) in [
        (format!("{MSCEP}?{query}"), 200),
        (absolute, 200),
        (format!("/scan?{query}"), 404),
        (format!("{MSCEP}?operation={secret}"), 400),
        (format!("{MSCEP}?{query}#{secret}"), 400),
        (format!("{MSCEP}?{query}<{secret}>"), 400),
        (long, 414),
    ] {
        let request = format!(
            "GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\nCookie: {secret}\r\nAuthorization: {secret}\r\n\r\n"
        );
        assert_eq!(send(&binary, request).status, status);
    }
    let body = format!(
        "POST {MSCEP}?operation=PKIOperation HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: {}\r\n\r\n{secret}",
        secret.len()
    );
    assert_eq!(send(&binary, body).status, 200);
    lines(&binary, 8);
    binary.signal(rustix::process::Signal::TERM);
    let (_, all) = binary.wait();
    for line in all {
        assert!(!line.to_string().contains(secret), "{line}");
    }
}

#[test]
fn values_chosen_by_the_client_are_escaped_and_limited() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let agent = [b"\"quoted\\ \x80\xff\xe2\x80\xae", &[b'a'; 5_000][..]].concat();
    let path = format!("/}},{{'x\\{}", "y".repeat(5_000));
    let head = format!("GET {path} HTTP/1.1\r\nHost: {PUBLIC}\r\nUser-Agent: ");
    send(&binary, [head.as_bytes(), &agent, b"\r\n\r\n"].concat());
    // Every line of the output was already parsed as one JSON object.
    let line = lines(&binary, 1).remove(0);
    let agent = line["user_agent"].as_str().unwrap();
    assert!(
        agent.starts_with(r#"\"quoted\\ \x80\xff\xe2\x80\xaeaaa"#),
        "{agent}"
    );
    let path = line["path"].as_str().unwrap();
    assert!(path.starts_with(r"/},{\'x\\yyy"), "{path}");
    for text in [agent, path] {
        assert!(text.len() < 200 && text.ends_with("..."), "{text}");
        assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)), "{text}");
    }
    assert!(line.to_string().len() < 1_500);
}

#[test]
fn scanners_cannot_flood_the_log() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, "");
    let (began, scans) = (Instant::now(), 1_000);
    let mut connection = Connect::to(binary.https).open();
    for _ in 0..scans {
        assert_eq!(connection.get("/scan").status, 404);
    }
    let seconds = began.elapsed().as_secs_f64();
    assert_eq!(connection.get(MSCEP).status, 200);
    eventually("the served request's line", || {
        binary
            .access_lines()
            .iter()
            .any(|line| line["status"] == 200)
    });
    let refused = binary.access_lines().len() - 1;
    assert!(refused >= 100, "{refused}");
    assert!(
        refused as f64 <= 101.0 + 100.0 * seconds,
        "{refused} in {seconds} s"
    );
    let response = ask(binary.admin, "/metrics");
    let text = String::from_utf8(response.body).unwrap();
    let suppressed = metric(&text, "ndes_proxy_log_lines_suppressed_total", &[]);
    assert_eq!(suppressed as usize + refused, scans);
    assert_eq!(
        metric(&text, "ndes_proxy_refusals_total", &[]) as usize,
        scans
    );
}

#[test]
fn a_blocked_output_delays_no_request_and_lost_lines_are_counted() {
    let origin = Origin::answering(answer(200, &[], b"x"));
    let binary = Binary::run(origin.address, "");
    let blocked = binary.block_output();
    let dropped = || {
        let text = String::from_utf8(ask(binary.admin, "/metrics").body).unwrap();
        metric(&text, "ndes_proxy_log_lines_dropped_total", &[])
    };
    let request = format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n");
    let clients = (0..4).map(|_| {
        let (connect, request) = (Connect::to(binary.https), request.repeat(50));
        // More lines in total than the queue and the pipe can hold.
        std::thread::spawn(move || {
            let mut connection = connect.open();
            for _ in 0..100 {
                connection.send(&request);
                for _ in 0..50 {
                    assert_eq!(connection.response().status, 200);
                }
            }
        })
    });
    for client in clients.collect::<Vec<_>>() {
        client.join().expect("every request is answered");
    }
    eventually("lines are lost", || dropped() > 0.0);
    drop(blocked);
    binary.signal(rustix::process::Signal::TERM);
    let (status, _) = binary.wait();
    assert_eq!(status.code(), Some(0));
}
