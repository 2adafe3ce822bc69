//! Responses are evaluated as they are streamed, and reach the device byte for byte.

use super::{
    ANSWERS, PKCS_REQ, enrol, exchange, message, pki_operation, request, target_of_operation,
};
use crate::support::{Gate, Origin, Proxy};

/// Returns a response in pieces of this size, each a chunk of its own.
fn in_pieces(body: &[u8], size: usize) -> Vec<Vec<u8>> {
    let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec();
    let chunk =
        |piece: &[u8]| [format!("{:x}\r\n", piece.len()).as_bytes(), piece, b"\r\n"].concat();
    let mut pieces = vec![head];
    pieces.extend(body.chunks(size).map(chunk));
    pieces.push(b"0\r\n\r\n".to_vec());
    pieces
}

#[test]
fn a_response_in_pieces_is_evaluated_and_forwarded_unchanged() {
    let cert_rep = exchange(PKCS_REQ).answer();
    for size in [1, 7, 500, cert_rep.len()] {
        let pieces = in_pieces(&cert_rep, size);
        let origin = Origin::start(move |_, wire| {
            for piece in &pieces {
                wire.send(piece);
            }
        });
        let proxy = Proxy::start(origin.address, |_| {});
        assert_eq!(
            enrol(&proxy, &message(PKCS_REQ)).body,
            cert_rep,
            "pieces of {size}"
        );
        proxy.await_metric(ANSWERS, &[("pki_status", "SUCCESS")], 1.0);
    }
}

/// The device has received the first piece before the rest is sent.
#[test]
fn no_piece_is_delayed() {
    let gate = Gate::default();
    let (first, rest) = (vec![b'a'; 3_000], vec![b'b'; 3_000]);
    let (held, body) = (gate.clone(), [first.clone(), rest].concat());
    let origin = Origin::start(move |_, wire| {
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 6000\r\n\r\n");
        wire.send(&body[..3_000]);
        held.pass();
        wire.send(&body[3_000..]);
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let mut connection = proxy.connect();
    connection.send(request(&pki_operation(), &message(PKCS_REQ)));
    let seen = |bytes: &[u8]| bytes.windows(3_000).any(|part| part == first);
    let mut wanted = 3_000;
    while !seen(connection.bytes(wanted)) {
        wanted = connection.bytes(wanted).len() + 1;
    }
    gate.open();
    assert_eq!(connection.response().body.len(), 6_000);
    proxy.await_metric(ANSWERS, &[("pki_status", "unreadable")], 1.0);
}

/// Far more than any SCEP response: forwarded, and not kept in memory.
#[test]
fn a_response_of_megabytes_is_forwarded_without_evaluation() {
    let body = vec![0x30; 3 << 20];
    let origin = Origin::answering(crate::support::origin::answer(200, &[], &body));
    let proxy = Proxy::start(origin.address, |_| {});
    assert!(enrol(&proxy, &message(PKCS_REQ)).body == body);
    proxy.await_metric(ANSWERS, &[("pki_status", "none")], 1.0);
    assert!(proxy.get(&target_of_operation("GetCACert")).body == body);
}
