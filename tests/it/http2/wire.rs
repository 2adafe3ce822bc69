//! An HTTP/2 client that can send any frames. Its header blocks are literals without indexing, so that
//! they can contain any bytes.

use std::time::Duration;

use crate::support::{Connect, Connection, MSCEP, PUBLIC, Proxy};

pub const DATA: u8 = 0;
pub const HEADERS: u8 = 1;
pub const PRIORITY: u8 = 2;
pub const RST_STREAM: u8 = 3;
pub const SETTINGS: u8 = 4;
pub const PUSH_PROMISE: u8 = 5;
pub const PING: u8 = 6;
pub const GOAWAY: u8 = 7;
pub const WINDOW_UPDATE: u8 = 8;
pub const CONTINUATION: u8 = 9;

pub const END_STREAM: u8 = 1;
pub const ACK: u8 = 1;
pub const END_HEADERS: u8 = 4;
pub const PADDED: u8 = 8;
pub const WITH_PRIORITY: u8 = 0x20;

pub const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// A frame as received.
#[derive(Debug)]
pub struct Frame {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    pub payload: Vec<u8>,
}

impl Frame {
    /// Returns the error code of RST_STREAM or GOAWAY, or the increment of WINDOW_UPDATE.
    pub fn code(&self) -> u32 {
        let at = if self.kind == GOAWAY { 4 } else { 0 };
        u32::from_be_bytes(self.payload[at..at + 4].try_into().unwrap())
    }
}

/// The outcome of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    Answer(u16),
    Reset(u32),
    /// GOAWAY with an error.
    GoAway(u32),
    /// The connection closed without GOAWAY.
    Closed,
}

pub struct Raw {
    pub connection: Connection,
}

impl Raw {
    /// Connects, and sends the preface and empty SETTINGS.
    pub fn open(proxy: &Proxy) -> Self {
        let mut raw = Self::silent(&Connect::to(proxy.https));
        raw.send(&[PREFACE.to_vec(), settings(&[])]);
        raw
    }

    /// Connects without sending the preface.
    pub fn silent(connect: &Connect) -> Self {
        Self {
            connection: connect.clone().alpn(&["h2"]).open(),
        }
    }

    /// Sends all frames in one write.
    pub fn send(&mut self, frames: &[Vec<u8>]) {
        self.connection.send(frames.concat());
    }

    pub fn try_send(&mut self, frames: &[Vec<u8>]) -> std::io::Result<()> {
        self.connection.try_send(frames.concat())
    }

    pub fn frame(&mut self) -> Option<Frame> {
        let (head, payload) = self.connection.frame()?;
        let [_, _, _, kind, flags, stream @ ..] = head;
        let stream = u32::from_be_bytes(stream);
        Some(Frame {
            kind,
            flags,
            stream,
            payload,
        })
    }

    /// Returns the next frame of this kind, and skips all before it.
    pub fn await_frame(&mut self, kind: u8) -> Option<Frame> {
        loop {
            let frame = self.frame()?;
            if frame.kind == kind {
                return Some(frame);
            }
        }
    }

    /// Reads until the outcome of `stream` is known.
    pub fn outcome(&mut self, stream: u32) -> Outcome {
        loop {
            let Some(frame) = self.frame() else {
                return Outcome::Closed;
            };
            match frame.kind {
                HEADERS if frame.stream == stream => {
                    return Outcome::Answer(status(&frame.payload));
                }
                RST_STREAM if frame.stream == stream => return Outcome::Reset(frame.code()),
                GOAWAY if frame.code() != 0 => return Outcome::GoAway(frame.code()),
                _ => {}
            }
        }
    }

    /// Reads until the connection closes. Returns the error code of its last GOAWAY, if any.
    pub fn last_goaway(&mut self) -> Option<u32> {
        let mut code = None;
        while let Some(frame) = self.frame() {
            if frame.kind == GOAWAY {
                code = Some(frame.code());
            }
        }
        code
    }

    /// Returns whether the connection still responds to a PING.
    pub fn pongs(&mut self) -> bool {
        if self.try_send(&[frame(PING, 0, 0, b"are you?")]).is_err() {
            return false;
        }
        while let Some(frame) = self.await_frame(PING) {
            if frame.flags == ACK && frame.payload == b"are you?" {
                return true;
            }
        }
        false
    }

    /// Returns whether only SETTINGS and WINDOW_UPDATE arrive within `time`.
    pub fn is_quiet(&mut self, time: Duration) -> bool {
        while self.connection.receives_within(time) {
            match self.frame() {
                Some(frame) if [SETTINGS, WINDOW_UPDATE].contains(&frame.kind) => {}
                _ => return false,
            }
        }
        true
    }
}

pub fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).unwrap().to_be_bytes();
    let head = [&length[1..], &[kind, flags], &stream.to_be_bytes()].concat();
    [&head, payload].concat()
}

/// Returns a SETTINGS frame with these identifiers and values.
pub fn settings(values: &[(u16, u32)]) -> Vec<u8> {
    let pairs = values
        .iter()
        .flat_map(|(id, value)| [&id.to_be_bytes()[..], &value.to_be_bytes()].concat());
    frame(SETTINGS, 0, 0, &pairs.collect::<Vec<_>>())
}

pub fn headers(flags: u8, stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    frame(HEADERS, flags | END_HEADERS, stream, &block(fields))
}

/// Returns a complete request without body.
pub fn request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    headers(END_STREAM, stream, fields)
}

/// Returns a GET that is served.
pub fn get(stream: u32) -> Vec<u8> {
    request(stream, &of("GET", MSCEP))
}

/// Returns a request that is refused with 404.
pub fn scan(stream: u32) -> Vec<u8> {
    request(stream, &of("GET", "/"))
}

pub fn post(stream: u32, more: &[(&str, &str)]) -> Vec<u8> {
    const TARGET: &str = "/certsrv/mscep/mscep.dll?operation=PKIOperation";
    headers(0, stream, &[&of("POST", TARGET), more].concat())
}

pub fn of<'t>(method: &'t str, target: &'t str) -> Vec<(&'t str, &'t str)> {
    vec![
        (":method", method),
        (":scheme", "https"),
        (":authority", PUBLIC),
        (":path", target),
    ]
}

/// Returns HEADERS and as many CONTINUATION frames as necessary.
pub fn long_request(stream: u32, fields: &[(&str, &str)]) -> Vec<u8> {
    let block = block(fields);
    let pieces: Vec<_> = block.chunks(16 << 10).collect();
    let frames = pieces.iter().enumerate().map(|(number, piece)| {
        let kind = if number == 0 { HEADERS } else { CONTINUATION };
        let first = if number == 0 { END_STREAM } else { 0 };
        let last = if number + 1 == pieces.len() {
            END_HEADERS
        } else {
            0
        };
        frame(kind, first | last, stream, piece)
    });
    frames.collect::<Vec<_>>().concat()
}

/// Encodes each field with a new name and without Huffman code (RFC 7541 §6.2.2).
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            integer(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// Encodes an integer with a prefix of seven bits (RFC 7541 §5.1).
fn integer(block: &mut Vec<u8>, number: usize) {
    if number < 127 {
        return block.push(number as u8);
    }
    block.push(127);
    let mut rest = number - 127;
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// Returns the status in the first header block of a connection (RFC 7541 Appendix A and B).
fn status(block: &[u8]) -> u16 {
    const INDEXED: [u16; 7] = [200, 204, 206, 304, 400, 404, 500];
    match block {
        // The encoder confirms the table size that was set.
        [0x20..=0x3E, rest @ ..] | [0x3F, 0..=0x7F, rest @ ..] => status(rest),
        [0x3F, 0x80..=0xFF, 0..=0x7F, rest @ ..] => status(rest),
        [first @ 0x88..=0x8E, ..] => INDEXED[usize::from(first - 0x88)],
        [0x48 | 0x08 | 0x18, length, rest @ ..] => {
            let value = &rest[..usize::from(length & 0x7F)];
            let digits = match length & 0x80 {
                0 => String::from_utf8(value.to_vec()).unwrap(),
                _ => huffman_digits(value),
            };
            digits.parse().unwrap()
        }
        _ => panic!("no status: {block:02x?}"),
    }
}

/// Decodes digits: 0, 1 and 2 have five bits, the others six.
fn huffman_digits(bytes: &[u8]) -> String {
    let bits: String = bytes.iter().map(|byte| format!("{byte:08b}")).collect();
    let (mut digits, mut at) = (String::new(), 0);
    while digits.len() < 3 {
        let short = u8::from_str_radix(&bits[at..at + 5], 2).unwrap();
        let (digit, length) = match short {
            0..=2 => (short, 5),
            _ => (u8::from_str_radix(&bits[at..at + 6], 2).unwrap() - 22, 6),
        };
        digits.push(char::from(b'0' + digit));
        at += length;
    }
    digits
}
