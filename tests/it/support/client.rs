//! A client that sends any bytes over real TLS, and observes how the connection closes.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion,
};

use super::pki::pki;
use super::{MAX_WAIT, PUBLIC};

/// The options of a connection.
#[derive(Clone)]
pub struct Connect {
    to: SocketAddr,
    from: Option<Ipv4Addr>,
    sni: Option<String>,
    /// The name that the certificate must have.
    verified: String,
    alpn: Vec<Vec<u8>>,
    versions: Vec<&'static SupportedProtocolVersion>,
    /// Bytes that are sent before the handshake.
    before: Vec<u8>,
    /// The number of them per segment.
    step: usize,
}

impl Connect {
    /// Connects to `to` with SNI `PUBLIC`, ALPN `http/1.1`, and TLS 1.2 or 1.3.
    pub fn to(to: SocketAddr) -> Self {
        Self {
            to,
            from: None,
            sni: Some(PUBLIC.to_owned()),
            verified: PUBLIC.to_owned(),
            alpn: vec![b"http/1.1".to_vec()],
            versions: rustls::ALL_VERSIONS.to_vec(),
            before: Vec::new(),
            step: usize::MAX,
        }
    }

    /// Connects from another loopback address, which is another client for the proxy.
    pub fn from(mut self, from: [u8; 4]) -> Self {
        self.from = Some(from.into());
        self
    }

    pub fn sni(mut self, name: &str) -> Self {
        (self.sni, self.verified) = (Some(name.to_owned()), name.to_owned());
        self
    }

    pub fn without_sni(mut self) -> Self {
        self.sni = None;
        self
    }

    pub fn alpn(mut self, protocols: &[&str]) -> Self {
        self.alpn = protocols.iter().map(|p| p.as_bytes().to_vec()).collect();
        self
    }

    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Self {
        self.versions = vec![version];
        self
    }

    /// Sends `bytes` before the handshake, as a load balancer does.
    pub fn behind(mut self, bytes: impl Into<Vec<u8>>) -> Self {
        self.before = bytes.into();
        self
    }

    /// Sends `bytes` before the handshake, one byte per segment.
    pub fn behind_pieces(mut self, bytes: &[u8]) -> Self {
        self.step = 1;
        self.behind(bytes)
    }

    pub fn open(&self) -> Connection {
        self.try_open().expect("a TLS connection")
    }

    /// Connects. The error of a failed handshake contains a `rustls::Error`.
    pub fn try_open(&self) -> io::Result<Connection> {
        self.open_with(Arc::new(self.config()))
    }

    /// Connects with a shared configuration, so that sessions are resumed.
    pub fn open_with(&self, config: Arc<ClientConfig>) -> io::Result<Connection> {
        let mut tcp = self.tcp()?;
        tcp.set_nodelay(true)?;
        for piece in self.before.chunks(self.step) {
            tcp.write_all(piece)?;
        }
        let name = ServerName::try_from(self.verified.clone()).unwrap();
        let tls = ClientConnection::new(config, name).map_err(io::Error::other)?;
        let mut stream = StreamOwned::new(tls, tcp);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock)?;
        }
        Ok(Connection {
            stream,
            buffer: Vec::new(),
        })
    }

    /// Opens only the TCP connection.
    pub fn tcp(&self) -> io::Result<TcpStream> {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None)?;
        if let Some(from) = self.from {
            socket.bind(&SocketAddr::from((from, 0)).into())?;
        }
        socket.connect(&self.to.into())?;
        let tcp = TcpStream::from(socket);
        tcp.set_read_timeout(Some(MAX_WAIT))?;
        tcp.set_write_timeout(Some(MAX_WAIT))?;
        Ok(tcp)
    }

    /// Returns the TLS configuration, for another client.
    pub fn config(&self) -> ClientConfig {
        let mut roots = RootCertStore::empty();
        roots.add(pki().public_root.certificate().clone()).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&self.versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.enable_sni = self.sni.is_some();
        config.alpn_protocols.clone_from(&self.alpn);
        config
    }
}

/// A TLS connection to the proxy.
pub struct Connection {
    stream: StreamOwned<ClientConnection, TcpStream>,
    /// Bytes that were received and not used yet.
    buffer: Vec<u8>,
}

/// How the other side closed the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// With close_notify, as TLS requires: the bytes before it are complete.
    CloseNotify,
    /// With FIN but without close_notify: the bytes before it may be truncated.
    Cut,
    Reset,
}

impl Connection {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        self.try_send(bytes).expect("sent");
    }

    /// Sends bytes that the proxy need not read.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> io::Result<()> {
        self.stream.write_all(bytes.as_ref())?;
        self.stream.flush()
    }

    /// Sends close_notify and closes the sending side. Responses can still be read.
    pub fn finish(&mut self) {
        self.stream.conn.send_close_notify();
        self.stream.flush().unwrap();
        self.stream
            .sock
            .shutdown(std::net::Shutdown::Write)
            .unwrap();
    }

    /// Sends a GET for `target` at `PUBLIC` and returns the response.
    pub fn get(&mut self, target: &str) -> Response {
        self.send(format!("GET {target} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
        self.response()
    }

    /// Returns the next complete response.
    pub fn response(&mut self) -> Response {
        self.read_response(false).expect("a complete response")
    }

    /// Returns the next response, which is to a HEAD and ends with its header fields.
    pub fn response_to_head(&mut self) -> Response {
        self.read_response(true).expect("a complete response")
    }

    /// Returns `None` if the connection closes before the response is complete.
    pub fn try_response(&mut self) -> Option<Response> {
        self.read_response(false)
    }

    fn read_response(&mut self, head_only: bool) -> Option<Response> {
        loop {
            let whole = parse(&self.buffer, head_only, false);
            if let Some((response, length)) = whole {
                self.buffer.drain(..length);
                return Some(response);
            }
            if self.fill().is_err() {
                let (response, length) = parse(&self.buffer, head_only, true)?;
                self.buffer.drain(..length);
                return Some(response);
            }
        }
    }

    /// Returns how the connection closes. No bytes may arrive before that.
    pub fn end(&mut self) -> End {
        match self.fill() {
            Ok(()) => panic!(
                "received instead of the close: {}",
                self.buffer.escape_ascii()
            ),
            Err(end) => end,
        }
    }

    /// Returns all bytes until the connection closes, and how it closes.
    pub fn until_end(&mut self) -> (Vec<u8>, End) {
        loop {
            if let Err(end) = self.fill() {
                return (std::mem::take(&mut self.buffer), end);
            }
        }
    }

    /// Returns the bytes that were received and not used, once there are at least `count` of them.
    pub fn bytes(&mut self, count: usize) -> &[u8] {
        while self.buffer.len() < count {
            self.fill().expect("more bytes");
        }
        &self.buffer
    }

    /// Returns whether there are bytes after the last complete response.
    pub fn has_bytes(&self) -> bool {
        !self.buffer.is_empty()
    }

    /// Returns whether bytes or the close arrive within `time`.
    pub fn receives_within(&mut self, time: Duration) -> bool {
        if !self.buffer.is_empty() {
            return true;
        }
        self.stream.sock.set_read_timeout(Some(time)).unwrap();
        let mut piece = [0; 16 << 10];
        let read = self.stream.read(&mut piece);
        self.stream.sock.set_read_timeout(Some(MAX_WAIT)).unwrap();
        match read {
            Ok(read) => {
                self.buffer.extend_from_slice(&piece[..read]);
                true
            }
            Err(error) => error.kind() != ErrorKind::WouldBlock,
        }
    }

    /// Returns header and payload of the next HTTP/2 frame, or `None` if the connection closes instead.
    pub fn frame(&mut self) -> Option<([u8; 9], Vec<u8>)> {
        const HEAD: usize = 9;
        loop {
            if let Some(head) = self.buffer.first_chunk::<HEAD>().copied() {
                let [a, b, c, ..] = head;
                let length = u32::from_be_bytes([0, a, b, c]) as usize;
                if let Some(payload) = self.buffer.get(HEAD..HEAD + length) {
                    let payload = payload.to_vec();
                    self.buffer.drain(..HEAD + length);
                    return Some((head, payload));
                }
            }
            self.fill().ok()?;
        }
    }

    /// Reads the next bytes.
    fn fill(&mut self) -> Result<(), End> {
        let mut piece = [0; 16 << 10];
        match self.stream.read(&mut piece) {
            Ok(0) => Err(End::CloseNotify),
            Ok(read) => {
                self.buffer.extend_from_slice(&piece[..read]);
                Ok(())
            }
            Err(error) => Err(match error.kind() {
                ErrorKind::UnexpectedEof => End::Cut,
                ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => End::Reset,
                _ => panic!("neither bytes nor a close arrived: {error}"),
            }),
        }
    }

    /// Returns the certificate that the proxy presented.
    pub fn certificate(&self) -> CertificateDer<'static> {
        self.stream.conn.peer_certificates().unwrap()[0].clone()
    }

    /// Returns whether the handshake resumed an earlier session.
    pub fn is_resumed(&self) -> bool {
        self.stream.conn.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
    }

    pub fn alpn(&self) -> Option<&[u8]> {
        self.stream.conn.alpn_protocol()
    }

    /// Returns the connection below TLS, for bytes outside of it.
    pub fn tcp(&self) -> &TcpStream {
        &self.stream.sock
    }

    pub fn local_address(&self) -> SocketAddr {
        self.stream.sock.local_addr().unwrap()
    }
}

/// A response as received.
#[derive(Clone, Debug, Default)]
pub struct Response {
    /// The status line and header fields, byte for byte.
    pub head: String,
    pub version: String,
    pub status: u16,
    /// The header fields in their order, with names in lower case.
    pub fields: Vec<(String, String)>,
    /// The body without chunked coding.
    pub body: Vec<u8>,
}

impl Response {
    /// Parses a response that ends with `raw`.
    pub fn parse(raw: &[u8]) -> Option<Self> {
        parse(raw, false, true).map(|(response, _)| response)
    }

    /// Returns the value of a header field that must not be repeated, or `None` if it is absent.
    pub fn field(&self, name: &str) -> Option<&str> {
        let mut values = self.fields.iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| &value[..]);
        assert!(values.next().is_none(), "{name} is repeated");
        value
    }

    /// Returns the reason word of a response by the proxy itself (`details` of Proxy-Status).
    pub fn reason(&self) -> Option<&str> {
        let status = self.field("proxy-status")?;
        assert!(status.starts_with("ndes-proxy; error="), "{status}");
        status.split('"').nth(1)
    }

    /// Asserts that the proxy refused the request with this status and reason word.
    #[track_caller]
    pub fn assert_refused(&self, status: u16, reason: &str) {
        let found = (self.status, self.reason());
        assert_eq!(found, (status, Some(reason)), "{}", self.text());
    }

    pub fn text(&self) -> String {
        self.head.clone() + &String::from_utf8_lossy(&self.body)
    }
}

/// Returns the first response in `raw` and its length, or `None` if it is incomplete.
fn parse(raw: &[u8], head_only: bool, ended: bool) -> Option<(Response, usize)> {
    let end = 4 + raw.windows(4).position(|four| four == b"\r\n\r\n")?;
    let head = String::from_utf8(raw[..end].to_vec()).expect("an ASCII head");
    let mut lines = head.trim_end().split("\r\n");
    let mut status_line = lines.next()?.splitn(3, ' ');
    let version = status_line.next()?.to_owned();
    let status = status_line.next()?.parse().expect("a status");
    let fields: Vec<_> = lines
        .map(|line| line.split_once(':').expect("a field"))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let mut response = Response {
        version,
        status,
        fields,
        body: Vec::new(),
        head: head.clone(),
    };
    let rest = &raw[end..];
    let bodiless = head_only || status < 200 || status == 204 || status == 304;
    let used = if bodiless {
        0
    } else if response.field("transfer-encoding") == Some("chunked") {
        let (body, used) = chunks(rest)?;
        response.body = body;
        used
    } else if let Some(length) = response.field("content-length") {
        let length: usize = length.parse().expect("a length");
        response.body = rest.get(..length)?.to_vec();
        length
    } else {
        response.body = ended.then(|| rest.to_vec())?;
        rest.len()
    };
    Some((response, end + used))
}

fn chunks(raw: &[u8]) -> Option<(Vec<u8>, usize)> {
    let (mut body, mut at) = (Vec::new(), 0);
    loop {
        let line = raw[at..].windows(2).position(|two| two == b"\r\n")?;
        let digits = std::str::from_utf8(&raw[at..at + line]).unwrap();
        let size = usize::from_str_radix(digits, 16).expect("a chunk size");
        at += line + 2;
        let data = raw.get(at..at + size + 2)?;
        assert_eq!(&data[size..], b"\r\n");
        body.extend_from_slice(&data[..size]);
        at += size + 2;
        if size == 0 {
            return Some((body, at));
        }
    }
}
