//! The HTTPS origin behind all proxies: a child process of the bench, one thread, as little work as possible.
//!
//! It answers every request with a receipt (how long target and body were), or with 1 MB or a CertRep where the target
//! asks for it.
//! It checks nothing: it is not what is measured.

use std::io::{BufRead, BufReader, Read, Write};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use memchr::memmem;
use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use crate::Result;
use crate::request::{ENROL_MARK, LARGE_ANSWER, LARGE_MARK, cert_rep, receipt};

/// The child process as the bench sees it; ended when dropped.
pub(crate) struct Origin {
    pub(crate) port: u16,
    child: Child,
}

impl Origin {
    /// Starts this program a second time as [`run`], and waits for its port.
    pub(crate) fn start(dir: &Path) -> Result<Self> {
        let mut child = Command::new(std::env::current_exe()?)
            .arg("--origin")
            .arg(dir)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()?;
        let mut line = String::new();
        if let Some(output) = child.stdout.take() {
            BufReader::new(output).read_line(&mut line)?;
        }
        let port = line
            .trim()
            .parse()
            .map_err(|_| "the origin does not start")?;
        Ok(Self { port, child })
    }

    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }
}

impl Drop for Origin {
    fn drop(&mut self) {
        drop(self.child.stdin.take());
        let _ = self.child.wait();
    }
}

/// Serves with `origin.pem` and `origin.key` of `dir` on a free port of the loopback, which it prints; ends when its
/// standard input is closed, so it never outlives the bench.
pub(crate) fn run(dir: &Path) -> Result<()> {
    let acceptor = TlsAcceptor::from(Arc::new(tls(dir)?));
    std::thread::spawn(|| {
        let _ = std::io::stdin().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        println!("{}", listener.local_addr()?.port());
        std::io::stdout().flush()?;
        loop {
            let (stream, _) = listener.accept().await?;
            let acceptor = acceptor.clone();
            tokio::spawn(async move {
                if let Err(e) = serve(stream, acceptor).await {
                    eprintln!("origin: {e}");
                }
            });
        }
    })
}

fn tls(dir: &Path) -> Result<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let pem = std::fs::read(dir.join("origin.pem"))?;
    let chain: std::io::Result<Vec<CertificateDer<'static>>> =
        rustls_pemfile::certs(&mut &*pem).collect();
    let key = rustls_pemfile::private_key(&mut &*std::fs::read(dir.join("origin.key"))?)?
        .ok_or("origin.key holds no key")?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?)
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let large = answer(&vec![b'x'; LARGE_ANSWER]);
    let cert_rep = answer(cert_rep());
    let mut buffer = Vec::with_capacity(128 << 10);
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        match request.wants {
            Wants::Large => stream.write_all(&large).await?,
            Wants::CertRep => stream.write_all(&cert_rep).await?,
            Wants::Receipt => {
                let receipt = receipt(request.target, request.body);
                stream.write_all(&answer(&receipt)).await?;
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

fn answer(body: &[u8]) -> Vec<u8> {
    let head = format!(
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-pki-message\r\nServer: Microsoft-IIS/10.0\r\n\
         Date: Sun, 22 Nov 2026 12:00:00 GMT\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat()
}

struct Request {
    target: usize,
    body: usize,
    wants: Wants,
}

enum Wants {
    Receipt,
    CertRep,
    Large,
}

/// Reads one request, head and body; `None` when the proxy has closed the connection between two.
async fn read_request(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Option<Request>> {
    buffer.clear();
    let mut seen = 0;
    let head = loop {
        // A proxy may drop an idle connection without a close_notify.
        let read = stream.read_buf(buffer).await;
        if buffer.is_empty() {
            return Ok(None);
        }
        if read? == 0 {
            return Err("the proxy closed within a request".into());
        }
        if let Some(at) = memmem::find(&buffer[seen..], b"\r\n\r\n") {
            break seen + at + 4;
        }
        seen = buffer.len().saturating_sub(3);
    };
    let (target, wants, body) = parse(&buffer[..head])?;
    while buffer.len() < head + body {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the proxy closed within a body".into());
        }
    }
    Ok(Some(Request {
        target,
        body,
        wants,
    }))
}

/// Length of the target, what it asks for, and the length of the body.
fn parse(head: &[u8]) -> Result<(usize, Wants, usize)> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut request = httparse::Request::new(&mut fields);
    request.parse(head)?;
    let target = request.path.unwrap_or_default().as_bytes();
    let mut body = 0;
    for field in request.headers {
        if field.name.eq_ignore_ascii_case("content-length") {
            body = std::str::from_utf8(field.value)?.trim().parse()?;
        } else if field.name.eq_ignore_ascii_case("transfer-encoding") {
            return Err("a body without a length".into());
        }
    }
    let wants = if target.ends_with(LARGE_MARK) {
        Wants::Large
    } else if target.ends_with(ENROL_MARK) {
        Wants::CertRep
    } else {
        Wants::Receipt
    };
    Ok((target.len(), wants, body))
}
