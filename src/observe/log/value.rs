//! The values of the fields of a line.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use super::line::{Format, Line};
use crate::base::client::{RequestId, is_plain};
use crate::base::text::dotted;

/// The text before the value of a field. Made by [`put!`] as one constant for each format, because
/// a line has twenty of them.
#[derive(Clone, Copy)]
pub struct Name {
    pub text: &'static str,
    pub colours: &'static str,
    pub json: &'static str,
}

/// Adds fields to a [`Line`] in their order, without those whose value is `None`.
macro_rules! put {
    ($line:expr, $($name:literal = $value:expr),+ $(,)?) => {{ $(
        $crate::observe::log::Value::put(
            $value,
            const {
                $crate::observe::log::Name {
                    text: concat!(" ", $name, "="),
                    colours: concat!(" \x1b[3m", $name, "\x1b[0m\x1b[2m=\x1b[0m"),
                    json: concat!(",\"", $name, "\":"),
                }
            },
            $line,
        );
    )+ }};
}
pub(crate) use put;

/// The value of a field.
pub trait Value: Sized {
    fn write(self, line: &mut Line);

    fn put(self, name: Name, line: &mut Line) {
        line.push(match line.format {
            Format::Text => name.text,
            Format::Colours => name.colours,
            Format::Json => name.json,
        });
        self.write(line);
    }
}

impl<V: Value> Value for Option<V> {
    fn write(self, line: &mut Line) {
        if let Some(value) = self {
            value.write(line);
        }
    }

    fn put(self, name: Name, line: &mut Line) {
        if let Some(value) = self {
            value.put(name, line);
        }
    }
}

/// Text of the proxy. For text that a client chose, use [`Cut`], which limits its length.
impl Value for &str {
    fn write(self, line: &mut Line) {
        match line.format {
            _ if is_plain(self.as_bytes()) => {
                line.quoted(|line| line.bytes.extend_from_slice(self.as_bytes()))
            }
            Format::Text | Format::Colours => line.show(format_args!("{self:?}")),
            // Writing to memory does not fail.
            Format::Json => _ = serde_json::to_writer(&mut line.bytes, self),
        }
    }
}

/// Bytes of any length that a client or NDES chose, and how many of them are written at most.
pub struct Cut<'a>(pub &'a [u8], pub usize);

impl Value for Cut<'_> {
    fn write(self, line: &mut Line) {
        let Self(bytes, most) = self;
        line.quoted(|line| line.text(bytes, most));
    }
}

/// A text that a client or NDES chose: at most so many bytes of it, cut at a character, with
/// invisible characters escaped. The format of the log escapes it once more, as every string.
pub struct Text<'a>(pub &'a str, pub usize);

impl Value for Text<'_> {
    fn write(self, line: &mut Line) {
        let Self(text, most) = self;
        line.quoted(|line| line.string(text, most));
    }
}

/// A word of a closed list, or the `Display` of another value. Neither can be mistaken for another
/// field, so a line of text has it without quotes.
pub enum Bare<T> {
    Known(&'static str),
    Other(T),
}

impl<T: fmt::Display> Value for Bare<T> {
    fn write(self, line: &mut Line) {
        line.bare(|line| match self {
            Self::Known(word) => line.push(word),
            Self::Other(other) => line.show(other),
        });
    }
}

impl Value for RequestId {
    fn write(self, line: &mut Line) {
        line.bare(|line| {
            line.hexadecimal(self.connection.process.into());
            line.bytes.push(b'.');
            line.hexadecimal(self.connection.number);
            line.bytes.push(b'-');
            line.decimal(self.number);
        });
    }
}

impl Value for IpAddr {
    fn write(self, line: &mut Line) {
        line.bare(|line| match self {
            Self::V4(address) => {
                let (text, count) = dotted(address);
                line.bytes.extend_from_slice(&text[..count]);
            }
            Self::V6(address) => line.show(address),
        });
    }
}

/// Milliseconds with a precision of a microsecond.
impl Value for Duration {
    fn write(self, line: &mut Line) {
        let micros = u64::from(self.subsec_nanos() + 500) / 1_000;
        let micros = micros.saturating_add(self.as_secs().saturating_mul(1_000_000));
        line.decimal(micros / 1_000);
        line.bytes.push(b'.');
        let rest = micros % 1_000;
        let digits = [rest / 100, rest / 10 % 10, rest % 10].map(|digit| b'0' + digit as u8);
        let count = match rest {
            _ if rest % 100 == 0 => 1,
            _ if rest % 10 == 0 => 2,
            _ => 3,
        };
        line.bytes.extend_from_slice(&digits[..count]);
    }
}

impl Value for bool {
    fn write(self, line: &mut Line) {
        line.push(if self { "true" } else { "false" });
    }
}

impl Value for u16 {
    fn write(self, line: &mut Line) {
        line.decimal(self.into());
    }
}

impl Value for usize {
    fn write(self, line: &mut Line) {
        line.decimal(self as u64);
    }
}
