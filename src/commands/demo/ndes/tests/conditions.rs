//! Tests of each condition from the view of a client.

use clap::ValueEnum;

use super::*;

/// The requests of a device, in their order.
const QUERIES: [&str; 4] = [
    "",
    "?operation=GetCACaps",
    "?operation=GetCACert",
    "?operation=PKIOperation&message=MIIB",
];

impl Fixture {
    /// Returns status and Server field of the responses to `QUERIES`.
    async fn responses(&self) -> Vec<(u16, String)> {
        let mut responses = Vec::new();
        for query in QUERIES {
            let reply = self.get(&format!("{MSCEP}{query}")).await;
            responses.push((reply.status, reply.headers["server"].clone()));
        }
        responses
    }

    async fn operation(&self, operation: &str) -> Reply {
        self.get(&format!("{MSCEP}?operation={operation}")).await
    }
}

fn with_condition(condition: Condition) -> Options {
    Options {
        condition,
        ..Options::default()
    }
}

#[tokio::test]
async fn every_condition_has_its_statuses_and_server() {
    let fixture = Fixture::start(Options::default()).await;
    for condition in Condition::value_variants() {
        let (statuses, server) = match condition {
            Condition::PolicyModuleMissing => ([200, 200, 200, 500], "Microsoft-IIS/10.0"),
            Condition::Unauthorized => ([401; 4], "Microsoft-IIS/10.0"),
            Condition::NotInstalled => ([404; 4], "Microsoft-IIS/10.0"),
            Condition::Failing => ([500; 4], "Microsoft-IIS/10.0"),
            Condition::PoolStopped => ([503; 4], "Microsoft-HTTPAPI/2.0"),
            Condition::PoolBusy => ([503; 4], "Microsoft-IIS/10.0"),
            Condition::PkiOperationForbidden => ([403, 200, 200, 403], "Microsoft-IIS/10.0"),
            Condition::PkiOperationPage => ([403, 200, 200, 200], "Microsoft-IIS/10.0"),
            Condition::CapabilitiesFail => ([403, 500, 200, 500], "Microsoft-IIS/10.0"),
            Condition::CertificatesFail => ([403, 200, 500, 500], "Microsoft-IIS/10.0"),
            // Separate tests below.
            Condition::Late | Condition::HangsUp => continue,
            // These change only bodies. PKIOperation is 500, see `Options::enrolment`.
            Condition::Healthy
            | Condition::PkiOperationFails
            | Condition::CapabilitiesEmpty
            | Condition::CapabilitiesWithoutPost
            | Condition::CapabilitiesOld
            | Condition::CertificatesUnreadable
            | Condition::RaMissing
            | Condition::RaExpired
            | Condition::RaExpiring
            | Condition::CaRenewed
            | Condition::CaSha1
            | Condition::CaPss
            | Condition::IisLimits
            | Condition::HttpSysLimits => ([403, 200, 200, 500], "Microsoft-IIS/10.0"),
        };
        fixture.ndes.set(*condition).unwrap();
        let expected = statuses.map(|status| (status, server.to_owned()));
        assert_eq!(fixture.responses().await, expected, "{condition:?}");
    }
}

#[tokio::test]
async fn the_condition_can_change_while_a_connection_is_open() {
    let fixture = Fixture::start(with_condition(Condition::PoolBusy)).await;
    let mut stream = fixture.connect().await;
    let mut statuses = Vec::new();
    for condition in [
        Condition::PoolBusy,
        Condition::Healthy,
        Condition::PolicyModuleMissing,
    ] {
        fixture.ndes.set(condition).unwrap();
        let request = get(MSCEP).replace("Connection: close\r\n", "");
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut line = [0; 12];
        stream.read_exact(&mut line).await.unwrap();
        statuses.push(String::from_utf8(line.to_vec()).unwrap());
        let mut tail = Vec::new();
        while !tail.ends_with(b"</html>\r\n") {
            stream.read_buf(&mut tail).await.unwrap();
        }
    }
    assert_eq!(statuses, ["HTTP/1.1 503", "HTTP/1.1 403", "HTTP/1.1 200"]);
}

#[tokio::test]
async fn a_pki_operation_can_return_an_html_page() {
    let fixture = Fixture::start(with_condition(Condition::PkiOperationPage)).await;
    let reply = fixture.operation("PKIOperation").await;
    reply.is_from_iis(200, "Network Device Enrollment Service");
    assert_eq!(reply.headers["content-type"], "text/html");
}

#[tokio::test]
async fn windows_authentication_offers_both_schemes() {
    let fixture = Fixture::start(with_condition(Condition::Unauthorized)).await;
    let reply = fixture.get(MSCEP).await;
    assert_eq!(reply.headers["www-authenticate"], "Negotiate, NTLM");
}

#[tokio::test]
async fn capabilities_can_be_missing() {
    let fixture = Fixture::start(Options::default()).await;
    for (condition, missing, left) in [
        (
            Condition::CapabilitiesEmpty,
            &["POSTPKIOperation", "Renewal"][..],
            &[][..],
        ),
        (
            Condition::CapabilitiesWithoutPost,
            &["POSTPKIOperation"],
            &["SHA-256"],
        ),
        (
            Condition::CapabilitiesOld,
            &["AES", "SHA-256", "SHA-512"],
            &["POSTPKIOperation", "SHA-1"],
        ),
    ] {
        fixture.ndes.set(condition).unwrap();
        let text = String::from_utf8(fixture.operation("GetCACaps").await.body).unwrap();
        let words: Vec<_> = text.lines().collect();
        assert!(missing.iter().all(|word| !words.contains(word)), "{text}");
        assert!(left.iter().all(|word| words.contains(word)), "{text}");
    }
}

#[tokio::test]
async fn certificates_follow_the_condition_and_a_renewal() {
    let fixture = Fixture::start(Options::default()).await;
    let body = async || fixture.operation("GetCACert").await.body;
    let healthy = body().await;
    fixture.ndes.set(Condition::RaExpired).unwrap();
    let expired = body().await;
    assert_ne!(expired, healthy);
    // The same bytes at every request, because a change would look like a renewal.
    assert_eq!(body().await, expired);
    let renewed = fixture.scep.renewed().unwrap();
    fixture.ndes.set_certificates(&renewed).unwrap();
    assert_ne!(body().await, renewed.get_ca_cert());
    fixture.ndes.set(Condition::Healthy).unwrap();
    assert_eq!(body().await, renewed.get_ca_cert());
}

#[tokio::test]
async fn a_ca_without_ra_sends_its_certificate_without_pkcs7() {
    let fixture = Fixture::start(with_condition(Condition::RaMissing)).await;
    let reply = fixture.operation("GetCACert").await;
    assert_eq!(reply.headers["content-type"], "application/x-x509-ca-cert");
    assert_eq!(reply.body, fixture.scep.ca.as_ref());
}

#[tokio::test]
async fn a_condition_takes_precedence_over_the_scep_server() {
    // Every relayed request is 500.
    let (_dead, server) = dead_scep_server();
    let options = Options {
        scep_server: Some(server),
        ..Options::default()
    };
    let fixture = Fixture::start(options).await;
    for (condition, operation, status) in [
        (Condition::PkiOperationForbidden, "PKIOperation", 403),
        (Condition::CapabilitiesOld, "GetCACaps", 200),
        (Condition::RaExpired, "GetCACert", 200),
        (Condition::Healthy, "GetCACert", 500),
    ] {
        fixture.ndes.set(condition).unwrap();
        let reply = fixture.operation(operation).await;
        assert_eq!(reply.status, status, "{condition:?}");
    }
}

#[tokio::test]
async fn limits_as_installed_are_those_of_windows() {
    let fixture = Fixture::start(Options::default()).await;
    let start = format!("{MSCEP}?operation=GetCACaps&message=");
    let of_query = |bytes: usize| {
        let query = start.len() - MSCEP.len() - "?".len();
        format!("{start}{}", "A".repeat(bytes - query))
    };
    fixture.ndes.set(Condition::IisLimits).unwrap();
    assert_eq!(fixture.get(&of_query(2048)).await.status, 200);
    fixture
        .get(&of_query(2049))
        .await
        .is_from_iis(404, "404 - File");

    fixture.ndes.set(Condition::HttpSysLimits).unwrap();
    let of_target = |bytes: usize| of_query(bytes - MSCEP.len() - "?".len());
    // The rest of the request line and two header fields, as `get` sends them.
    let rest = get("").len() - "\r\n".len();
    assert_eq!(fixture.get(&of_target(16384 - rest)).await.status, 200);
    let reply = fixture.get(&of_target(16384 - rest + 1)).await;
    reply.is_from_http_sys(400, "Request Too Long");
    let reply = fixture.get(&of_target(16385)).await;
    reply.is_from_http_sys(414, "Request-URI Too Long");
}

#[tokio::test]
async fn a_late_response_is_sent_after_the_condition_changes() {
    let fixture = Fixture::start(Options {
        record: true,
        ..with_condition(Condition::Late)
    })
    .await;
    let reply = fixture.get(MSCEP);
    let release = async {
        while fixture.ndes.requests().is_empty() {
            tokio::task::yield_now().await;
        }
        fixture.ndes.set(Condition::PoolStopped).unwrap();
    };
    let (reply, ()) = tokio::join!(reply, release);
    reply.is_from_http_sys(503, "Service Unavailable");
}

#[tokio::test]
async fn hangs_up_closes_the_connection_without_a_byte() {
    let fixture = Fixture::start(with_condition(Condition::HangsUp)).await;
    let mut stream = fixture.connect().await;
    stream.write_all(get(MSCEP).as_bytes()).await.unwrap();
    assert!(!matches!(stream.read(&mut [0; 1]).await, Ok(1..)));
}
