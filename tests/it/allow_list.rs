//! Only published paths, methods and operations reach NDES.

use crate::support::{INTERNAL, MSCEP, Origin, PUBLIC, Proxy, Response};

const PUBLISHED: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

/// Sends a request with any bytes as target, which need not be text.
fn request(proxy: &Proxy, method: &str, target: &[u8]) -> Response {
    let mut connection = proxy.connect();
    let rest = format!(" HTTP/1.1\r\nHost: {PUBLIC}\r\nContent-Length: 0\r\n\r\n");
    connection.send([method.as_bytes(), b" ", target, rest.as_bytes()].concat());
    if method == "HEAD" {
        connection.response_to_head()
    } else {
        connection.response()
    }
}

fn spongebob(path: &str) -> String {
    let chars = path.chars().enumerate();
    chars
        .map(|(i, c)| {
            if i % 2 == 0 {
                c.to_ascii_uppercase()
            } else {
                c
            }
        })
        .collect()
}

#[test]
fn every_published_path_in_any_case_is_forwarded_as_configured() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let mut expected = Vec::new();
    for path in PUBLISHED {
        for written in [path.to_owned(), path.to_ascii_uppercase(), spongebob(path)] {
            for query in ["", "?", "?operation=GetCACert&message=MyCA"] {
                assert_eq!(proxy.get(&format!("{written}{query}")).status, 200);
                expected.push(format!("{path}{query}"));
            }
        }
    }
    let received: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.target().to_owned())
        .collect();
    assert_eq!(received, expected);
}

#[test]
fn no_other_path_reaches_the_origin() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let paths: &[&[u8]] = &[
        b"/",
        b"//",
        b"/certsrv",
        b"/certsrv/",
        b"/certsrv/mscep_admin",
        b"/certsrv/mscep_admin/",
        b"/CERTSRV/MSCEP_ADMIN/",
        b"/certsrv/mscep/..%2fmscep_admin/",
        b"/certsrv/mscep/..%2Fmscep_admin/",
        b"/certsrv/mscep/../mscep_admin/",
        b"/certsrv/mscep/%2e%2e/mscep_admin/",
        b"/certsrv/mscep/mscep.dll/../../mscep_admin/",
        b"/certsrv/mscep/mscep.dll/..\\..\\mscep_admin",
        b"/certsrv/mscep/mscep.dll/%5c..%5c..%5cmscep_admin",
        b"/certsrv/mscep/..\\mscep_admin",
        b"/certsrv/mscep/%5c..%5cmscep_admin",
        b"/certsrv/mscep/..%5cmscep_admin",
        b"/certsrv\\mscep\\mscep.dll",
        b"\\certsrv\\mscep\\mscep.dll",
        b"/certsrv%2fmscep_admin",
        b"/certsrv%2fmscep%2fmscep.dll",
        b"/certsrv/./mscep_admin",
        b"/certsrv/./mscep/mscep.dll",
        b"//certsrv//mscep_admin",
        b"//certsrv/mscep/mscep.dll",
        b"/certsrv//mscep/mscep.dll",
        b"/certsrv/mscep/mscep.dll//",
        b"/CERTSRV/MSCEP~1/",
        b"/certsrv/mscep/mscep~1.dll",
        b"/certsrv/mscep_admin.",
        b"/certsrv/mscep./mscep.dll",
        b"/certsrv/mscep/mscep.dll.",
        b"/certsrv/mscep_admin%20",
        b"/certsrv/mscep/mscep.dll%20",
        b"/certsrv/mscep/%u002e%u002e/mscep_admin/",
        b"/certsrv/mscep/%c0%ae%c0%ae/mscep_admin/",
        b"/certsrv/mscep/%252e%252e/mscep_admin/",
        b"/certsrv/mscep/..%252fmscep_admin/",
        b"/certsrv/mscep/%e0%80%ae%e0%80%ae/mscep_admin/",
        b"/certsrv/mscep/mscep.dll;/x",
        b"/certsrv/mscep/mscep.dll;",
        b"/certsrv;/mscep/mscep.dll",
        b"/certsrv/mscep/mscep.dll::$DATA",
        b"/certsrv/mscep/mscep.dll:x",
        b"/certsrv/mscep/mscep.dll/x",
        b"/certsrv/mscep/mscep.dll/pkiclient.exe/",
        b"/certsrv/mscep/mscep.dll%3foperation=GetCACert",
        b"/certsrv/mscep/mscep.dll%00",
        b"/certsrv/mscep/mscep.dl%6c",
        b"/certsrv/mscep/mscep.dll*",
        b"/certsrv/mscep/mscep.dll#",
        b"/certsrv/mscep/mscep.dll?operation=GetCACert#/../../mscep_admin",
        b"/certsrv/mscep_admin#/certsrv/mscep/mscep.dll",
        b"/certsrv/mscep/mscep.dll\0",
        b"/certsrv/mscep/mscep.dll\x01",
        b"/certsrv/mscep/mscep.dll\t",
        b"/certsrv/mscep/mscep.dll\x7f",
        b"/certsrv/mscep/mscep.dll\x80",
        b"/certsrv/mscep/mscep.dl\xef\xbd\x8c",
        b"/certsrv/mscep/mscep.d\xc4\xb1l",
        b"/certsrv/mscep/mscep.dll?operation=GetCACert&x=\xff",
        b"/certsrv/mscep/mscep.dll?a b",
        b"/ certsrv/mscep/mscep.dll",
        b" /certsrv/mscep/mscep.dll",
        b"/certsrv/mscep/mscep.dll ",
        b"certsrv/mscep/mscep.dll",
        b"?operation=GetCACert",
        b"*",
        b"",
        b"/certsrv/certfnsh.asp",
        b"/certsrv/certnew.cer",
        b"/CertEnroll/",
        b"/ADPolicyProvider_CEP_Kerberos/service.svc",
        b"/CA_CES_Kerberos/service.svc",
        b"/CertificateRegistrationSvc/Certificate/VerifyRequest",
        b"/CMCertificateRegistration/",
        b"/cgi-bin/pkiclient.exe",
        b"/iisstart.htm",
        b"/aspnet_client/",
        b"/metrics",
        b"/livez",
        b"https://scep.example.test/certsrv/mscep_admin/",
        b"https://scep.example.test",
        b"http://scep.example.test/certsrv/mscep/mscep.dll",
        b"ftp://scep.example.test/certsrv/mscep/mscep.dll",
        b"scep.example.test:443",
    ];
    for method in ["GET", "POST"] {
        for path in paths {
            let mut target = path.to_vec();
            if method == "POST" && !path.contains(&b'?') {
                target.extend_from_slice(b"?operation=PKIOperation");
            }
            let response = request(&proxy, method, &target);
            let name = target.escape_ascii().to_string();
            assert!(
                [400, 404].contains(&response.status),
                "{name}: {}",
                response.text()
            );
            assert!(response.reason().is_some(), "{name}: {}", response.text());
        }
    }
    proxy.await_metric("ndes_proxy_refusals_total", &[], (2 * paths.len()) as f64);
    origin.assert_untouched();
}

#[test]
fn a_path_is_refused_with_404_and_never_with_403() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let response = proxy.get("/certsrv/mscep_admin/");
    response.assert_refused(404, "path_not_published");
    // The response contains neither internal names nor anything that the client sent.
    for word in [INTERNAL, "mscep", "hyper", "rustls"] {
        assert!(!response.text().to_lowercase().contains(word), "{word}");
    }
    origin.assert_untouched();
}

#[test]
fn a_403_of_ndes_is_forwarded() {
    let ndes = crate::support::Ndes::start();
    let proxy = Proxy::start(ndes.address, |_| {});
    let response = proxy.get(MSCEP);
    assert_eq!((response.status, response.reason()), (403, None));
    assert!(response.text().contains("403 - Forbidden"));
    assert_eq!(response.field("server"), None);
}

#[test]
fn methods_that_are_not_published_are_405_with_allow() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for method in [
        "PUT", "DELETE", "OPTIONS", "TRACE", "PATCH", "PROPFIND", "DEBUG", "get", "Post", "GETX",
        "BREW",
    ] {
        let response = request(&proxy, method, MSCEP.as_bytes());
        response.assert_refused(405, "method_not_allowed");
        assert_eq!(response.field("allow"), Some("GET, HEAD, POST"));
    }
    origin.assert_untouched();
}

#[test]
fn connect_opens_no_tunnel() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for target in ["ndes.corp.test:443", MSCEP] {
        let status = request(&proxy, "CONNECT", target.as_bytes()).status;
        assert!([400, 405].contains(&status), "{status}");
    }
    origin.assert_untouched();
}

#[test]
fn an_application_can_publish_fewer_methods_and_operations() {
    use ndes_proxy::base::head::Method;
    use ndes_proxy::scep::Operation;
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |config| {
        config.applications[0].methods = vec![Method::Get];
        config.applications[0].operations = vec![Operation::GetCACert];
    });
    let response = proxy.post(&format!("{MSCEP}?operation=PKIOperation"), b"x");
    response.assert_refused(405, "method_not_allowed");
    assert_eq!(response.field("allow"), Some("GET"));
    proxy
        .get(&format!("{MSCEP}?operation=GetCACaps"))
        .assert_refused(400, "operation_not_published");
    origin.assert_untouched();
    assert_eq!(
        proxy.get(&format!("{MSCEP}?operation=GetCACert")).status,
        200
    );
}

#[test]
fn exactly_one_plain_parameter_names_the_operation() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for (query, reason) in [
        ("operation=Unknown", "operation_not_published"),
        ("operation=", "operation_not_published"),
        ("operation", "operation_not_published"),
        ("operation=getcacert", "operation_not_published"),
        ("operation=GETCACERT", "operation_not_published"),
        ("operation=GetCACert%20", "operation_not_published"),
        ("operation=GetCACer%74", "operation_not_published"),
        ("operation=NDESGenerateChallenge", "operation_not_published"),
        (
            "operation=NDESGetCACertThumbprint",
            "operation_not_published",
        ),
        (
            "operation=GetCACert&operation=GetCACert",
            "operation_ambiguous",
        ),
        (
            "operation=GetCACert&message=x&operation=PKIOperation",
            "operation_ambiguous",
        ),
        ("oper%61tion=GetCACert", "operation_ambiguous"),
        ("oper%2561tion=GetCACert", "operation_ambiguous"),
        (
            "operation=GetCACert&oper%61tion=PKIOperation",
            "operation_ambiguous",
        ),
        ("OPERATION=GetCACert", "operation_ambiguous"),
        ("Operation=GetCACert", "operation_ambiguous"),
        ("operation%20=GetCACert", "operation_ambiguous"),
        (
            "operation=GetCACert&+operation=PKIOperation",
            "operation_ambiguous",
        ),
        ("operation%00=GetCACert", "operation_ambiguous"),
    ] {
        for method in ["GET", "POST"] {
            let response = request(&proxy, method, format!("{MSCEP}?{query}").as_bytes());
            response.assert_refused(400, reason);
        }
    }
    origin.assert_untouched();
}

#[test]
fn a_post_must_name_its_operation() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    for target in [
        MSCEP.to_owned(),
        format!("{MSCEP}?"),
        format!("{MSCEP}?message=x"),
    ] {
        proxy
            .post(&target, b"operation=PKIOperation")
            .assert_refused(400, "operation_missing");
    }
    origin.assert_untouched();
}

#[test]
fn a_bare_get_and_head_pass() {
    let origin = Origin::start(|request, wire| {
        wire.send(match request.method() {
            "HEAD" => &b"HTTP/1.1 403 Forbidden\r\nContent-Length: 1233\r\n\r\n"[..],
            _ => b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno",
        });
    });
    let proxy = Proxy::start(origin.address, |_| {});
    let response = proxy.get(MSCEP);
    assert_eq!((response.status, &response.body[..]), (403, &b"no"[..]));
    let response = request(&proxy, "HEAD", MSCEP.as_bytes());
    assert_eq!(response.status, 403);
    assert_eq!(response.field("content-length"), Some("1233"));
    let methods: Vec<String> = origin
        .requests()
        .iter()
        .map(|r| r.method().to_owned())
        .collect();
    assert_eq!(methods, ["GET", "HEAD"]);
}

#[test]
fn the_query_is_forwarded_byte_for_byte() {
    let origin = Origin::ok();
    let proxy = Proxy::start(origin.address, |_| {});
    let queries = [
        "operation=PKIOperation&message=MIA+/=%2B%0A%0a==",
        "operation=PKIOperation&message=MIA+/=%2B%0A&",
        "operation=PKIOperation&message=a=b==c&&&=",
        "message=MIAGCSqGSIb3DQEHAqCAMIACAQExDzAN&operation=PKIOperation",
        "message=before+/=&operation=PKIOperation&message=again",
        "operation=GetCACert&message=%",
        "operation=GetCACert&message=%zz%2",
        "operation=GetCACert&message=../..\\..%5c%2f;:@!$'()*,[]|^`{}~-._",
        "operation=GetCACert&message=??/?",
        "operation=GetCACert",
        "operation=GetCACaps&message=",
        "",
    ];
    for query in queries {
        let target = format!("{MSCEP}?{query}");
        let response = proxy.get(&target);
        assert_eq!(response.status, 200, "{query}: {}", response.text());
        assert_eq!(origin.requests().last().unwrap().target(), target);
    }
    // The path is in the configured case, and the query is that of the client.
    let upper = MSCEP.to_ascii_uppercase();
    assert_eq!(proxy.get(&format!("{upper}?{}", queries[0])).status, 200);
    let last = origin.requests().pop().unwrap();
    assert_eq!(last.target(), format!("{MSCEP}?{}", queries[0]));
}
