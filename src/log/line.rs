//! One line, byte for byte as tracing_subscriber writes it, at a tenth of the cost.

use std::fmt;
use std::io::Write;
use std::net::IpAddr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use time::OffsetDateTime;

use crate::client::{RequestId, escaped, is_plain};

/// How lines look.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Text,
    /// Text for a terminal.
    Colours,
    Json,
}

/// A line of level info that is being written: time and target stand, fields are put after them.
pub struct Line<'t> {
    bytes: Vec<u8>,
    format: Format,
    target: &'t str,
}

/// What comes before the value of a field. Made by [`put!`], whole for each format: a line has
/// twenty of them.
#[derive(Clone, Copy)]
pub struct Name {
    pub text: &'static str,
    pub colours: &'static str,
    pub json: &'static str,
}

/// Adds fields to a [`Line`], in their order; one whose value is none is left out.
macro_rules! put {
    ($line:expr, $($name:literal = $value:expr),+ $(,)?) => {$(
        $line.put(
            const {
                $crate::log::Name {
                    text: concat!(" ", $name, "="),
                    colours: concat!(" \x1b[3m", $name, "\x1b[0m\x1b[2m=\x1b[0m"),
                    json: concat!(",\"", $name, "\":"),
                }
            },
            $value,
        );
    )+};
}
pub(crate) use put;

/// What a field says.
pub trait Value: Sized {
    fn write(self, line: &mut Line<'_>);

    fn put(self, name: Name, line: &mut Line<'_>) {
        line.push(match line.format {
            Format::Text => name.text,
            Format::Colours => name.colours,
            Format::Json => name.json,
        });
        self.write(line);
    }
}

/// Most lines are shorter.
const ROOM: usize = 1_000;

impl<'t> Line<'t> {
    pub(super) fn begin(format: Format, target: &'t str, time: SystemTime) -> Self {
        let mut line = Self {
            bytes: Vec::with_capacity(ROOM),
            format,
            target,
        };
        let (start, level, end) = match format {
            Format::Text => ("", "  INFO ", ":"),
            Format::Colours => (
                "\x1b[2m",
                "\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2m",
                "\x1b[0m\x1b[2m:\x1b[0m",
            ),
            Format::Json => ("{\"timestamp\":\"", "\",\"level\":\"INFO\"", ""),
        };
        line.push(start);
        line.bytes.extend_from_slice(&rfc3339(time));
        line.push(level);
        if format != Format::Json {
            line.push(target);
        }
        line.push(end);
        line
    }

    /// For [`put!`].
    pub fn put(&mut self, name: Name, value: impl Value) {
        value.put(name, self);
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

    fn push(&mut self, text: &str) {
        self.bytes.extend_from_slice(text.as_bytes());
    }

    fn show(&mut self, value: impl fmt::Display) {
        // Writing to memory does not fail.
        _ = write!(self.bytes, "{value}");
    }

    /// A number with as many digits as it needs.
    fn digits<const BASE: u64>(&mut self, number: u64) {
        let count = number.checked_ilog(BASE).unwrap_or(0) as usize + 1;
        let mut digits = [0; 20];
        write_digits::<BASE>(&mut digits[..count], number);
        // A copy of fixed length is a few instructions, one of any length is a call.
        let end = self.bytes.len() + count;
        self.bytes.extend_from_slice(&digits);
        self.bytes.truncate(end);
    }

    /// In quotes, whatever the format.
    pub fn quoted(&mut self, write: impl FnOnce(&mut Self)) {
        self.bytes.push(b'"');
        write(self);
        self.bytes.push(b'"');
    }

    /// In quotes where JSON asks for them: `write` gives neither spaces nor quotes.
    fn bare(&mut self, write: impl FnOnce(&mut Self)) {
        match self.format {
            Format::Text | Format::Colours => write(self),
            Format::Json => self.quoted(write),
        }
    }

    /// Within [`Line::quoted`]: at most `most` bytes, escaped as by [`escaped`], which leaves only
    /// quotes and backslashes for either format to escape.
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

    /// Two digits for each byte.
    pub fn hex(&mut self, bytes: &[u8]) {
        for byte in bytes {
            let mut digits = [0; 2];
            write_digits::<16>(&mut digits, u64::from(*byte));
            self.bytes.extend_from_slice(&digits);
        }
    }
}

/// The last digits of a number, with zeros in front.
fn write_digits<const BASE: u64>(digits: &mut [u8], mut number: u64) {
    for digit in digits.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(number % BASE) as usize];
        number /= BASE;
    }
}

/// As `2026-11-22T12:00:00.000001Z`.
fn rfc3339(time: SystemTime) -> [u8; 27] {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    let seconds = i64::try_from(since.as_secs()).unwrap_or(i64::MAX);
    let second = OffsetDateTime::from_unix_timestamp(seconds);
    let second = second.unwrap_or(OffsetDateTime::UNIX_EPOCH);
    let (year, month, day) = second.to_calendar_date();
    let (hour, minute, second) = second.to_hms();
    let mut text = *b"0000-00-00T00:00:00.000000Z";
    write_digits::<10>(&mut text[..4], u64::from(year.unsigned_abs()));
    let pairs = [u8::from(month), day, hour, minute, second];
    for (index, pair) in pairs.into_iter().enumerate() {
        write_digits::<10>(&mut text[5 + 3 * index..][..2], pair.into());
    }
    write_digits::<10>(&mut text[20..26], since.subsec_micros().into());
    text
}

impl<V: Value> Value for Option<V> {
    fn write(self, line: &mut Line<'_>) {
        if let Some(value) = self {
            value.write(line);
        }
    }

    fn put(self, name: Name, line: &mut Line<'_>) {
        if let Some(value) = self {
            value.put(name, line);
        }
    }
}

impl Value for &str {
    fn write(self, line: &mut Line<'_>) {
        Cut(self.as_bytes(), self.len()).write(line);
    }
}

/// What somebody else chose, of any length: at most so many bytes of it.
pub struct Cut<'a>(pub &'a [u8], pub usize);

impl Value for Cut<'_> {
    fn write(self, line: &mut Line<'_>) {
        let Self(bytes, most) = self;
        line.quoted(|line| line.text(bytes, most));
    }
}

/// One of a closed list as its word, another one as it shows itself: nothing that could pass for
/// another field, so that it stands without quotes in a line of text.
pub enum Bare<T> {
    Known(&'static str),
    Other(T),
}

impl<T: fmt::Display> Value for Bare<T> {
    fn write(self, line: &mut Line<'_>) {
        line.bare(|line| match self {
            Self::Known(word) => line.push(word),
            Self::Other(other) => line.show(other),
        });
    }
}

impl Value for RequestId {
    fn write(self, line: &mut Line<'_>) {
        line.bare(|line| {
            line.digits::<16>(self.connection.process.into());
            line.bytes.push(b'.');
            line.digits::<16>(self.connection.number);
            line.bytes.push(b'-');
            line.digits::<10>(self.number);
        });
    }
}

impl Value for IpAddr {
    fn write(self, line: &mut Line<'_>) {
        line.bare(|line| match self {
            Self::V4(address) => {
                for (index, byte) in address.octets().into_iter().enumerate() {
                    if index > 0 {
                        line.bytes.push(b'.');
                    }
                    line.digits::<10>(byte.into());
                }
            }
            Self::V6(address) => line.show(address),
        });
    }
}

/// In milliseconds, to the microsecond.
impl Value for Duration {
    fn write(self, line: &mut Line<'_>) {
        let micros = u64::from(self.subsec_nanos() + 500) / 1_000;
        let micros = micros.saturating_add(self.as_secs().saturating_mul(1_000_000));
        line.digits::<10>(micros / 1_000);
        line.bytes.push(b'.');
        let rest = micros % 1_000;
        let mut digits = [0; 3];
        write_digits::<10>(&mut digits, rest);
        let count = match rest {
            _ if rest % 100 == 0 => 1,
            _ if rest % 10 == 0 => 2,
            _ => 3,
        };
        line.bytes.extend_from_slice(&digits[..count]);
    }
}

impl Value for bool {
    fn write(self, line: &mut Line<'_>) {
        line.push(if self { "true" } else { "false" });
    }
}

impl Value for u16 {
    fn write(self, line: &mut Line<'_>) {
        line.digits::<10>(self.into());
    }
}

impl Value for usize {
    fn write(self, line: &mut Line<'_>) {
        line.digits::<10>(self as u64);
    }
}
