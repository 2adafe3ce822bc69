//! HTTP/2: one connection with concurrent requests. `load` and `preflight` use it.

use bytes::Bytes;
use h2::client::SendRequest;
use http::{HeaderMap, Request};
use tokio::sync::OnceCell;

use crate::Result;
use crate::client::{Client, TIMEOUT};

/// A flow-control window that no response fills, so that no response waits for the client.
const WINDOW: u32 = 16 << 20;

/// A connection that opens with the first request.
pub(crate) struct Multiplexed {
    client: Client,
    sender: OnceCell<SendRequest<Bytes>>,
}

/// Status code and body.
pub(crate) type Response = (u16, Vec<u8>);

impl Multiplexed {
    pub(crate) fn new(client: Client) -> Self {
        Self {
            client,
            sender: OnceCell::new(),
        }
    }

    /// Sends `request` concurrently with all others and reads the complete response.
    pub(crate) async fn exchange(&self, request: &Request<Bytes>) -> Result<Response> {
        tokio::time::timeout(TIMEOUT, self.exchange_unbounded(request))
            .await
            .map_err(|_| "no complete response within 10 s")?
    }

    async fn exchange_unbounded(&self, request: &Request<Bytes>) -> Result<Response> {
        let sender = self.sender.get_or_try_init(|| self.connect()).await?;
        let mut sender = sender.clone().ready().await?;
        let (parts, body) = request.clone().into_parts();
        let head = Request::from_parts(parts, ());
        let (response, mut stream) = sender.send_request(head, body.is_empty())?;
        if !body.is_empty() {
            stream.send_data(body, true)?;
        }
        let (head, mut body) = response.await?.into_parts();
        let mut whole = Vec::new();
        while let Some(data) = body.data().await {
            let data = data?;
            body.flow_control().release_capacity(data.len())?;
            whole.extend_from_slice(&data);
        }
        Ok((head.status.as_u16(), whole))
    }

    async fn connect(&self) -> Result<SendRequest<Bytes>> {
        let stream = self.client.open().await?;
        if stream.get_ref().1.alpn_protocol() != Some(b"h2") {
            return Err("the proxy does not offer HTTP/2".into());
        }
        let mut builder = h2::client::Builder::new();
        builder
            .initial_window_size(WINDOW)
            .initial_connection_window_size(WINDOW);
        let (sender, connection) = builder.handshake(stream).await?;
        // An error of the connection also fails each of its requests, so it is not lost here.
        tokio::spawn(connection);
        Ok(sender)
    }
}

/// Translates an HTTP/1.1 request to HTTP/2.
pub(crate) fn translate(request: &[u8]) -> Result<Request<Bytes>> {
    let mut fields = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut fields);
    let httparse::Status::Complete(end) = head.parse(request)? else {
        return Err("an incomplete request".into());
    };
    let mut headers = HeaderMap::new();
    let mut host = "";
    for field in head.headers {
        if field.name == "Host" {
            host = std::str::from_utf8(field.value)?;
        } else {
            let name = http::HeaderName::from_bytes(field.name.as_bytes())?;
            headers.insert(name, field.value.try_into()?);
        }
    }
    let target = head.path.unwrap_or_default();
    let mut translated = Request::builder()
        .method(head.method.unwrap_or_default())
        .uri(
            http::Uri::builder()
                .scheme("https")
                .authority(host)
                .path_and_query(target)
                .build()?,
        )
        .version(http::Version::HTTP_2)
        .body(Bytes::copy_from_slice(&request[end..]))?;
    *translated.headers_mut() = headers;
    Ok(translated)
}
