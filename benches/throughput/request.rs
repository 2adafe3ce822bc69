//! The requests and the expected responses, which the load generator and the origin share.

use crate::pki::PUBLIC_NAME;

/// Length of the longest URI that a proxy must pass.
pub(crate) const URI_BYTES: usize = 65534;

/// Length of the response body to [`Request::LargeResponse`].
pub(crate) const LARGE_RESPONSE_BYTES: usize = 1 << 20;
/// The end of the query of [`Request::LargeResponse`], by which the origin recognises it.
pub(crate) const LARGE_MARK: &[u8] = b"message=large";

/// The end of the query of [`Request::Enrol`], by which the origin recognises it.
pub(crate) const ENROL_MARK: &[u8] = b"message=enrol";

/// A PKCSReq of micromdm's scepclient with a 4096-bit RSA key, as captured.
const PKCS_REQ: &[u8] =
    include_bytes!("../../tests/corpus/raw/118-big-scepclient-rsa4096-post-post-pkioperation.req");
/// The response to it.
const CERT_REP: &[u8] =
    include_bytes!("../../tests/corpus/raw/118-big-scepclient-rsa4096-post-post-pkioperation.resp");

const PATH: &str = "/certsrv/mscep/mscep.dll";
const BASE64: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

#[derive(Clone, Copy)]
pub(crate) enum Request {
    ShortGet,
    /// A PKIOperation by GET whose URI has this many bytes.
    LongGet(usize),
    /// A PKIOperation by POST whose body has this many bytes.
    Post(usize),
    /// A real PKCSReq and its CertRep. If `read_as_scep` is false, it is sent as another operation,
    /// whose message the proxy does not read: this is the cost without reading SCEP.
    Enrol {
        read_as_scep: bool,
    },
    /// A short GET with a response of 1 MB.
    LargeResponse,
}

impl Request {
    /// Returns the bytes to send over HTTP/1.
    pub(crate) fn bytes(self, host: &str) -> Vec<u8> {
        match self {
            Self::ShortGet => get(&format!("{PATH}?operation=GetCACaps&message=ndes"), host),
            Self::LongGet(length) => get(&long_target(length), host),
            Self::LargeResponse => {
                let mark = String::from_utf8_lossy(LARGE_MARK);
                get(&format!("{PATH}?operation=GetCACert&{mark}"), host)
            }
            Self::Enrol { read_as_scep } => {
                let operation = if read_as_scep {
                    "PKIOperation"
                } else {
                    "GetCACertChain"
                };
                let mark = String::from_utf8_lossy(ENROL_MARK);
                let message = body(PKCS_REQ);
                let target = format!("{PATH}?operation={operation}&{mark}");
                [&post(&target, host, message.len()), message].concat()
            }
            Self::Post(length) => {
                let head = post(&post_target(), host, length);
                // Binary: all byte values, and no runs that could accidentally be compressed.
                let body = (0..length).map(|i| (i * 167 + i / 251) as u8);
                head.into_iter().chain(body).collect()
            }
        }
    }

    /// Returns the body of the response if the origin received the complete request, or `None` for
    /// the large response, of which only the length is checked.
    pub(crate) fn expected_response(self) -> Option<Vec<u8>> {
        let short = |request: &[u8], body| {
            let target = request.split(|&b| b == b' ').nth(1).map_or(0, <[u8]>::len);
            receipt(target, body)
        };
        match self {
            Self::ShortGet | Self::LongGet(_) => Some(short(&self.bytes(PUBLIC_NAME), 0)),
            Self::Post(length) => Some(short(&self.bytes(PUBLIC_NAME), length)),
            Self::Enrol { .. } => Some(cert_rep().to_vec()),
            Self::LargeResponse => None,
        }
    }
}

/// Returns the body of the origin's response to [`Request::Enrol`].
pub(crate) fn cert_rep() -> &'static [u8] {
    body(CERT_REP)
}

/// Returns the bytes after the head of an HTTP message.
fn body(message: &'static [u8]) -> &'static [u8] {
    memchr::memmem::find(message, b"\r\n\r\n").map_or(&[], |end| &message[end + 4..])
}

fn post(target: &str, host: &str, length: usize) -> Vec<u8> {
    format!(
        "POST {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: throughput\r\nAccept: */*\r\n\
         Content-Type: application/x-pki-message\r\nContent-Length: {length}\r\n\r\n"
    )
    .into_bytes()
}

/// Returns the body of the origin's response to a request whose target and body have these lengths
/// in bytes. As a response to GetCACaps it offers POST, as a healthy NDES does.
pub(crate) fn receipt(target: usize, body: usize) -> Vec<u8> {
    format!("target {target:>8} body {body:>8}\nPOSTPKIOperation\n").into_bytes()
}

/// Returns a GET of `target` as a SCEP client sends it.
pub(crate) fn get(target: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {target} HTTP/1.1\r\nHost: {host}\r\nUser-Agent: throughput\r\nAccept: */*\r\n\r\n"
    )
    .into_bytes()
}

/// Returns the target of a PKIOperation by GET with exactly `length` bytes.
pub(crate) fn long_target(length: usize) -> String {
    let mut target = format!("{PATH}?operation=PKIOperation&message=");
    let missing = length.saturating_sub(target.len());
    target.extend((0..missing).map(|i| char::from(BASE64[(i * 37 + i / 64) % BASE64.len()])));
    target
}

fn post_target() -> String {
    format!("{PATH}?operation=PKIOperation")
}
