//! The HTTPS origin behind all proxies: a child process of the bench with one thread, which does as
//! little work as possible.
//!
//! It responds to a request with a receipt that states the lengths of target and body, or with 1 MB
//! or a CertRep if the target asks for it. It checks nothing, because it is not what is measured.

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
use crate::request::{ENROL_MARK, LARGE_MARK, LARGE_RESPONSE_BYTES, cert_rep, receipt};

/// The child process, as seen by the bench. Dropping it ends the process.
pub(crate) struct Origin {
    pub(crate) port: u16,
    child: Child,
}

impl Origin {
    /// Starts this program again as [`run`], and waits for its port.
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
            .map_err(|_| "the origin did not start")?;
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

/// Serves with `origin.pem` and `origin.key` of `dir` on a free loopback port, which it prints.
/// Exits when its standard input is closed, so that it never outlives the bench.
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
        .ok_or("origin.key contains no key")?;
    Ok(ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain?, key)?)
}

async fn serve(stream: TcpStream, acceptor: TlsAcceptor) -> Result<()> {
    stream.set_nodelay(true)?;
    let mut stream = acceptor.accept(stream).await?;
    let large = response(&vec![b'x'; LARGE_RESPONSE_BYTES]);
    let cert_rep = response(cert_rep());
    let mut buffer = Vec::with_capacity(128 << 10);
    while let Some(request) = read_request(&mut stream, &mut buffer).await? {
        match request.reply {
            Reply::Large => stream.write_all(&large).await?,
            Reply::CertRep => stream.write_all(&cert_rep).await?,
            Reply::Receipt => {
                let receipt = receipt(request.target, request.body);
                stream.write_all(&response(&receipt)).await?;
            }
        }
        stream.flush().await?;
    }
    Ok(())
}

fn response(body: &[u8]) -> Vec<u8> {
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
    reply: Reply,
}

enum Reply {
    Receipt,
    CertRep,
    Large,
}

/// Reads one request with its body. Returns `None` if the proxy has closed the connection between
/// two requests.
async fn read_request(
    stream: &mut (impl AsyncReadExt + Unpin),
    buffer: &mut Vec<u8>,
) -> Result<Option<Request>> {
    buffer.clear();
    let mut seen = 0;
    let head = loop {
        // A proxy may close an idle connection without close_notify.
        let read = stream.read_buf(buffer).await;
        if buffer.is_empty() {
            return Ok(None);
        }
        if read? == 0 {
            return Err("the proxy closed the connection within a request head".into());
        }
        if let Some(at) = memmem::find(&buffer[seen..], b"\r\n\r\n") {
            break seen + at + 4;
        }
        seen = buffer.len().saturating_sub(3);
    };
    let (target, reply, body) = parse(&buffer[..head])?;
    while buffer.len() < head + body {
        if stream.read_buf(buffer).await? == 0 {
            return Err("the proxy closed the connection within a request body".into());
        }
    }
    Ok(Some(Request {
        target,
        body,
        reply,
    }))
}

/// Returns the length of the target, the requested reply, and the length of the body.
fn parse(head: &[u8]) -> Result<(usize, Reply, usize)> {
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
    let reply = if target.ends_with(LARGE_MARK) {
        Reply::Large
    } else if target.ends_with(ENROL_MARK) {
        Reply::CertRep
    } else {
        Reply::Receipt
    };
    Ok((target.len(), reply, body))
}
