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

/// Bytes that are collected before they are written, as one TLS record instead of many.
const RECORD: usize = 16 << 10;

/// The capacity for the head of a response.
const HEAD: usize = 1_024;

/// How the client finds the end of the body (RFC 9112 §6.3).
#[derive(Clone, Copy, PartialEq, Eq)]
enum BodyFraming {
    /// There is no body, whatever the header fields say.
    NoBody,
    Length(u64),
    Chunked,
    UntilClose,
}

/// What a request determines about its response.
#[derive(Clone, Copy)]
pub(super) struct ResponseOptions {
    pub(super) version: Version,
    pub(super) head_only: bool,
    pub(super) keep_alive: bool,
}

/// Writes all of `response`. Returns `true` if the connection can carry another request.
pub(super) async fn write(
    connection: &mut Connection,
    response: Response<Body>,
    options: ResponseOptions,
) -> io::Result<bool> {
    let (parts, body) = response.into_parts();
    let framing = framing(parts.status, &body, options);
    let asked_to_close = parts
        .headers
        .get(CONNECTION)
        .is_some_and(|value| value == "close");
    let keep_alive = options.keep_alive && !asked_to_close && framing != BodyFraming::UntilClose;

    let body_bytes = match framing {
        BodyFraming::Length(length) => usize::try_from(length).unwrap_or(RECORD).min(RECORD),
        BodyFraming::NoBody | BodyFraming::Chunked | BodyFraming::UntilClose => 0,
    };
    let mut out = BytesMut::with_capacity(HEAD + body_bytes);
    let reason = parts.status.canonical_reason().unwrap_or_default();
    for piece in ["HTTP/1.1 ", parts.status.as_str(), " ", reason, "\r\n"] {
        out.extend_from_slice(piece.as_bytes());
    }
    for (name, value) in &parts.headers {
        // The proxy sets these fields; a response to HEAD keeps the length that a GET would have.
        if [CONNECTION, TRANSFER_ENCODING].contains(name)
            || (*name == CONTENT_LENGTH && framing != BodyFraming::NoBody)
        {
            continue;
        }
        for piece in [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"] {
            out.extend_from_slice(piece);
        }
    }
    if !parts.headers.contains_key(DATE) {
        append(
            &mut out,
            format_args!(
                "date: {}\r\n",
                httpdate::HttpDate::from(std::time::SystemTime::now())
            ),
        );
    }
    match framing {
        BodyFraming::Length(length) => {
            let mut buffer = itoa::Buffer::new();
            let digits = buffer.format(length).as_bytes();
            for piece in [b"content-length: ", digits, b"\r\n"] {
                out.extend_from_slice(piece);
            }
        }
        BodyFraming::Chunked => out.extend_from_slice(b"transfer-encoding: chunked\r\n"),
        BodyFraming::NoBody | BodyFraming::UntilClose => {}
    }
    if !keep_alive {
        out.extend_from_slice(b"connection: close\r\n");
    }
    out.extend_from_slice(b"\r\n");
    write_body(connection, out, body, framing).await?;
    Ok(keep_alive)
}

/// Writes `out`, which begins with the head, and then the body.
async fn write_body(
    connection: &mut Connection,
    mut out: BytesMut,
    body: Body,
    framing: BodyFraming,
) -> io::Result<()> {
    let mut body = pin!(body);
    let mut remaining = match framing {
        BodyFraming::Length(length) => length,
        BodyFraming::NoBody | BodyFraming::Chunked | BodyFraming::UntilClose => u64::MAX,
    };
    loop {
        // Data that is available is collected. Before a wait, all of it is written.
        let frame = match std::future::poll_fn(|cx| Poll::Ready(body.as_mut().poll_frame(cx))).await
        {
            Poll::Ready(frame) => frame,
            Poll::Pending => {
                write_out(connection, &mut out).await?;
                connection.flush().await?;
                body.frame().await
            }
        };
        let Some(frame) = frame else { break };
        let data = frame
            .map_err(io::Error::other)?
            .into_data()
            .unwrap_or_default();
        remaining = remaining
            .checked_sub(data.len() as u64)
            .ok_or(io::ErrorKind::InvalidData)?;
        match framing {
            BodyFraming::NoBody => continue,
            BodyFraming::Chunked => {
                append(&mut out, format_args!("{:x}\r\n", data.len()));
                write_buffered(connection, &mut out, &data).await?;
                out.extend_from_slice(b"\r\n");
            }
            BodyFraming::Length(_) | BodyFraming::UntilClose => {
                write_buffered(connection, &mut out, &data).await?
            }
        }
    }
    match framing {
        BodyFraming::Chunked => out.extend_from_slice(b"0\r\n\r\n"),
        // The upstream sent less than it announced, and no client may take this for a complete
        // response.
        BodyFraming::Length(_) if remaining > 0 => return Err(io::ErrorKind::UnexpectedEof.into()),
        BodyFraming::Length(_) | BodyFraming::NoBody | BodyFraming::UntilClose => {}
    }
    write_out(connection, &mut out).await?;
    connection.flush().await
}

fn framing(status: StatusCode, body: &Body, options: ResponseOptions) -> BodyFraming {
    match body.size_hint().exact() {
        _ if options.head_only
            || matches!(status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED) =>
        {
            BodyFraming::NoBody
        }
        Some(length) => BodyFraming::Length(length),
        None if options.version == Version::Http10 => BodyFraming::UntilClose,
        None => BodyFraming::Chunked,
    }
}

/// Collects small pieces in `out`. Large ones go to TLS without another copy.
async fn write_buffered(
    connection: &mut Connection,
    out: &mut BytesMut,
    data: &Bytes,
) -> io::Result<()> {
    if out.len() + data.len() <= RECORD {
        out.extend_from_slice(data);
        return Ok(());
    }
    write_out(connection, out).await?;
    connection.write(data).await
}

/// Writes the bytes in `out` and empties it.
async fn write_out(connection: &mut Connection, out: &mut BytesMut) -> io::Result<()> {
    if !out.is_empty() {
        connection.write(out).await?;
        out.clear();
    }
    Ok(())
}

fn append(out: &mut BytesMut, text: std::fmt::Arguments<'_>) {
    // Writing to memory does not fail.
    _ = out.write_fmt(text);
}
