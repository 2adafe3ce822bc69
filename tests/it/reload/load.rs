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
/// Connections that send one request after the other.
const BUSY: usize = 48;

/// The counts of the clients.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    responses: AtomicUsize,
    connections: AtomicUsize,
    /// Connections that the proxy closed with notice.
    closed: AtomicUsize,
}

#[test]
fn twenty_reloads_lose_no_request_and_cut_no_connection() {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let protocols = "protocols = [\"http/1.1\", \"h2\"]";
    let binary = Binary::listening(origin.address, protocols, BY_SIGNAL);
    let seen = Arc::new(Load::default());
    let https = binary.https;
    let mut clients = Vec::new();
    for number in 0..BUSY + 3 {
        let seen = seen.clone();
        // The last ones open a connection for each request.
        let most = if number < BUSY { usize::MAX } else { 1 };
        clients.push(std::thread::spawn(move || {
            http1(https, number, most, &seen)
        }));
    }
    for _ in 0..2 {
        let seen = seen.clone();
        clients.push(std::thread::spawn(move || http2::run(h2(https, &seen))));
    }
    for _ in 0..RELOADS {
        let before = seen.responses.load(Ordering::SeqCst);
        let responses = || seen.responses.load(Ordering::SeqCst);
        eventually("load", || responses() > before + 2 * BUSY);
        let issued = renewed();
        put_certificate(&binary, &issued);
        binary.reload();
        assert_eq!(presented(https), issued.certificate().to_vec());
    }
    seen.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("every request got its response");
    }
    let success = [("result", "success")];
    let reloads = binary.metric("ndes_proxy_reloads_total", &success);
    assert_eq!(reloads, RELOADS as f64);
    // Most are closed at each reload, the others at the next one.
    let closed = seen.closed.load(Ordering::SeqCst);
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
        seen.responses.load(Ordering::SeqCst),
        seen.connections.load(Ordering::SeqCst),
    );
}

/// Sends requests until `seen.stop`. A connection closes only after a response with notice.
fn http1(https: SocketAddr, number: usize, most: usize, seen: &Load) {
    let target = target_of(200 + 1_000 * number);
    while !seen.stop.load(Ordering::SeqCst) {
        let mut connection = Connect::to(https).open();
        seen.connections.fetch_add(1, Ordering::SeqCst);
        for _ in 0..most {
            let response = connection.get(&target);
            assert_eq!((response.status, response.body.len()), (200, 20_000));
            seen.responses.fetch_add(1, Ordering::SeqCst);
            if response.field("connection") == Some("close") {
                assert_eq!(connection.end(), End::CloseNotify);
                seen.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            if seen.stop.load(Ordering::SeqCst) {
                break;
            }
        }
    }
}

/// The same over HTTP/2, where GOAWAY is the notice.
async fn h2(https: SocketAddr, seen: &Load) {
    while !seen.stop.load(Ordering::SeqCst) {
        let mut sender = http2::connect_to(https).await;
        seen.connections.fetch_add(1, Ordering::SeqCst);
        while !seen.stop.load(Ordering::SeqCst) {
            if sender.ready().await.is_err() {
                seen.closed.fetch_add(1, Ordering::SeqCst);
                break;
            }
            let response = match sender.try_send_request(http2::get(MSCEP)).await {
                Ok(response) => response,
                // The request was not sent, because the notice came first.
                Err(mut error) => {
                    assert!(error.take_message().is_some(), "{}", error.into_error());
                    seen.closed.fetch_add(1, Ordering::SeqCst);
                    break;
                }
            };
            assert_eq!(response.status(), StatusCode::OK);
            let body = response.into_body().collect().await.expect("all of it");
            assert_eq!(body.to_bytes().len(), 20_000);
            seen.responses.fetch_add(1, Ordering::SeqCst);
        }
    }
}
