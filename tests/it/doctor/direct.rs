//! Tests of the steps that connect to NDES directly.

use std::net::SocketAddr;
use std::time::Duration;

use clap::ValueEnum;
use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::demo::http_sys::HttpSysLimits;
use ndes_proxy::commands::demo::ndes::Options;
use ndes_proxy::commands::demo::pki::Leaf;
use ndes_proxy::commands::doctor::{Level, Section};
use rustls::version;
use time::OffsetDateTime;

use super::{
    Fixture, application, listen, not_ok, not_ok_in, problem, text, texts, warning, without_reason,
};
use crate::support::upstream_tls::{
    common_name_only, demanding, demanding_after_the_request, expired, for_clients, issued,
    not_yet_valid, of_ca_with_the_same_name, of_other_names, of_unknown_ca, old, plain_http,
    without_common_cipher, without_intermediate, without_the_name,
};
use crate::support::{INTERNAL, MSCEP, Ndes, Origin, Wire, tcp};

#[test]
fn every_condition_of_ndes_is_reported_once() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let short = Duration::from_millis(200);
    let proxy = fixture.proxy(ndes.address, |config| {
        config.timeouts.upstream_response = short;
    });
    for condition in Condition::value_variants() {
        ndes.set(*condition);
        let expected = match condition {
            // The doctor sends no PKIOperation, so it cannot detect these conditions.
            Condition::Healthy
            | Condition::PkiOperationForbidden
            | Condition::PkiOperationFails
            | Condition::PkiOperationPage => vec![],
            Condition::PolicyModuleMissing => vec![problem("bare_get", "policy_module_missing")],
            Condition::Unauthorized => vec![problem("bare_get", "windows_authentication")],
            Condition::NotInstalled => vec![problem("bare_get", "mscep_not_found")],
            Condition::Failing => vec![problem("bare_get", "mscep_failed")],
            Condition::PoolStopped => vec![problem("bare_get", "pool_stopped")],
            Condition::PoolBusy => vec![problem("bare_get", "iis_busy")],
            Condition::CapabilitiesFail => vec![problem("get_ca_caps", "mscep_failed")],
            Condition::CapabilitiesEmpty => vec![problem("get_ca_caps", "post_not_offered")],
            Condition::CapabilitiesWithoutPost => vec![warning("get_ca_caps", "post_not_offered")],
            Condition::CapabilitiesOld => vec![without_reason(Level::Warning, "get_ca_caps")],
            Condition::CertificatesFail => vec![problem("get_ca_cert", "get_ca_cert_failed")],
            Condition::CertificatesUnreadable => {
                vec![problem("get_ca_cert", "get_ca_cert_unreadable")]
            }
            Condition::RaMissing => vec![without_reason(Level::Warning, "get_ca_cert")],
            Condition::RaExpired => vec![problem("get_ca_cert", "ra_certificate_expired"); 2],
            Condition::RaExpiring => vec![without_reason(Level::Warning, "get_ca_cert"); 2],
            Condition::CaRenewed => vec![problem("get_ca_cert", "ra_not_issued_by_ca")],
            Condition::CaSha1 => vec![warning("get_ca_cert", "ca_signature_sha1")],
            Condition::CaPss => vec![warning("get_ca_cert", "ca_signature_pss")],
            Condition::IisLimits => vec![problem("url_length", "request_filtering")],
            Condition::HttpSysLimits => vec![problem("url_length", "http_sys_limit")],
            Condition::Late => vec![
                problem("bare_get", "upstream_timeout"),
                without_reason(Level::Warning, "through_bare_get"),
            ],
            Condition::HangsUp => vec![
                problem("bare_get", "upstream_closed"),
                without_reason(Level::Warning, "through_bare_get"),
            ],
        };
        let timeouts = "[timeouts]\nupstream_response = \"200ms\"\n";
        let text = listen(proxy.https) + timeouts + &application(ndes.address);
        let report = fixture.examine_text(&text);
        assert_eq!(
            not_ok(&report),
            expected,
            "{condition:?}\n{}",
            texts(&report)
        );
    }
}

#[test]
fn a_healthy_ndes_gets_16_requests_and_no_pki_operation() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let report = fixture.examine(tcp::nobody(), ndes.address);
    assert_eq!(not_ok_in(Section::Upstream, &report), []);
    let requests = ndes.requests();
    // A GET without operation, GetCACaps, GetCACert, and the thirteen sizes.
    assert_eq!(requests.len(), 16);
    for request in requests {
        assert_eq!(request.method, "GET");
        assert!(!request.target.contains("PKIOperation"));
        let agent = ("user-agent".to_owned(), b"ndes-proxy doctor".to_vec());
        assert!(request.headers.contains(&agent), "{:?}", request.headers);
    }
}

#[test]
fn the_page_of_ndes_is_healthy_if_no_policy_module_is_configured() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    ndes.set(Condition::PolicyModuleMissing);
    let proxy = fixture.proxy(ndes.address, |_| {});
    let text = text(proxy.https, ndes.address)
        .replace("public_names", "policy_module = \"none\"\npublic_names");
    assert_eq!(not_ok(&fixture.examine_text(&text)), []);
}

#[test]
fn ndes_must_offer_the_algorithms_that_the_configuration_requires() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    for (policy, expected) in [
        ("weakest_cipher = \"des3-cbc\"", &[][..]),
        ("weakest_digest = \"sha512\"", &[]),
        (
            "weakest_cipher = \"aes128-cbc\"",
            &[without_reason(Level::Problem, "get_ca_caps")],
        ),
    ] {
        let text = text(tcp::nobody(), ndes.address)
            + "[application.scep]\nunreadable = \"refuse\"\n"
            + policy;
        let report = fixture.examine_text(&text);
        assert_eq!(not_ok_in(Section::Upstream, &report), expected, "{policy}");
    }
    ndes.set(Condition::CapabilitiesOld);
    let text = text(tcp::nobody(), ndes.address)
        + "[application.scep]\nunreadable = \"refuse\"\nweakest_digest = \"sha256\"";
    let report = fixture.examine_text(&text);
    let expected = [
        without_reason(Level::Warning, "get_ca_caps"),
        without_reason(Level::Problem, "get_ca_caps"),
    ];
    assert_eq!(not_ok_in(Section::Upstream, &report), expected);
}

#[test]
fn the_limit_of_the_uri_is_found_to_the_byte_and_named() {
    let normal = HttpSysLimits::default;
    let path = MSCEP.len() + 1;
    // Request line and header fields without the URI and without the empty line.
    let head =
        format!("GET  HTTP/1.1\r\nHost: {INTERNAL}\r\nUser-Agent: ndes-proxy doctor\r\n").len();
    let cases = [
        (
            HttpSysLimits {
                max_query_string: 2_048,
                ..normal()
            },
            2_048 + path,
            problem("url_length", "request_filtering"),
            "maxQueryString of request filtering is 2048, its default",
        ),
        (
            HttpSysLimits {
                max_query_string: 9_000,
                ..normal()
            },
            9_000 + path,
            problem("url_length", "request_filtering"),
            "maxQueryString of request filtering is 9000",
        ),
        (
            HttpSysLimits {
                max_field_length: 16_384,
                ..normal()
            },
            16_384,
            problem("url_length", "http_sys_limit"),
            "MaxFieldLength of HTTP.sys is 16384, its default",
        ),
        (
            HttpSysLimits {
                max_request_bytes: 16_384,
                ..normal()
            },
            16_384 - head,
            problem("url_length", "http_sys_limit"),
            "MaxRequestBytes of HTTP.sys is 16384, its default",
        ),
        (
            HttpSysLimits {
                max_field_length: 32_766,
                ..normal()
            },
            32_766,
            problem("url_length", "http_sys_limit"),
            "about 32 K characters",
        ),
        (
            HttpSysLimits {
                max_field_length: 40_959,
                ..normal()
            },
            40_959,
            problem("url_length", "http_sys_limit"),
            "MaxFieldLength or MaxRequestBytes of HTTP.sys",
        ),
        (
            HttpSysLimits {
                max_field_length: 40_960,
                ..normal()
            },
            40_960,
            warning("url_length", "http_sys_limit"),
            "restart the machine",
        ),
        (
            HttpSysLimits {
                max_request_bytes: 65_534,
                ..normal()
            },
            65_534 - head,
            warning("url_length", "http_sys_limit"),
            "MaxRequestBytes of HTTP.sys is 65534, and request line and header fields count too",
        ),
    ];
    for (limits, longest, expected, words) in cases {
        let fixture = Fixture::new();
        let ndes = Ndes::with_options(Options {
            limits: limits.clone(),
            ..Options::default()
        });
        let report = fixture.examine(tcp::nobody(), ndes.address);
        assert_eq!(
            not_ok_in(Section::Upstream, &report),
            [expected],
            "{limits:?}"
        );
        let texts = texts(&report);
        let bound = format!("a URI of {longest} bytes passes, one of {} is", longest + 1);
        for words in [&bound, words] {
            assert!(texts.contains(words), "{words:?} is not in {texts}");
        }
        let requests = ndes.requests().len();
        assert!(requests <= 30, "{requests} requests for {limits:?}");
    }
}

fn with_limits(limits: HttpSysLimits) -> Ndes {
    Ndes::with_options(Options {
        limits,
        ..Options::default()
    })
}

#[test]
fn a_low_limit_on_path_segments_is_reported() {
    let limits = HttpSysLimits {
        url_segment_max_length: 5,
        ..HttpSysLimits::default()
    };
    let ndes = with_limits(limits);
    let report = Fixture::new().examine(tcp::nobody(), ndes.address);
    let expected = [problem("bare_get", "http_sys_invalid")];
    assert_eq!(not_ok_in(Section::Upstream, &report), expected);
    assert!(texts(&report).contains("UrlSegmentMaxLength"));
}

/// Responds to GetCACaps like NDES up to a URI of `longest` bytes, and to longer ones with
/// `script`.
fn limited(longest: usize, script: fn(&mut Wire)) -> Origin {
    Origin::start(move |request, wire| {
        if request.target().len() > longest {
            return script(wire);
        }
        wire.send("HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\nPOSTPKIOperation\n");
    })
}

#[test]
fn a_limit_of_another_device_is_distinguished_from_those_of_ndes() {
    let cases: [(fn(&mut Wire), _, _); 4] = [
        // WAP behaved like this before its update.
        (
            |wire| wire.until_closed(),
            "upstream_timeout",
            "a URI of 4096 bytes passes, one of 8192 gets no response: the request is left pending",
        ),
        (
            |wire| wire.reset(),
            "upstream_closed",
            "a URI of 5100 bytes passes, one of 5101 gets no response: the connection closes",
        ),
        (
            |wire| wire.send("HTTP/1.1 414 \r\nContent-Length: 0\r\n\r\n"),
            "http_sys_limit",
            "a URI of 5100 bytes passes, one of 5101 is answered 414 by a server that does not \
             name itself: apparently not by HTTP.sys",
        ),
        (
            |wire| wire.send("HTTP/1.1 431 \r\nServer: lb\x1b\r\nContent-Length: 0\r\n\r\n"),
            "upstream_invalid",
            "a URI of 5100 bytes passes, one of 5101 gets no response",
        ),
    ];
    for (script, reason, words) in cases {
        let origin = limited(5_100, script);
        let timeouts = "[timeouts]\nupstream_response = \"300ms\"\n";
        let text = listen(tcp::nobody()) + timeouts + &application(origin.address);
        let report = Fixture::new().examine_text(&text);
        let found = not_ok_in(Section::Upstream, &report);
        let expected = problem("url_length", reason);
        assert!(found.contains(&expected), "{found:?}");
        let texts = texts(&report);
        assert!(texts.contains(words), "{words:?} is not in {texts}");
    }
}

#[test]
fn a_limit_below_the_first_size_is_found() {
    let limits = HttpSysLimits {
        max_query_string: 1_000,
        ..HttpSysLimits::default()
    };
    let ndes = with_limits(limits);
    let report = Fixture::new().examine(tcp::nobody(), ndes.address);
    let expected = [problem("url_length", "request_filtering")];
    assert_eq!(not_ok_in(Section::Upstream, &report), expected);
    assert!(texts(&report).contains("maxQueryString of request filtering is 1000"));
}

#[test]
fn a_certificate_that_cannot_be_verified_is_reported_with_its_cure() {
    for (certificate, reason, words) in [
        (
            of_unknown_ca(),
            "unknown_issuer",
            "put the certificate of CN=stranger CA into ca_roots",
        ),
        (
            of_ca_with_the_same_name(),
            "unknown_issuer",
            "renewed with a new key",
        ),
        (
            without_intermediate(),
            "unknown_issuer",
            "sent no intermediate",
        ),
        (
            of_other_names(),
            "wrong_name",
            "set server_name to one of its names: other.corp.test, third.corp.test",
        ),
        (
            issued(common_name_only()),
            "name_only_in_common_name",
            "only in the CN",
        ),
        (expired(), "expired", "renew it and bind the new one in IIS"),
        (not_yet_valid(), "not_yet_valid", "set the clocks"),
        (for_clients(), "wrong_purpose", "1.3.6.1.5.5.7.3.1"),
    ] {
        let ndes = Ndes::with_certificate(&certificate, Options::default());
        let report = Fixture::new().examine(tcp::nobody(), ndes.address);
        let expected = [problem("upstream_tls", reason)];
        assert_eq!(not_ok_in(Section::Upstream, &report), expected);
        let texts = texts(&report);
        assert!(texts.contains(words), "{words:?} is not in {texts}");
        assert_eq!(ndes.requests(), []);
    }
}

#[test]
fn every_failure_to_connect_is_reported_at_its_step() {
    let (closing, silent) = (Origin::closing(), Origin::silent());
    let demanding = [&version::TLS12, &version::TLS13]
        .map(|version| Origin::with_config(demanding(version), |_, _| {}));
    let cases: [(SocketAddr, _, _); 10] = [
        (tcp::nobody(), "upstream_tcp", "upstream_connect"),
        (silent.address, "upstream_tls", "upstream_connect_timeout"),
        (closing.address, "upstream_tls", "tls_closed"),
        (old(), "upstream_tls", "old_tls"),
        (without_common_cipher(), "upstream_tls", "no_common_cipher"),
        (without_the_name(), "upstream_tls", "name_not_served"),
        (plain_http(), "upstream_tls", "not_tls"),
        (
            demanding[0].address,
            "client_certificate",
            "client_certificate_demanded",
        ),
        (
            demanding[1].address,
            "client_certificate",
            "client_certificate_demanded",
        ),
        (
            demanding_after_the_request(),
            "client_certificate",
            "client_certificate_demanded",
        ),
    ];
    for (upstream, step, reason) in cases {
        let timeouts = "[timeouts]\nupstream_connect = \"500ms\"\n";
        let text = listen(tcp::nobody()) + timeouts + &application(upstream);
        let report = Fixture::new().examine_text(&text);
        assert_eq!(
            not_ok_in(Section::Upstream, &report),
            [problem(step, reason)]
        );
        let left_out = &report.applications[0].left_out;
        let words: Vec<_> = left_out.iter().map(|step| step.word()).collect();
        for later in ["get_ca_caps", "get_ca_cert", "url_length"] {
            assert!(words.contains(&later), "{later} is not in {words:?}");
        }
        assert!(!words.contains(&step), "{step} is in {words:?}");
    }
}

#[test]
fn an_unknown_name_of_ndes_is_reported() {
    let address = tcp::nobody();
    // Reserved never to exist (RFC 6761 section 6.4).
    let text = text(tcp::nobody(), address)
        .replace(&format!("address = \"{address}\""), "")
        .replace(INTERNAL, "ndes.invalid");
    let report = Fixture::new().examine_text(&text);
    let expected = [problem("upstream_dns", "upstream_name")];
    assert_eq!(not_ok_in(Section::Upstream, &report), expected);
    assert!(texts(&report).contains("ndes.invalid cannot be resolved"));
}

#[test]
fn a_certificate_of_ndes_that_expires_soon_is_a_warning() {
    let soon = Leaf {
        not_after: OffsetDateTime::now_utc() + time::Duration::hours(10 * 24 + 1),
        ..Leaf::server(&[INTERNAL])
    };
    let ndes = Ndes::with_certificate(&issued(soon), Options::default());
    let report = Fixture::new().examine(tcp::nobody(), ndes.address);
    let expected = [without_reason(Level::Warning, "upstream_expiry")];
    assert_eq!(not_ok_in(Section::Upstream, &report), expected);
    assert!(texts(&report).contains("expires soon: 10 days left"));
}
