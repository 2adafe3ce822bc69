//! Request lines: versions, methods, and the forms of the target.

use super::{Lab, SMUGGLED, smuggled};
use crate::support::{End, MSCEP, PUBLIC};

fn head(line: &str) -> String {
    format!("{line}\r\nHost: {PUBLIC}\r\n\r\n")
}

#[test]
fn other_versions_are_refused() {
    let mut lab = Lab::new();
    let versions = [
        "HTTP/0.9",
        "HTTP/1.2",
        "HTTP/1.3",
        "HTTP/1.9",
        "HTTP/2.0",
        "HTTP/2",
        "HTTP/3",
        "HTTP/1.10",
        "HTTP/1.11",
        "HTTP/01.1",
        "HTTP/1.01",
        "HTTP/1",
        "HTTP/1.",
        "HTTP/.1",
        "HTTP/11",
        "HTTP/1,1",
        "HTTP/1.1.1",
        "HTTP/+1.1",
        "HTTP/1.1 ",
        "HTTP/1.1\t",
        "HTTP/1.1x",
        "HTTP/1.1\0",
        "HTTP/1.1\u{b}",
        "HTTP/1.1\u{c}",
        "HTTP/1.1\u{a0}",
        "HTTP/\u{ff11}.1",
        "HTTP/ 1.1",
        "HTTP /1.1",
        "HTTP\\1.1",
        "http/1.1",
        "Http/1.1",
        "HTTPS/1.1",
        "ICY/1.1",
        "RTSP/1.0",
        "SIP/2.0",
        "HTTP",
        "HTTP/",
        "1.1",
        "",
        "HTTP/1.1 HTTP/1.1 ",
        "HTTP/1.1, HTTP/1.0",
        "\0HTTP/1.1",
        "xHTTP/1.1",
        "HTTP/-1.1",
        "HTTP/1.-1",
        "HTTP/a.b",
    ];
    for version in versions {
        for separator in [" ", "  ", "\t"] {
            let line = format!("GET {MSCEP}{separator}{version}");
            lab.refused(&line.escape_debug().to_string(), head(&line));
        }
    }
    lab.finish(130);
}

#[test]
fn a_method_with_extra_characters_is_refused() {
    let mut lab = Lab::new();
    for junk in [
        "\0", "\t", " ", "\u{b}", "\u{c}", "\u{feff}", "\r", "\n", "\"", "(", ",", "/", ":", ";",
        "@", "[", "{", "\u{7f}", "\u{80}", "\r\n ", "\r\n\t",
    ] {
        for method in ["GET", "POST"] {
            for name in [
                format!("{junk}{method}"),
                format!("{method}{junk}"),
                format!("G{junk}T"),
            ] {
                let line = format!("{name} {MSCEP} HTTP/1.1");
                lab.refused(&line.escape_debug().to_string(), head(&line));
            }
        }
    }
    lab.finish(120);
}

/// They are refused before the origin receives anything, and no part of them is read as another
/// request.
#[test]
fn other_methods_are_refused_with_or_without_a_body() {
    let mut lab = Lab::new();
    let long = "A".repeat(8_000);
    let methods = [
        "get",
        "Get",
        "gET",
        "post",
        "Post",
        "head",
        "PUT",
        "DELETE",
        "PATCH",
        "OPTIONS",
        "TRACE",
        "TRACK",
        "DEBUG",
        "CONNECT",
        "PROPFIND",
        "PROPPATCH",
        "MKCOL",
        "COPY",
        "MOVE",
        "LOCK",
        "UNLOCK",
        "SEARCH",
        "M-SEARCH",
        "MSEARCH",
        "BPROPFIND",
        "SUBSCRIBE",
        "NOTIFY",
        "POLL",
        "RPC_IN_DATA",
        "RPC_OUT_DATA",
        "BITS_POST",
        "CCM_POST",
        "PRI",
        "QUERY",
        "PURGE",
        "REPORT",
        "LINK",
        "UNLINK",
        "VIEW",
        "GETS",
        "XGET",
        "POSTX",
        "HEADX",
        "G",
        "!",
        "~GET",
        "GET|POST",
        "GET.",
        "GET-",
        "G%45T",
        "%47ET",
        "__proto__",
        "null",
        &long,
    ];
    for method in methods {
        for framing in [
            "",
            "Content-Length: 5\r\n",
            "Transfer-Encoding: chunked\r\n",
        ] {
            let before = (lab.request_count)();
            let mut connection = lab.proxy.connect();
            let head = format!(
                "{method} {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{framing}X-HTTP-Method-Override: GET\r\n\r\n"
            );
            connection.send([head.as_bytes(), &smuggled()].concat());
            let response = connection.response();
            response.assert_refused(405, "method_not_allowed");
            if framing.is_empty() {
                // The request ends with its head, so the bytes that follow are a request.
                assert_eq!(connection.response().body, SMUGGLED.as_bytes(), "{head}");
                assert_eq!((lab.request_count)(), before + 1, "{head}");
            } else {
                assert_eq!(connection.end(), End::CloseNotify, "{head}");
                assert_eq!((lab.request_count)(), before, "{head}");
            }
            lab.cases += 1;
        }
    }
    lab.finish(150);
}

#[test]
fn targets_that_are_not_a_path_are_refused() {
    let mut lab = Lab::new();
    let rest = "/certsrv/mscep/mscep.dll?operation=GetCACert";
    let mut targets: Vec<String> = [
        "*",
        "",
        "certsrv/mscep/mscep.dll",
        "?operation=GetCACert",
        "mscep.dll",
        "#",
        ".",
        "..",
        "-",
        "scep.example.test",
        "scep.example.test:443",
        ":443",
        "@",
        "//",
        "\\",
        "\\\\scep.example.test\\certsrv\\mscep",
        "file:///certsrv/mscep/mscep.dll",
        "javascript:/certsrv/mscep",
        "data:,x",
        "mailto:x@y",
        "urn:x",
    ]
    .map(str::to_owned)
    .into();
    for scheme in [
        "http://",
        "HTTP://",
        "ftp://",
        "ws://",
        "wss://",
        "coap://",
        "https:/",
        "https:",
        "https:///",
        "https//",
        "https:\\\\",
        "https:\\/\\/",
        "httpss://",
        "xhttps://",
        "https ://",
        "https%3a//",
        "://",
        "h2://",
        "https:////",
        "view-source:https://",
        "file://",
        "gopher://",
    ] {
        for authority in [
            "scep.example.test",
            "scep.example.test:443",
            "scep.example.test:80",
            "127.0.0.1",
            "",
        ] {
            targets.push(format!("{scheme}{authority}{rest}"));
        }
    }
    for authority in [
        "evil.test",
        "evil.test:443",
        "scep.example.test:80",
        "scep.example.test:444",
        "scep.example.test:0",
        "scep.example.test:65536",
        "scep.example.test:-443",
        "scep.example.test:+443",
        "scep.example.test:443x",
        "scep.example.test:",
        "scep.example.test:443:443",
        "user@scep.example.test",
        "user:password@scep.example.test",
        "@scep.example.test",
        ":@scep.example.test",
        "evil.test@scep.example.test",
        "scep.example.test@evil.test",
        "scep.example.test%2f@evil.test",
        "scep.example.test\\@evil.test",
        "scep.example.test;evil.test",
        "scep.example.test,evil.test",
        "scep.example.test%00",
        "scep.example.test%20",
        "scep.example.test\\",
        ".scep.example.test",
        "scep..example.test",
        "scep.example.test..",
        "xscep.example.test",
        "scep.example.testx",
        "scep.example",
        "*.example.test",
        "127.0.0.1",
        "[::1]",
        "[::1]:443",
        "0x7f000001",
        "2130706433",
        "localhost",
        "",
        ":443",
        ".",
        "ndes.corp.test",
        "ndes.corp.test:443",
        "scep.example.test/x@evil.test",
        "scep%2eexample.test",
        "scep.example.test?",
        "scep.example.test#",
    ] {
        targets.push(format!("https://{authority}{rest}"));
    }
    targets.extend(
        [
            "https://scep.example.test",
            "https://scep.example.test?operation=GetCACert",
            "https://scep.example.test?x=/certsrv/mscep",
            "https://",
            "https:",
        ]
        .map(str::to_owned),
    );
    for target in targets {
        for host in [PUBLIC.to_owned(), "evil.test".to_owned()] {
            let before = (lab.request_count)();
            let mut connection = lab.proxy.connect();
            connection.send(format!("GET {target} HTTP/1.1\r\nHost: {host}\r\n\r\n"));
            let response = connection.response();
            let name = format!("{target} {host}");
            assert!(
                [400, 404, 421].contains(&response.status),
                "{name}: {}",
                response.text()
            );
            assert!(response.reason().is_some(), "{name}");
            assert_eq!((lab.request_count)(), before, "{name}");
            lab.cases += 1;
        }
    }
    lab.finish(350);
}

#[test]
fn the_absolute_form_of_a_published_path_is_served() {
    let mut lab = Lab::new();
    for scheme in ["https://", "HTTPS://", "Https://"] {
        for authority in [
            PUBLIC,
            "SCEP.Example.TEST",
            "scep.example.test:443",
            "scep.example.test.",
        ] {
            for version in ["1.1", "1.0"] {
                let target = lab.target();
                let head = format!(
                    "GET {scheme}{authority}{target} HTTP/{version}\r\nHost: {PUBLIC}\r\n\r\n"
                );
                let mut connection = lab.proxy.connect();
                connection.send(head);
                assert_eq!(connection.response().body, target.as_bytes());
                let received = &lab.origin.last_requests(1)[0];
                assert_eq!(received.line(), format!("GET {target} HTTP/1.1"));
                assert_eq!(received.field("host").as_deref(), Some("ndes.corp.test"));
            }
        }
    }
    lab.finish(24);
}

#[test]
fn only_one_empty_line_before_a_request_is_ignored() {
    let mut lab = Lab::new();
    // One empty line is ignored (RFC 9112 §2.2), once for each request.
    let target = lab.target();
    lab.served(
        "one",
        &target,
        format!("\r\nGET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n\r\n"),
    );
    for before in [
        "\n",
        "\r",
        "\n\n",
        "\n\r",
        "\r\n\n",
        "\r\n\r",
        "\r\n\r\n",
        "\r\n \r\n",
        " \r\n",
        "\t\r\n",
        "\0\r\n",
        "\r\r\n",
        "\r\n\0",
        "\r\n ",
    ] {
        let head = format!("{before}GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n");
        lab.refused(&before.escape_debug().to_string(), head);
    }
    lab.finish(15);
}

#[test]
fn upgrades_are_refused() {
    let mut lab = Lab::new();
    for protocol in [
        "h2c",
        "H2C",
        "h2",
        "websocket",
        "TLS/1.2",
        "HTTP/2.0",
        "h2c, websocket",
        "IRC/6.9",
        "",
    ] {
        for connection in [
            "",
            "Connection: Upgrade\r\n",
            "Connection: upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAMAAABkAARAAAAAAAIAAAAA\r\n",
            "Connection: keep-alive, Upgrade\r\n",
        ] {
            for name in ["Upgrade", "upgrade", "UPGRADE"] {
                let head = format!(
                    "GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n{connection}{name}: {protocol}\r\n\r\n"
                );
                lab.refused(&head.escape_debug().to_string(), head);
            }
        }
    }
    // The preface of HTTP/2 with prior knowledge is a malformed request.
    lab.refused("preface", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
    lab.finish(100);
}

#[test]
fn ambiguous_host_lines_are_refused() {
    let mut lab = Lab::new();
    let lines = [
        String::new(),
        "Host:\r\n".to_owned(),
        "Host: \r\n".to_owned(),
        format!("Host : {PUBLIC}\r\n"),
        format!(" Host: {PUBLIC}\r\n"),
        format!("Host: {PUBLIC}\r\nHost: {PUBLIC}\r\n"),
        format!("Host: {PUBLIC}\r\nhost: {PUBLIC}\r\n"),
        format!("Host: {PUBLIC}\r\nHOST: evil.test\r\n"),
        format!("Host: evil.test\r\nHost: {PUBLIC}\r\n"),
        format!("Host: {PUBLIC}\r\nHost:\r\n"),
        format!("Host:\r\nHost: {PUBLIC}\r\n"),
        format!("Host: {PUBLIC}, evil.test\r\n"),
        format!("Host: {PUBLIC} evil.test\r\n"),
        format!("Host: {PUBLIC}\tevil.test\r\n"),
        format!("Host: {PUBLIC}/\r\n"),
        format!("Host: {PUBLIC}/certsrv\r\n"),
        format!("Host: {PUBLIC}?x\r\n"),
        format!("Host: {PUBLIC}#x\r\n"),
        format!("Host: https://{PUBLIC}\r\n"),
        format!("Host: user@{PUBLIC}\r\n"),
        format!("Host: {PUBLIC}@evil.test\r\n"),
        format!("Host: {PUBLIC}:\r\n"),
        format!("Host: {PUBLIC}:x\r\n"),
        format!("Host: {PUBLIC}:443x\r\n"),
        format!("Host: {PUBLIC}:-1\r\n"),
        format!("Host: {PUBLIC}:99999\r\n"),
        format!("Host: {PUBLIC}:443:443\r\n"),
        format!("Host: {PUBLIC}\0\r\n"),
        format!("Host: \0{PUBLIC}\r\n"),
        format!("Host: {PUBLIC}%00\r\n"),
        format!("Host: \"{PUBLIC}\"\r\n"),
        format!("Host: {PUBLIC}\\\r\n"),
        format!("Host: {PUBLIC};\r\n"),
        format!("Host: {PUBLIC}\u{a0}\r\n"),
        "Host: \u{ff53}cep.example.test\r\n".to_owned(),
        "Host: scep.example\u{3002}test\r\n".to_owned(),
        format!("Host: {PUBLIC}\r\n :443\r\n"),
        format!("Host:\r\n {PUBLIC}\r\n"),
        format!("X-Host: {PUBLIC}\r\n"),
        format!("X-Forwarded-Host: {PUBLIC}\r\n"),
        format!("Host_: {PUBLIC}\r\n"),
    ];
    for line in &lines {
        let before = (lab.request_count)();
        let mut connection = lab.proxy.connect();
        connection.send(
            [
                format!("GET {MSCEP} HTTP/1.1\r\n{line}\r\n").as_bytes(),
                &smuggled(),
            ]
            .concat(),
        );
        let response = connection.response();
        assert_eq!(
            response.status,
            400,
            "{}: {}",
            line.escape_debug(),
            response.text()
        );
        assert_eq!(
            connection.end(),
            End::CloseNotify,
            "{}",
            line.escape_debug()
        );
        assert_eq!((lab.request_count)(), before, "{}", line.escape_debug());
        lab.cases += 1;
    }
    lab.finish(41);
}
