//! Tests of the simulated NDES over real TLS.

use std::collections::HashMap;

use rustls::pki_types::ServerName;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::commands::demo::pki::{Key, Leaf, Pki};

use super::*;

mod conditions;

const MSCEP: &str = "/certsrv/mscep/mscep.dll";

struct Fixture {
    ndes: SimulatedNdes,
    root: Pki,
    scep: ScepCertificates,
}

impl Fixture {
    async fn start(options: Options) -> Self {
        let root = Pki::new("test CA", Key::EcdsaP256).unwrap();
        let certificate = root.issue(&Leaf::server(&["ndes.corp.test"])).unwrap();
        let scep = ScepCertificates::new(Key::EcdsaP256).unwrap();
        let ndes = start(options, &certificate, &scep).await.unwrap();
        Self { ndes, root, scep }
    }

    async fn recording() -> Self {
        Self::start(Options {
            record: true,
            ..Options::default()
        })
        .await
    }

    async fn connect(&self) -> TlsStream<TcpStream> {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.root.certificate().clone()).unwrap();
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        let config = rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        let stream = TcpStream::connect(self.ndes.address).await.unwrap();
        let name = ServerName::try_from("ndes.corp.test").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
            .unwrap()
    }

    /// Sends these bytes on a new connection and reads until it is closed.
    async fn send(&self, request: impl AsRef<[u8]>) -> Reply {
        let mut stream = self.connect().await;
        stream.write_all(request.as_ref()).await.unwrap();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        Reply::parse(&bytes)
    }

    async fn get(&self, target: &str) -> Reply {
        self.send(get(target)).await
    }
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: ndes.corp.test\r\nConnection: close\r\n\r\n")
}

fn post(target: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "POST {target} HTTP/1.1\r\nHost: ndes.corp.test\r\nConnection: close\r\n\
         Content-Length: {length}\r\n\r\n{body}"
    )
}

struct Reply {
    status: u16,
    /// The names are in lower case. Several values of one name are joined by ", ".
    headers: HashMap<String, String>,
    body: Vec<u8>,
}

impl Reply {
    fn parse(bytes: &[u8]) -> Self {
        let end = bytes
            .windows(4)
            .position(|window| window == b"\r\n\r\n")
            .unwrap();
        let head = std::str::from_utf8(&bytes[..end]).unwrap();
        let mut lines = head.split("\r\n");
        let status = lines
            .next()
            .unwrap()
            .split(' ')
            .nth(1)
            .unwrap()
            .parse()
            .unwrap();
        let mut headers: HashMap<String, String> = HashMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").unwrap();
            headers
                .entry(name.to_ascii_lowercase())
                .and_modify(|all| *all = format!("{all}, {value}"))
                .or_insert_with(|| value.to_owned());
        }
        Self {
            status,
            headers,
            body: bytes[end + 4..].to_vec(),
        }
    }

    #[track_caller]
    fn is(&self, status: u16, server: &str, text: &str) {
        assert_eq!(self.status, status);
        assert_eq!(self.headers["server"], server);
        let body = String::from_utf8_lossy(&self.body);
        assert!(body.contains(text), "{body}");
    }

    #[track_caller]
    fn is_from_iis(&self, status: u16, text: &str) {
        self.is(status, "Microsoft-IIS/10.0", text);
        assert_eq!(self.headers["x-powered-by"], "ASP.NET");
    }

    #[track_caller]
    fn is_from_http_sys(&self, status: u16, text: &str) {
        self.is(status, "Microsoft-HTTPAPI/2.0", text);
        assert_eq!(self.headers["connection"], "close");
        assert!(!self.headers.contains_key("x-powered-by"));
    }
}

#[tokio::test]
async fn without_an_operation_the_policy_module_answers_403() {
    let fixture = Fixture::start(Options::default()).await;
    for target in [
        MSCEP,
        "/certsrv/mscep/",
        "/CertSrv/mscep/mscep.dll/",
        "/certsrv/mscep?x=1",
    ] {
        let reply = fixture.get(target).await;
        reply.is_from_iis(403, "403 - Forbidden: Access is denied.");
    }
}

#[tokio::test]
async fn a_head_request_gets_the_403_without_its_page() {
    let fixture = Fixture::start(Options::default()).await;
    let reply = fixture.send(get(MSCEP).replace("GET", "HEAD")).await;
    assert_eq!(reply.status, 403);
    assert!(reply.body.is_empty());
}

#[tokio::test]
async fn get_ca_caps_lists_what_ndes_can_do() {
    let fixture = Fixture::start(Options::default()).await;
    let reply = fixture
        .get(&format!("{MSCEP}?operation=GetCACaps&message=ca"))
        .await;
    reply.is_from_iis(200, "POSTPKIOperation\r\nRenewal\r\n");
    assert_eq!(reply.headers["content-type"], "text/plain");
    let text = String::from_utf8(reply.body).unwrap();
    let words: Vec<_> = text.split_terminator("\r\n").collect();
    assert_eq!(
        words,
        [
            "POSTPKIOperation",
            "Renewal",
            "SHA-512",
            "SHA-256",
            "SHA-1",
            "DES3"
        ]
    );
}

#[tokio::test]
async fn get_ca_cert_gives_the_ca_and_both_ra_certificates() {
    let fixture = Fixture::start(Options::default()).await;
    let reply = fixture
        .get("/certsrv/mscep/mscep.dll/pkiclient.exe?operation=GetCACert&message=SCEP%20Authority")
        .await;
    assert_eq!(reply.status, 200);
    assert_eq!(
        reply.headers["content-type"],
        "application/x-x509-ca-ra-cert"
    );
    let scep = &fixture.scep;
    for der in [
        &scep.ca,
        scep.signing.certificate(),
        scep.encryption.certificate(),
    ] {
        assert!(
            reply
                .body
                .windows(der.len())
                .any(|window| window == der.as_ref())
        );
    }
}

#[tokio::test]
async fn without_a_scep_server_every_pki_operation_is_500() {
    let fixture = Fixture::start(Options::default()).await;
    let target = format!("{MSCEP}?operation=PKIOperation");
    let reply = fixture.get(&format!("{target}&message=MIIB")).await;
    reply.is_from_iis(500, "500 - Internal server error.");
    let reply = fixture.send(post(&target, "0")).await;
    reply.is_from_iis(500, "500 - Internal server error.");
}

#[tokio::test]
async fn mscep_admin_requires_a_windows_account_on_every_path() {
    let fixture = Fixture::start(Options::default()).await;
    for target in [
        "/certsrv/mscep_admin",
        "/certsrv/mscep/..%5cMSCEP_admin/",
        "/certsrv/mscep/mscep.dll/../../mscep_admin?operation=GetCACaps",
    ] {
        let reply = fixture.get(target).await;
        reply.is_from_iis(401, "401 - Unauthorized");
        assert_eq!(reply.headers["www-authenticate"], "Negotiate, NTLM");
    }
}

#[tokio::test]
async fn other_paths_are_not_found_and_other_methods_not_allowed() {
    let fixture = Fixture::start(Options::default()).await;
    fixture
        .get("/certsrv/")
        .await
        .is_from_iis(404, "404 - File or directory");
    let reply = fixture.send(get(MSCEP).replace("GET", "DELETE")).await;
    reply.is_from_iis(405, "405 - HTTP verb");
}

#[tokio::test]
async fn a_target_of_65534_bytes_is_answered() {
    let fixture = Fixture::recording().await;
    let start = format!("{MSCEP}?operation=GetCACaps&message=");
    let target = format!("{start}{}", "A".repeat(65534 - start.len()));
    fixture
        .get(&target)
        .await
        .is_from_iis(200, "POSTPKIOperation");
    assert_eq!(fixture.ndes.requests()[0].target, target);
}

#[tokio::test]
async fn requests_over_the_limits_of_http_sys_do_not_reach_iis() {
    let limits = HttpSysLimits {
        max_field_length: 300,
        max_request_bytes: 1000,
        url_segment_max_length: 20,
        ..HttpSysLimits::default()
    };
    let fixture = Fixture::start(Options {
        limits,
        ..Options::default()
    })
    .await;

    let long_field = get(MSCEP).replace("\r\n\r\n", &format!("\r\nX: {}\r\n\r\n", "x".repeat(300)));
    let reply = fixture.send(long_field).await;
    reply.is_from_http_sys(400, "Bad Request - Request Too Long");

    let long_line = format!("{MSCEP}?operation=GetCACaps&message={}", "A".repeat(1000));
    let reply = fixture.get(&long_line).await;
    reply.is_from_http_sys(414, "Request-URI Too Long");

    let reply = fixture.get(&format!("/{}", "s".repeat(21))).await;
    reply.is_from_http_sys(400, "Bad Request - Invalid URL");

    fixture
        .get(&format!("{MSCEP}?operation=GetCACaps"))
        .await
        .is_from_iis(200, "Renewal");
}

#[tokio::test]
async fn max_request_bytes_counts_request_line_and_header_fields_to_the_byte() {
    let target = format!("{MSCEP}?operation=GetCACaps");
    // The request head without its empty last line.
    let size = get(&target).len() - 2;
    for (max_request_bytes, status) in [(size, 200), (size - 1, 400)] {
        let limits = HttpSysLimits {
            max_request_bytes,
            ..HttpSysLimits::default()
        };
        let fixture = Fixture::start(Options {
            limits,
            ..Options::default()
        })
        .await;
        assert_eq!(fixture.get(&target).await.status, status);
    }
}

#[tokio::test]
async fn request_filtering_answers_with_the_404_of_iis() {
    let limits = HttpSysLimits {
        max_query_string: 29,
        max_url: 30,
        ..HttpSysLimits::default()
    };
    let fixture = Fixture::start(Options {
        limits,
        ..Options::default()
    })
    .await;
    let target = format!("{MSCEP}?operation=GetCACaps&message=");
    fixture
        .get(&format!("{target}A"))
        .await
        .is_from_iis(200, "Renewal");
    fixture
        .get(&format!("{target}AA"))
        .await
        .is_from_iis(404, "404 - File or directory");
    let reply = fixture
        .get(&format!("{MSCEP}/seven?operation=GetCACaps"))
        .await;
    assert_eq!(reply.status, 200);
    let reply = fixture
        .get(&format!("{MSCEP}/sevens?operation=GetCACaps"))
        .await;
    reply.is_from_iis(404, "404 - File or directory");
}

#[tokio::test]
async fn a_post_without_content_length_is_411() {
    let fixture = Fixture::start(Options::default()).await;
    let head = "POST /certsrv/mscep/mscep.dll?operation=PKIOperation HTTP/1.1\r\nHost: a\r\n";
    for rest in [
        "Transfer-Encoding: chunked\r\n\r\n1\r\n0\r\n0\r\n\r\n",
        "\r\n",
    ] {
        let reply = fixture.send(format!("{head}{rest}")).await;
        reply.is_from_http_sys(411, "Length Required");
    }
}

#[tokio::test]
async fn requests_and_connections_are_recorded() {
    let fixture = Fixture::recording().await;
    fixture.get("/certsrv/x//y?a=%2B+/=&&b#no").await;
    fixture.get("/empty?").await;
    fixture.send(post("/p", "body\0")).await;
    assert_eq!(fixture.ndes.connections(), 3);

    let recorded = fixture.ndes.requests();
    let targets: Vec<_> = recorded
        .iter()
        .map(|recorded| recorded.target.as_str())
        .collect();
    assert_eq!(targets, ["/certsrv/x//y?a=%2B+/=&&b", "/empty?", "/p"]);
    assert_eq!(recorded[2].method, "POST");
    assert_eq!(recorded[2].version, http::Version::HTTP_11);
    assert_eq!(recorded[2].body, "body\0");
    let header = |name: &str, value: &str| (name.to_owned(), value.as_bytes().to_vec());
    assert_eq!(
        recorded[0].headers,
        [
            header("host", "ndes.corp.test"),
            header("connection", "close")
        ]
    );
}

#[tokio::test]
async fn only_the_last_1000_requests_are_kept_and_none_without_the_option() {
    let fixture = Fixture::recording().await;
    let mut pipelined = String::new();
    for number in 0..1001 {
        pipelined.push_str(&format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
    }
    pipelined.push_str(&get("/last"));
    let mut stream = fixture.connect().await;
    let (mut reader, mut writer) = tokio::io::split(&mut stream);
    let mut responses = Vec::new();
    let (written, read) = tokio::join!(
        writer.write_all(pipelined.as_bytes()),
        reader.read_to_end(&mut responses)
    );
    written.unwrap();
    read.unwrap();
    let recorded = fixture.ndes.requests();
    assert_eq!(recorded.len(), 1000);
    assert_eq!(
        (recorded[0].target.as_str(), recorded[999].target.as_str()),
        ("/2", "/last")
    );
    assert_eq!(fixture.ndes.connections(), 1);

    let silent = Fixture::start(Options::default()).await;
    silent.get("/").await;
    assert!(silent.ndes.requests().is_empty());
}

#[tokio::test]
async fn stop_frees_the_port_and_closes_connections() {
    // A loopback address that no other test uses, so that none can take the port once it is free.
    let listen = "127.77.0.1:0".parse().unwrap();
    let fixture = Fixture::start(Options {
        listen,
        ..Options::default()
    })
    .await;
    let mut idle = fixture.connect().await;
    let address = fixture.ndes.address;
    fixture.ndes.stop().await;
    assert!(TcpStream::connect(address).await.is_err());
    // A read on the closed connection returns an error or no bytes.
    assert!(!matches!(idle.read(&mut [0; 1]).await, Ok(1..)));
}

/// Starts a SCEP server that sends these bytes on one connection, and returns the request it got.
async fn scep_server(response: &'static [u8]) -> (ScepServer, JoinHandle<RelayedRequest>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/scep", listener.local_addr().unwrap());
    let relayed = tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut request = Vec::new();
        loop {
            let read = stream.read_buf(&mut request).await.unwrap();
            assert_ne!(read, 0, "the request is incomplete");
            if let Some(relayed) = RelayedRequest::parse(&request) {
                stream.write_all(response).await.unwrap();
                return relayed;
            }
        }
    });
    (url.parse().unwrap(), relayed)
}

/// Returns a socket that is bound but does not listen, so that its port refuses connections and no
/// other process gets it.
fn dead_scep_server() -> (TcpSocket, ScepServer) {
    let dead = TcpSocket::new_v4().unwrap();
    dead.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}/scep", dead.local_addr().unwrap());
    (dead, url.parse().unwrap())
}

struct RelayedRequest {
    head: String,
    body: Vec<u8>,
}

impl RelayedRequest {
    /// Returns `None` while bytes are missing.
    fn parse(request: &[u8]) -> Option<Self> {
        let end = request
            .windows(4)
            .position(|window| window == b"\r\n\r\n")?;
        let head = String::from_utf8(request[..end].to_vec()).unwrap();
        let body = request[end + 4..].to_vec();
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "));
        let length: usize = length.map_or(0, |length| length.parse().unwrap());
        (body.len() == length).then_some(Self { head, body })
    }
}

async fn relaying(response: &'static [u8]) -> (Fixture, JoinHandle<RelayedRequest>) {
    let (server, relayed) = scep_server(response).await;
    let options = Options {
        scep_server: Some(server),
        ..Options::default()
    };
    (Fixture::start(options).await, relayed)
}

#[tokio::test]
async fn a_get_pki_operation_is_relayed_as_a_post_of_its_bytes() {
    for message in ["ab%2Bc%2Fd%3D%3D%0A", "ab+c/d==", "ab-c_d%3D%3D", "ab-c_d"] {
        let (fixture, relayed) = relaying(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-pki-message\r\n\
              Content-Length: 3\r\n\r\n\x30\x80\0",
        )
        .await;
        let target = format!("{MSCEP}?message={message}&operation=PKIOperation");
        let reply = fixture.get(&target).await;
        assert_eq!(reply.status, 200);
        assert_eq!(reply.headers["content-type"], "application/x-pki-message");
        assert_eq!(reply.headers["server"], "Microsoft-IIS/10.0");
        assert_eq!(reply.body, b"\x30\x80\0");

        let relayed = relayed.await.unwrap();
        let line = relayed.head.lines().next();
        assert_eq!(line, Some("POST /scep?operation=PKIOperation HTTP/1.1"));
        assert_eq!(relayed.body, [0x69, 0xbf, 0x9c, 0xfd]);
    }
}

#[tokio::test]
async fn a_post_pki_operation_is_relayed_and_an_error_is_returned_unchanged() {
    let (fixture, relayed) =
        relaying(b"HTTP/1.1 502 Odd\r\nContent-Length: 4\r\nX-Inside: 1\r\n\r\nnope").await;
    let reply = fixture
        .send(post(&format!("{MSCEP}?operation=PKIOperation"), "0\u{1}2"))
        .await;
    assert_eq!((reply.status, reply.body.as_slice()), (502, &b"nope"[..]));
    assert!(!reply.headers.contains_key("content-type"));
    assert!(!reply.headers.contains_key("x-inside"));
    assert_eq!(relayed.await.unwrap().body, b"0\x012");
}

#[tokio::test]
async fn get_ca_caps_and_get_ca_cert_are_relayed_too() {
    for operation in ["GetCACaps", "GetCACert"] {
        let (fixture, relayed) = relaying(
            b"HTTP/1.1 200 OK\r\nContent-Type: application/x-x509-ca-cert\r\n\
              Content-Length: 2\r\n\r\nhi",
        )
        .await;
        let query = format!("operation={operation}&message=SCEP%20Authority+/");
        let reply = fixture.get(&format!("{MSCEP}?{query}")).await;
        assert_eq!((reply.status, reply.body.as_slice()), (200, &b"hi"[..]));
        assert_eq!(reply.headers["content-type"], "application/x-x509-ca-cert");
        let line = format!("GET /scep?{query} HTTP/1.1");
        assert_eq!(relayed.await.unwrap().head.lines().next(), Some(&*line));
    }
}

#[tokio::test]
async fn an_invalid_base64_message_and_an_unreachable_scep_server_are_500() {
    let (_dead, server) = dead_scep_server();
    let options = Options {
        scep_server: Some(server),
        ..Options::default()
    };
    let fixture = Fixture::start(options).await;
    for message in ["&message=%21", "", "&message=AAAA"] {
        let reply = fixture
            .get(&format!("{MSCEP}?operation=PKIOperation{message}"))
            .await;
        reply.is_from_iis(500, "500 - Internal server error.");
    }
}
