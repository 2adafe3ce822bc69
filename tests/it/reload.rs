//! A reload changes what is published without affecting requests: by signal, by changed files, and
//! under load.

mod files;
mod load;

use std::fs;
use std::net::SocketAddr;

use ndes_proxy::commands::demo::pki::{Issued, Key, Leaf, Pki};
use rustix::process::Signal;
use rustls::AlertDescription;

use crate::support::binary::Binary;
use crate::support::origin::answer;
use crate::support::pki::pki;
use crate::support::proxy::{application, ask};
use crate::support::{
    Connect, Connection, End, Gate, INTERNAL, MSCEP, OTHER, Origin, PUBLIC, eventually,
};

const SUCCESSFUL: &str = "ndes_proxy_reload_last_successful";
const NOT_AFTER: &str = "ndes_proxy_certificate_not_after_seconds";
/// Reloads only on SIGHUP, so that a test decides when.
const BY_SIGNAL: &str = "[reload]\ninterval = \"off\"";

/// Returns a new certificate for `PUBLIC`.
fn renewed() -> Issued {
    pki().public_root.issue(&Leaf::server(&[PUBLIC])).unwrap()
}

/// Overwrites the files of the certificate, one after the other.
fn put_certificate(binary: &Binary, issued: &Issued) {
    fs::write(binary.directory().join("public.pem"), &issued.chain_pem).unwrap();
    fs::write(binary.directory().join("public.key"), &issued.key_pem).unwrap();
}

fn config_of(binary: &Binary) -> String {
    fs::read_to_string(binary.directory().join("ndes-proxy.toml")).unwrap()
}

fn put_config(binary: &Binary, text: &str) {
    fs::write(binary.directory().join("ndes-proxy.toml"), text).unwrap();
}

/// Replaces a part of the configuration that occurs once.
fn edit_config(binary: &Binary, from: &str, to: &str) {
    let text = config_of(binary);
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    put_config(binary, &text.replace(from, to));
}

fn presented(https: SocketAddr) -> Vec<u8> {
    Connect::to(https).open().certificate().to_vec()
}

fn status(binary: &Binary) -> String {
    let ready = ask(binary.admin, "/readyz?verbose");
    assert_eq!(
        ready.status, 200,
        "a refused reload does not make it unready"
    );
    String::from_utf8(ready.body).unwrap()
}

#[test]
fn a_request_in_flight_completes_and_its_connection_is_closed() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], &[b'x'; 100_000]));
    });
    let binary = Binary::run(origin.address, BY_SIGNAL);
    let mut busy = Connect::to(binary.https).open();
    busy.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    origin.await_requests(1);
    put_certificate(&binary, &renewed());
    binary.reload();
    gate.open();
    let response = busy.response();
    assert_eq!((response.status, response.body.len()), (200, 100_000));
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(busy.end(), End::CloseNotify);
}

#[test]
fn an_idle_connection_stays_open_and_its_next_request_meets_the_new_rules() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    let open = || {
        let mut connection = Connect::to(binary.https).open();
        let response = connection.get(MSCEP);
        assert_eq!((response.status, response.field("connection")), (200, None));
        connection
    };
    let (mut published, mut removed) = (open(), open());
    let text = config_of(&binary);
    put_config(
        &binary,
        &text.replace(
            "certificate =",
            &format!("paths = [\"{MSCEP}\"]\ncertificate ="),
        ),
    );
    binary.reload();
    let response = published.get(MSCEP);
    assert_eq!(
        (response.status, response.field("connection")),
        (200, Some("close"))
    );
    assert_eq!(published.end(), End::CloseNotify);
    let response = removed.get("/certsrv/mscep");
    response.assert_refused(404, "path_not_published");
    assert_eq!(response.field("connection"), Some("close"));
    assert_eq!(removed.end(), End::CloseNotify);
    // A connection of the new generation stays open.
    assert_eq!(open().get(MSCEP).field("connection"), None);
}

#[test]
fn a_failed_reload_changes_nothing_and_is_reported_everywhere() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    let before = presented(binary.https);
    let good = config_of(&binary);
    put_certificate(&binary, &renewed());
    edit_config(&binary, "ca_roots = [", "ca_rots = [");
    let mut kept = Connect::to(binary.https).open();
    assert_eq!(kept.get(MSCEP).status, 200);
    binary.reload();

    assert_eq!(presented(binary.https), before);
    assert_eq!(
        kept.get(MSCEP).field("connection"),
        None,
        "of the running configuration"
    );
    let labels = [("result", "failure")];
    assert_eq!(binary.metric("ndes_proxy_reloads_total", &labels), 1.0);
    assert_eq!(binary.metric(SUCCESSFUL, &[]), 0.0);
    let line = 1 + config_of(&binary)
        .lines()
        .position(|line| line.contains("ca_rots"))
        .unwrap();
    let file = binary.directory().join("ndes-proxy.toml");
    let location = format!(
        "{}:{line}: application[0].upstream[0].ca_rots",
        file.display()
    );
    let fix = "write `ca_roots`";
    eventually("a line", || !binary.messages("reload refused").is_empty());
    for text in [&binary.messages("reload refused")[0], &status(&binary)] {
        assert!(text.contains(&location) && text.contains(fix), "{text}");
    }

    put_config(&binary, &good);
    binary.reload();
    assert_ne!(presented(binary.https), before);
    assert_eq!(binary.metric(SUCCESSFUL, &[]), 1.0);
    assert!(!status(&binary).contains("refused"), "{}", status(&binary));
    assert_eq!(kept.get(MSCEP).field("connection"), Some("close"));
}

#[test]
fn settings_that_need_a_restart_are_reported_and_the_others_take_effect() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    edit_config(&binary, "workers = 2", "workers = 3");
    edit_config(&binary, "format = \"json\"", "format = \"text\"");
    let text = config_of(&binary) + "[limits]\nuri_bytes = 200\nconnections = 7\n";
    put_config(&binary, &text);
    binary.reload();
    eventually("three lines", || {
        let lines = binary.lines();
        let keys = lines.iter().filter_map(|line| line["key"].as_str());
        keys.eq(["listen.workers", "limits.connections", "log.format"])
    });
    let keys = "needs a restart to take effect: listen.workers, limits.connections, log.format";
    assert!(status(&binary).contains(keys), "{}", status(&binary));
    assert_eq!(binary.metric(SUCCESSFUL, &[]), 1.0);
    let long = format!("{MSCEP}?operation=GetCACaps&message={}", "x".repeat(200));
    let mut connection = Connect::to(binary.https).open();
    connection.get(&long).assert_refused(414, "uri_too_long");
}

#[test]
fn an_application_can_be_added_and_removed() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let binary = Binary::run(first.address, BY_SIGNAL);
    let one = config_of(&binary);
    put_config(
        &binary,
        &(one.clone() + &application(OTHER, "other", second.address)),
    );
    binary.reload();
    let connect = Connect::to(binary.https).sni(OTHER);
    let get = |connection: &mut Connection| {
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"));
        connection.response()
    };
    let mut idle = connect.open();
    assert_eq!(get(&mut idle).status, 200);
    let of_other = [("application", "other")];
    let gauges = |name| {
        let text = String::from_utf8(ask(binary.admin, "/metrics").body).unwrap();
        text.lines()
            .any(|line| line.starts_with(name) && line.contains("\"other\""))
    };
    assert!(binary.metric(NOT_AFTER, &of_other) > 0.0);
    assert!(gauges("ndes_proxy_upstream_in_flight"));

    put_config(&binary, &one);
    binary.reload();
    let refused = connect.try_open().err().expect("no handshake");
    let inner = refused.get_ref().and_then(|inner| inner.downcast_ref());
    let alert = rustls::Error::AlertReceived(AlertDescription::UnrecognisedName);
    assert_eq!(inner, Some(&alert));
    let response = get(&mut idle);
    response.assert_refused(421, "host_not_published");
    assert_eq!(response.field("connection"), Some("close"));
    for name in [
        NOT_AFTER,
        "ndes_proxy_upstream_in_flight",
        "ndes_proxy_upstream_waiting",
    ] {
        assert!(!gauges(name), "{name}");
    }
    // Counters are kept.
    assert!(gauges("ndes_proxy_requests_total"));
    assert_eq!(Connect::to(binary.https).open().get(MSCEP).status, 200);
}

#[test]
fn a_connection_keeps_its_application_when_their_order_changes() {
    let (first, second) = (Origin::ok(), Origin::ok());
    let binary = Binary::run(first.address, BY_SIGNAL);
    let added = application(OTHER, "other", second.address);
    let one = config_of(&binary);
    put_config(&binary, &(one.clone() + &added));
    binary.reload();
    let mut connection = Connect::to(binary.https).sni(OTHER).open();
    let (settings, published) = one.split_once("[[application]]").unwrap();
    put_config(
        &binary,
        &format!("{settings}{added}[[application]]{published}"),
    );
    binary.reload();
    connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {OTHER}\r\n\r\n"));
    assert_eq!(connection.response().status, 200);
    assert_eq!(second.requests().len(), 1);
    first.assert_untouched();
}

#[test]
fn the_gauge_of_a_certificate_is_replaced_if_its_key_type_changes() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    assert!(binary.metric(NOT_AFTER, &[("key", "ECDSA P-256")]) > 0.0);
    let rsa = Leaf {
        key: Key::Rsa2048,
        ..Leaf::server(&[PUBLIC])
    };
    put_certificate(&binary, &pki().public_root.issue(&rsa).unwrap());
    binary.reload();
    assert_eq!(binary.metric(NOT_AFTER, &[("key", "ECDSA P-256")]), 0.0);
    assert!(binary.metric(NOT_AFTER, &[("key", "RSA 2048")]) > 0.0);
}

#[test]
fn ticket_keys_survive_a_reload() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    let connect = Connect::to(binary.https);
    let config = std::sync::Arc::new(connect.config());
    let mut first = connect.open_with(config.clone()).unwrap();
    assert_eq!(first.get(MSCEP).status, 200);
    put_certificate(&binary, &renewed());
    binary.reload();
    assert!(connect.open_with(config).unwrap().is_resumed());
}

#[test]
fn the_used_rate_of_a_client_survives_a_reload() {
    let origin = Origin::ok();
    let limited = "[[rate_limit.network]]\ncidr = \"127.0.0.7/32\"\n\
                   per_client = { per_second = 1, burst = 100 }";
    let binary = Binary::run(origin.address, &format!("{limited}\n{BY_SIGNAL}"));
    let answered = || {
        let mut connection = Connect::to(binary.https).from([127, 0, 0, 7]).open();
        let statuses = (0..101).map_while(|_| {
            let response = connection.get(MSCEP);
            (response.status == 200).then_some(())
        });
        statuses.count()
    };
    assert!(answered() >= 100);
    binary.reload();
    assert!(answered() < 100, "a reload must not refill the rate");
}

#[test]
fn a_reload_does_not_exceed_max_in_flight() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"at last"));
    });
    let binary = Binary::run(origin.address, BY_SIGNAL);
    edit_config(&binary, "ca_roots =", "max_in_flight = 2\nca_roots =");
    binary.reload();
    let send_from = |last: u8| {
        let mut connection = Connect::to(binary.https).from([127, 0, 0, last]).open();
        connection.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        connection
    };
    let mut clients = vec![send_from(1), send_from(2)];
    origin.await_requests(2);
    put_certificate(&binary, &renewed());
    binary.reload();
    clients.extend([send_from(3), send_from(4)]);
    eventually("two wait", || {
        binary.metric("ndes_proxy_upstream_waiting", &[]) == 2.0
    });
    assert_eq!(binary.metric("ndes_proxy_upstream_in_flight", &[]), 2.0);
    assert_eq!(origin.requests().len(), 2);
    gate.open();
    for client in &mut clients {
        assert_eq!(client.response().status, 200);
    }
}

#[test]
fn connections_to_ndes_are_kept_unless_their_roots_change() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    let get = || assert_eq!(Connect::to(binary.https).open().get(MSCEP).status, 200);
    // Each worker has connections of its own.
    (0..20).for_each(|_| get());
    let opened = origin.connections();
    put_certificate(&binary, &renewed());
    binary.reload();
    (0..20).for_each(|_| get());
    assert_eq!(origin.connections(), opened);

    let other_root = Pki::new("another root", Key::EcdsaP256).unwrap();
    let both = [&pki().internal_root, &other_root].map(pem).concat();
    fs::write(binary.directory().join("internal-root.pem"), both).unwrap();
    binary.reload();
    get();
    assert!(origin.connections() > opened);

    fs::write(
        binary.directory().join("internal-root.pem"),
        pem(&other_root),
    )
    .unwrap();
    binary.reload();
    let mut connection = Connect::to(binary.https).open();
    connection.get(MSCEP).assert_refused(502, "upstream_tls");
    let kind = [("kind", "unknown_issuer")];
    assert!(
        binary.metric("ndes_proxy_upstream_errors_total", &kind) > 0.0,
        "{INTERNAL}"
    );
}

fn pem(root: &Pki) -> String {
    let directory = tempfile::tempdir().unwrap();
    fs::read_to_string(root.write_to(directory.path(), "root").unwrap()).unwrap()
}

#[test]
fn consecutive_sighups_are_survived() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, BY_SIGNAL);
    for _ in 0..5 {
        binary.signal(Signal::HUP);
    }
    binary.reload();
    assert_eq!(Connect::to(binary.https).open().get(MSCEP).status, 200);
}
