//! One line, byte for byte as tracing_subscriber writes it, at a quarter of its cost.
//!
//! The formatter is our own because every request leaves a line. An access line of twenty fields
//! cost 16 000 instructions by way of tracing. Without it a short GET takes 12 000 instructions
//! less, and 40 000 in all (benches/README.md): with tracing's formatter a request would cost 30 %
//! more.

use std::fmt;
use std::io::Write;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::base::client::{escaped, is_plain};
use crate::base::text::{cut, digit_of, hex_digits, is_invisible};

/// The format of lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// Text for a terminal.
    Colours,
    Json,
}

/// A line of level info that is being written: time and target first, then the fields.
pub struct Line {
    pub(super) bytes: Vec<u8>,
    pub(super) format: Format,
    target: &'static str,
}

/// Most lines are shorter.
const ROOM: usize = 1_000;

impl Line {
    pub(super) fn begin(format: Format, target: &'static str, time: SystemTime) -> Self {
        let mut line = Self {
            bytes: Vec::with_capacity(ROOM),
            format,
            target,
        };
        let (start, level) = match format {
            Format::Text => ("", "  INFO "),
            Format::Colours => ("\x1b[2m", "\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2m"),
            Format::Json => ("{\"timestamp\":\"", "\",\"level\":\"INFO\""),
        };
        line.push(start);
        // humantime panics at times before 1970.
        line.show(humantime::format_rfc3339_micros(time.max(UNIX_EPOCH)));
        line.push(level);
        // In JSON the target comes last.
        match format {
            Format::Text => {
                line.push(target);
                line.push(":");
            }
            Format::Colours => {
                line.push(target);
                line.push("\x1b[0m\x1b[2m:\x1b[0m");
            }
            Format::Json => {}
        }
        line
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        if self.format == Format::Json {
            self.push(",\"target\":\"");
            self.push(self.target);
            self.push("\"}");
        }
        self.push("\n");
        self.bytes
    }

    /// Adds text without escaping, which must not contain anything that a client chose.
    pub fn push(&mut self, text: &'static str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    /// Adds a value as `Display` formats it.
    pub(super) fn show(&mut self, value: impl fmt::Display) {
        // Writing to memory does not fail.
        _ = write!(self.bytes, "{value}");
    }

    /// Adds a number in decimal.
    pub(super) fn decimal(&mut self, number: u64) {
        let mut buffer = itoa::Buffer::new();
        let digits = buffer.format(number).as_bytes();
        self.bytes.extend_from_slice(digits);
    }

    /// Adds a number in hexadecimal, with as many digits as it needs.
    pub(super) fn hexadecimal(&mut self, number: u64) {
        let (digits, count) = hex_digits(number);
        // A copy of fixed length is a few instructions, one of any length is a call.
        let end = self.bytes.len() + count;
        self.bytes.extend_from_slice(&digits);
        self.bytes.truncate(end);
    }

    /// Adds quotes around what `write` adds, in every format.
    pub fn quoted(&mut self, write: impl FnOnce(&mut Self)) {
        self.bytes.push(b'"');
        write(self);
        self.bytes.push(b'"');
    }

    /// Adds quotes around what `write` adds if the format is JSON. `write` must add neither spaces
    /// nor quotes.
    pub(super) fn bare(&mut self, write: impl FnOnce(&mut Self)) {
        match self.format {
            Format::Text | Format::Colours => write(self),
            Format::Json => self.quoted(write),
        }
    }

    /// Adds at most `most` bytes, within [`Line::quoted`]. They are escaped by [`escaped`], which
    /// leaves only quotes and backslashes to escape in either format.
    pub fn text(&mut self, bytes: &[u8], most: usize) {
        let start = &bytes[..bytes.len().min(most)];
        if is_plain(start) {
            self.bytes.extend_from_slice(start);
        } else {
            for byte in escaped(start, most).bytes() {
                if matches!(byte, b'"' | b'\\') {
                    self.bytes.push(b'\\');
                }
                self.bytes.push(byte);
            }
        }
        if bytes.len() > most {
            self.push("...");
        }
    }

    /// Adds at most `most` bytes of `text`, cut at a character, within [`Line::quoted`]. Invisible
    /// characters become `\n` or `\u{202e}`; quotes and backslashes are escaped as either format
    /// needs it.
    pub fn string(&mut self, text: &str, most: usize) {
        let start = cut(text, most);
        if is_plain(start.as_bytes()) {
            self.bytes.extend_from_slice(start.as_bytes());
        } else {
            for c in start.chars() {
                match c {
                    '"' | '\\' => self.bytes.extend([b'\\', c as u8]),
                    c if is_invisible(c) => {
                        // As `\n` or `\u{202e}`, whose backslash is escaped like any other.
                        self.bytes.push(b'\\');
                        self.show(c.escape_debug());
                    }
                    c => self
                        .bytes
                        .extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
                }
            }
        }
        if start.len() < text.len() {
            self.push("...");
        }
    }

    /// Adds two hexadecimal digits for each byte.
    pub fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let pair = [byte >> 4, byte & 15].map(|digit| digit_of::<16>(digit.into()));
            self.bytes.extend_from_slice(&pair);
        }
    }
}
