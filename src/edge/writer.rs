//! Writes an HTTP/1 response (RFC 9112 §6).

use std::fmt::Write;
use std::io;
use std::pin::pin;
use std::task::Poll;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, CONTENT_LENGTH, DATE, TRANSFER_ENCODING};
use http::{Response, StatusCode};
use http_body::Body as _;
use http_body_util::BodyExt;

use super::connection::Connection;
use crate::base::head::Version;
use crate::proxy::body::Body;

/// Bytes that are gathered before they are written, as one TLS record instead of many.
const RECORD: usize = 16 << 10;

/// Room for a head.
const HEAD: usize = 1_024;

/// How the client learns where the body ends.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Delimiter {
    /// There is no body, whatever the header fields say.
    NoBody,
    Length(u64),
    Chunks,
    Close,
}

/// What a request determines about its response.
#[derive(Clone, Copy)]
pub(super) struct Form {
    pub(super) version: Version,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
}

/// Writes all of `response`. Returns `true` if the connection can carry another request.
pub(super) async fn write(
    connection: &mut Connection,
    response: Response<Body>,
    form: Form,
) -> io::Result<bool> {
    let (parts, body) = response.into_parts();
    let delimiter = delimiter(parts.status, &body, form);
    let asked_to_close = parts
        .headers
        .get(CONNECTION)
        .is_some_and(|value| value == "close");
    let keep_alive = form.keep_alive && !asked_to_close && delimiter != Delimiter::Close;

    let body_bytes = match delimiter {
        Delimiter::Length(length) => usize::try_from(length).unwrap_or(RECORD).min(RECORD),
        Delimiter::NoBody | Delimiter::Chunks | Delimiter::Close => 0,
    };
    let mut out = BytesMut::with_capacity(HEAD + body_bytes);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    for piece in ["HTTP/1.1 ", parts.status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &parts.headers {
        // The proxy sets these fields; a response to HEAD keeps the length that a GET would have.
        if [CONNECTION, TRANSFER_ENCODING].contains(name)
            || (*name == CONTENT_LENGTH && delimiter != Delimiter::NoBody)
        {
            continue;
        }
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    if !parts.headers.contains_key(DATE) {
        put(
            &mut out,
            format_args!(
                "date: {}\r\n",
                httpdate::HttpDate::from(std::time::SystemTime::now())
            ),
        );
    }
    match delimiter {
        Delimiter::Length(length) => {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(length).as_bytes();
            for piece in [b"content-length: ", digits, b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
        Delimiter::Chunks => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        Delimiter::NoBody | Delimiter::Close => {}
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    write_body(connection, out, body, delimiter).await?;
    Ok(keep_alive)
}

async fn write_body(
    connection: &mut Connection,
    mut out: BytesMut,
    body: Body,
    delimiter: Delimiter,
) -> io::Result<()> {
    let mut body = pin!(body);
    let mut left = match delimiter {
        Delimiter::Length(length) => length,
        Delimiter::NoBody | Delimiter::Chunks | Delimiter::Close => u64::MAX,
    };
    loop {
        // Pieces that are there are gathered; before a wait all of them are written.
        let frame = match std::future::poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await
        {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                send(connection, &mut out).await?;
                connection.flush().await?;
                body.frame().await
            }
        };
        let Some(frame) = frame else { break };
        let data = frame
            .map_err(io::Error::other)?
            .into_data()
            .unwrap_or_default();
        left = left
            .checked_sub(data.len() as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        match delimiter {
            Delimiter::NoBody => continue,
            Delimiter::Chunks => {
                put(&mut out, format_args!("{:x}\r\n", data.len()));
                gather(connection, &mut out, &data).await?;
                out.extend_from_slice(b"\r\n");
            }
            Delimiter::Length(_) | Delimiter::Close => gather(connection, &mut out, &data).await?,
        }
    }
    match delimiter {
        Delimiter::Chunks => out.extend_from_slice(b"0\r\n\r\n"),
        // The upstream sent less than it announced, and no client may take this for a complete
        // response.
        Delimiter::Length(_) if left > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        Delimiter::Length(_) | Delimiter::NoBody | Delimiter::Close => {}
    }
    send(connection, &mut out).await?;
    connection.flush().await
}

fn delimiter(status: StatusCode, body: &Body, form: Form) -> Delimiter {
    match body.size_hint().exact() {
        _ if form.head_only
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) =>
        {
            Delimiter::NoBody
        }
        Some(length) => Delimiter::Length(length),
        None if form.version == Version::Http10 => Delimiter::Close,
        None => Delimiter::Chunks,
    }
}

/// Gathers small pieces in `out`; large ones go to TLS without another copy.
async fn gather(connection: &mut Connection, out: &mut BytesMut, data: &Bytes) -> io::Result<()> {
    if out.len() + data.len() <= RECORD {
        out.extend_from_slice(data);
        return Ok(());
    }
    send(connection, out).await?;
    connection.write(data).await
}

async fn send(connection: &mut Connection, out: &mut BytesMut) -> io::Result<()> {
    if !out.is_empty() {
        connection.write(out).await?;
        out.clear();
    }
    Ok(())
}

fn put(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    _ = out.write_fmt(text);
}
