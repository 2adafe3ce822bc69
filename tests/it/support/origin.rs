//! An upstream that responds with given bytes, and records what it receives.

use std::io::{ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};

use ndes_proxy::commands::demo::pki::Issued;
use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::pki::pki;
use super::{MAX_WAIT, eventually};

/// A TLS server that runs until it is dropped.
pub struct Origin {
    pub address: SocketAddr,
    state: Arc<State>,
}

#[derive(Default)]
struct State {
    accepted: AtomicUsize,
    /// Connections whose handshake failed.
    refused: AtomicUsize,
    /// The raw bytes of each connection, in the order of their handshakes.
    raw: Mutex<Vec<Vec<u8>>>,
    requests: Mutex<Vec<Received>>,
    stopped: AtomicBool,
}

/// A request as received.
#[derive(Clone, Debug)]
pub struct Received {
    /// The index of its connection.
    pub connection: usize,
    /// The head, byte for byte, including the empty line.
    pub head: Vec<u8>,
    pub body: Vec<u8>,
}

impl Origin {
    /// Calls `script` for each request, which writes the response to the wire.
    pub fn start(script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static) -> Self {
        Self::with_certificate(&pki().internal, script)
    }

    /// Responds with the same bytes to each request.
    pub fn answering(bytes: impl Into<Vec<u8>>) -> Self {
        let bytes = bytes.into();
        Self::start(move |_, wire| wire.send(&bytes))
    }

    /// Responds with 200 and a short body to each request.
    pub fn ok() -> Self {
        Self::answering(answer(
            200,
            &["Content-Type: text/plain"],
            b"from the origin",
        ))
    }

    pub fn with_certificate(
        certificate: &Issued,
        script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        Self::with_config(certificate.server_config().unwrap(), script)
    }

    pub fn with_config(
        config: ServerConfig,
        script: impl Fn(&Received, &mut Wire) + Send + Sync + 'static,
    ) -> Self {
        let config = Arc::new(config);
        Self::raw_tcp(move |state, tcp| serve(state, tcp, config.clone(), &script))
    }

    /// Accepts TCP connections and never sends a byte.
    pub fn silent() -> Self {
        Self::raw_tcp(|_, mut tcp| while matches!(tcp.read(&mut [0; 4_096]), Ok(1..)) {})
    }

    /// Closes each TCP connection at once.
    pub fn closing() -> Self {
        Self::raw_tcp(|_, tcp| drop(tcp))
    }

    fn raw_tcp(serve: impl Fn(&State, TcpStream) + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let (state, serve) = (Arc::new(State::default()), Arc::new(serve));
        let accepting = state.clone();
        std::thread::spawn(move || {
            for tcp in listener.incoming() {
                let (state, serve) = (accepting.clone(), serve.clone());
                if state.stopped.load(Ordering::SeqCst) {
                    return;
                }
                state.accepted.fetch_add(1, Ordering::SeqCst);
                std::thread::spawn(move || serve(&state, tcp.unwrap()));
            }
        });
        Self { address, state }
    }

    /// Returns the number of TCP connections so far.
    pub fn connections(&self) -> usize {
        self.state.accepted.load(Ordering::SeqCst)
    }

    /// Returns the number of connections whose TLS handshake has failed so far.
    pub fn failed_handshakes(&self) -> usize {
        self.state.refused.load(Ordering::SeqCst)
    }

    /// Returns all requests so far, in the order of their arrival.
    pub fn requests(&self) -> Vec<Received> {
        self.state.requests.lock().unwrap().clone()
    }

    /// Returns the last `count` requests.
    pub fn last_requests(&self, count: usize) -> Vec<Received> {
        let requests = self.state.requests.lock().unwrap();
        requests[requests.len() - count..].to_vec()
    }

    /// Returns the only request so far.
    #[track_caller]
    pub fn only_request(&self) -> Received {
        let requests = self.requests();
        assert_eq!(requests.len(), 1, "{requests:?}");
        requests[0].clone()
    }

    /// Returns a function that returns the number of requests so far, for any thread.
    pub fn probe(&self) -> impl Fn() -> usize + Send + 'static {
        let state = self.state.clone();
        move || state.requests.lock().unwrap().len()
    }

    pub fn await_requests(&self, count: usize) {
        eventually(&format!("{count} requests"), || {
            self.state.requests.lock().unwrap().len() >= count
        });
    }

    /// Returns all bytes that arrived inside TLS so far, for each connection.
    pub fn raw(&self) -> Vec<Vec<u8>> {
        self.state.raw.lock().unwrap().clone()
    }

    /// Asserts that no byte has arrived inside TLS.
    #[track_caller]
    pub fn assert_untouched(&self) {
        let raw = self.raw().concat();
        assert!(raw.is_empty(), "received: {}", raw.escape_ascii());
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        self.state.stopped.store(true, Ordering::SeqCst);
        // Wakes the accepting thread.
        _ = TcpStream::connect(self.address);
    }
}

impl Received {
    fn lines(&self) -> impl Iterator<Item = &str> {
        let text = std::str::from_utf8(&self.head).expect("an ASCII head");
        text.trim_end().split("\r\n")
    }

    /// Returns the request line, such as `GET /path HTTP/1.1`.
    pub fn line(&self) -> &str {
        self.lines().next().unwrap_or_default()
    }

    pub fn method(&self) -> &str {
        self.line().split(' ').next().unwrap_or_default()
    }

    pub fn target(&self) -> &str {
        self.line().split(' ').nth(1).unwrap_or_default()
    }

    /// Returns the header fields in their order, with names in lower case.
    pub fn fields(&self) -> Vec<(String, String)> {
        let fields = self.lines().skip(1).map(|line| line.split_once(':'));
        let fields = fields.map(|field| field.expect("a field"));
        fields
            .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
            .collect()
    }

    /// Returns the value of a header field that must not be repeated, or `None` if it is absent.
    pub fn field(&self, name: &str) -> Option<String> {
        let all = self.fields();
        let mut values = all.into_iter().filter(|(known, _)| known == name);
        let value = values.next().map(|(_, value)| value);
        assert!(values.next().is_none(), "{name} is repeated");
        value
    }
}

/// The side of the origin of a connection. Errors are ignored, because the proxy may close it.
pub struct Wire {
    stream: StreamOwned<ServerConnection, TcpStream>,
    open: bool,
}

impl Wire {
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) {
        _ = self.stream.write_all(bytes.as_ref());
        _ = self.stream.flush();
    }

    /// Sends close_notify and FIN.
    pub fn close(&mut self) {
        self.stream.conn.send_close_notify();
        _ = self.stream.flush();
        self.cut();
    }

    /// Sends FIN without close_notify.
    pub fn cut(&mut self) {
        _ = self.stream.sock.shutdown(std::net::Shutdown::Both);
        self.open = false;
    }

    pub fn reset(&mut self) {
        let socket = socket2::SockRef::from(&self.stream.sock);
        _ = socket.set_linger(Some(std::time::Duration::ZERO));
        self.open = false;
    }

    /// Returns once the proxy has closed the connection, for an origin that never responds.
    pub fn until_closed(&mut self) {
        while matches!(self.stream.read(&mut [0; 4_096]), Ok(1..)) {}
        self.open = false;
    }
}

fn serve(
    state: &State,
    tcp: TcpStream,
    config: Arc<ServerConfig>,
    script: &impl Fn(&Received, &mut Wire),
) {
    _ = tcp.set_nodelay(true);
    let tls = ServerConnection::new(config).unwrap();
    let mut stream = StreamOwned::new(tls, tcp);
    while stream.conn.is_handshaking() {
        if stream.conn.complete_io(&mut stream.sock).is_err() {
            // Sends the alert to the client.
            _ = stream.conn.write_tls(&mut stream.sock);
            state.refused.fetch_add(1, Ordering::SeqCst);
            return;
        }
    }
    let connection = {
        let mut raw = state.raw.lock().unwrap();
        raw.push(Vec::new());
        raw.len() - 1
    };
    let (mut wire, mut buffer) = (Wire { stream, open: true }, Vec::new());
    while wire.open {
        while let Some(request) = split_request(connection, &mut buffer) {
            state.requests.lock().unwrap().push(request.clone());
            script(&request, &mut wire);
            if !wire.open {
                return;
            }
        }
        let mut piece = [0; 16 << 10];
        match wire.stream.read(&mut piece) {
            Ok(read @ 1..) => {
                state.raw.lock().unwrap()[connection].extend_from_slice(&piece[..read]);
                buffer.extend_from_slice(&piece[..read]);
            }
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => wire.close(),
        }
    }
}

/// Removes the first complete request from `buffer`. Content-Length is the only framing.
fn split_request(connection: usize, buffer: &mut Vec<u8>) -> Option<Received> {
    let end = 4 + buffer.windows(4).position(|four| four == b"\r\n\r\n")?;
    let mut request = Received {
        connection,
        head: buffer[..end].to_vec(),
        body: Vec::new(),
    };
    let length = request
        .field("content-length")
        .map_or(0, |length| length.parse::<usize>().expect("a length"));
    request.body = buffer.get(end..end + length)?.to_vec();
    buffer.drain(..end + length);
    Some(request)
}

/// Returns a response with Content-Length.
pub fn answer(status: u16, fields: &[&str], body: &[u8]) -> Vec<u8> {
    let mut head = format!("HTTP/1.1 {status} Scripted\r\n");
    for field in fields {
        head += &format!("{field}\r\n");
    }
    head += &format!("Content-Length: {}\r\n\r\n", body.len());
    [head.as_bytes(), body].concat()
}

/// Blocks scripts until a test opens it.
#[derive(Clone, Default)]
pub struct Gate(Arc<(Mutex<bool>, Condvar)>);

impl Gate {
    pub fn open(&self) {
        *self.0.0.lock().unwrap() = true;
        self.0.1.notify_all();
    }

    /// Waits at most `wait` for the gate to open. Returns whether it is open.
    pub fn is_open_after(&self, wait: std::time::Duration) -> bool {
        let closed = self.0.0.lock().unwrap();
        let waited = self.0.1.wait_timeout_while(closed, wait, |open| !*open);
        *waited.unwrap().0
    }

    pub fn pass(&self) {
        let closed = self.0.0.lock().unwrap();
        let passed = self.0.1.wait_timeout_while(closed, MAX_WAIT, |open| !*open);
        drop(passed.unwrap());
    }
}
