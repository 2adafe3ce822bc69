//! Many reloads while clients send requests without a pause.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use http::StatusCode;
use http_body_util::BodyExt;

use super::*;
use crate::http2;
use crate::support::proxy::target_of;

const RELOADS: usize = 20;
/// The number of connections that are used for one request after the other.
const BUSY: usize = 48;

/// The counts of all clients.
#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    responses: AtomicUsize,
    connections: AtomicUsize,
    /// The number of connections that the proxy closed with notice.
    closed: AtomicUsize,
}

#[test]
fn twenty_reloads_lose_no_request_and_abort_no_connection() {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let protocols = "protocols = [\"http/1.1\", \"h2\"]";
    let binary = Binary::listening(origin.address, protocols, BY_SIGNAL);
    let counts = Arc::new(Counts::default());
    let https = binary.https;
    let mut clients = Vec::new();
    for number in 0..BUSY + 3 {
        let counts = counts.clone();
        // The last clients open a connection for each request.
        let most = if number < BUSY { usize::MAX } else { 1 };
        clients.push(std::thread::spawn(move || {
            http1(https, number, most, &counts)
        }));
    }
    for _ in 0..2 {
        let counts = counts.clone();
        clients.push(std::thread::spawn(move || http2::run(h2(https, &counts))));
    }
    for _ in 0..RELOADS {
        let before = counts.responses.load(Ordering::SeqCst);
        let responses = || counts.responses.load(Ordering::SeqCst);
        eventually("load", || responses() > before + 2 * BUSY);
        let issued = renewed();
        put_certificate(&binary, &issued);
        binary.reload();
        assert_eq!(presented(https), issued.certificate().to_vec());
    }
    counts.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("every request was answered");
    }
    let success = [("result", "success")];
    let reloads = binary.metric("ndes_proxy_reloads_total", &success);
    assert_eq!(reloads, RELOADS as f64);
    // Most connections are notified at each reload, the others at the next one.
    let closed = counts.closed.load(Ordering::SeqCst);
    assert!(closed > RELOADS * BUSY / 2, "{closed}");
    let cut = binary.metric("ndes_proxy_responses_incomplete_total", &[]);
    assert_eq!(cut, 0.0);
    let lines = binary.lines();
    let times = lines
        .iter()
        .filter_map(|line| line["milliseconds"].as_f64());
    println!(
        "{RELOADS} reloads of at most {:.1} ms, {} requests on {} connections, {closed} closed with notice, 0 lost, 0 cut",
        times.fold(0.0, f64::max),
        counts.responses.load(Ordering::SeqCst),
        counts.connections.load(Ordering::SeqCst),
    );
}

/// Sends requests until the end of the test. A connection may be closed only after a response that
/// announces it.
fn http1(https: SocketAddr, number: usize, most: usize, counts: &Counts) {
    let target = target_of(200 + 1_000 * number);
    while !counts.stop.load(Ordering::SeqCst) {
        let mut connection = Connect::to(https).open();
        counts.connections.fetch_add(1, Ordering::SeqCst);
        for _ in 0..most {
            let response = connection.get(&target);
            assert_eq!((response.status, response.body.len()), (200, 20_000));
            counts.responses.fetch_add(1, Ordering::SeqCst);
            if response.field("connection") == Some("close") {
                assert_eq!(connection.end(), End::CloseNotify);
                counts.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if counts.stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

/// The same over HTTP/2, where GOAWAY is the notice.
async fn h2(https: SocketAddr, counts: &Counts) {
    while !counts.stop.load(Ordering::SeqCst) {
        let mut sender = http2::connect_to(https).await;
        counts.connections.fetch_add(1, Ordering::SeqCst);
        while !counts.stop.load(Ordering::SeqCst) {
            if sender.ready().await.is_err() {
                counts.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            let response = match sender.try_send_request(http2::get(MSCEP)).await {
                Ok(response) => response,
                // The request was not sent at all, because the notice came first.
                Err(mut error) => {
                    assert!(error.take_message().is_some(), "{}", error.into_error());
                    counts.closed.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            };
            assert_eq!(response.status(), StatusCode::OK);
            let body = response
                .into_body()
                .collect()
                .await
                .expect("a complete body");
            assert_eq!(body.to_bytes().len(), 20_000);
            counts.responses.fetch_add(1, Ordering::SeqCst);
        }
    }
}
