//! Distinguished names as text (RFC 4514).

use std::borrow::Cow;
use std::fmt::Write;

use super::ber::{OID, Reader, SEQUENCE, SET};
use super::{Oid, Unreadable};
use crate::base::text::{cut, is_invisible};

/// The most bytes of the text of a name.
pub const MAX_NAME: usize = 1024;
/// A longer name, in bytes of DER, is not read.
const MAX_DER: usize = 4096;
const MAX_RDNS: usize = 64;

/// A Name with its tag and length, as it was sent. Its text is made when it is shown: most names
/// are only compared, and the text costs more than the rest of reading a message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Name(Box<[u8]>);

impl Name {
    /// A name that is too long is stored as one that cannot be read.
    pub(super) fn new(der: &[u8]) -> Self {
        let is_short = der.len() <= MAX_DER;
        Self(if is_short { der } else { &[] }.into())
    }

    /// Returns a text such as `CN=ndes,O=Corp,C=DE` (RFC 4514), cut after [`MAX_NAME`] bytes.
    /// Returns `None` if the name cannot be read.
    pub fn text(&self) -> Option<String> {
        text(&self.0)
    }

    /// Returns the Name with its tag and length, as it was sent.
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Returns the last CN, which is the most specific one.
    pub fn common_name(&self) -> Option<String> {
        rdns(&self.0)?.into_iter().rev().find_map(common_name)
    }

    /// See [`is_same`].
    pub fn is_same(&self, other: &Self) -> bool {
        is_same(&self.0, &other.0)
    }
}

/// Compares two Names as a person does: by their text, without regard to encoding and case. Returns
/// `false` if either cannot be read.
pub(super) fn is_same(one: &[u8], other: &[u8]) -> bool {
    if one == other {
        return !one.is_empty();
    }
    let (Some(one), Some(other)) = (rdns(one), rdns(other)) else {
        return false;
    };
    let (mut one, mut other) = (texts(one), texts(other));
    // Most names that differ do so in the last RDN, so the others need no text.
    loop {
        match (one.next(), other.next()) {
            (None, None) => return true,
            (Some(Ok(one)), Some(Ok(other))) if one.eq_ignore_ascii_case(&other) => {}
            _ => return false,
        }
    }
}

/// Returns each RDN that is not empty, the last one first.
fn texts(rdns: Vec<Reader<'_>>) -> impl Iterator<Item = Result<String, Unreadable>> {
    let texts = rdns.into_iter().rev().map(|rdn| {
        let mut text = String::new();
        write_rdn(&mut text, "", rdn)?;
        Ok(text)
    });
    texts.filter(|text| text.as_ref().map_or(true, |text| !text.is_empty()))
}

/// Returns the text of a Name with its tag and length, the last RDN first. Returns `None` if it
/// cannot be read.
fn text(der: &[u8]) -> Option<String> {
    let mut text = String::with_capacity(64);
    for rdn in rdns(der)?.into_iter().rev() {
        if text.len() > MAX_NAME {
            break;
        }
        let separator = if text.is_empty() { "" } else { "," };
        write_rdn(&mut text, separator, rdn).ok()?;
    }
    text.truncate(cut(&text, MAX_NAME).len());
    Some(text)
}

/// Returns each RDN of a Name. Returns `None` if it is too long or has too many.
fn rdns(der: &[u8]) -> Option<Vec<Reader<'_>>> {
    if der.len() > MAX_DER {
        return None;
    }
    let rdns = Reader::new(der).constructed(SEQUENCE, |name| {
        let mut rdns = Vec::with_capacity(8);
        while name.peek()?.is_some() && rdns.len() <= MAX_RDNS {
            rdns.push(*name);
            name.skip()?;
        }
        Ok(rdns)
    });
    rdns.ok().filter(|rdns| rdns.len() <= MAX_RDNS)
}

fn write_rdn(
    text: &mut String,
    mut separator: &str,
    mut rdn: Reader<'_>,
) -> Result<(), Unreadable> {
    rdn.constructed(SET, |attributes| {
        while attributes.peek()?.is_some() {
            text.push_str(separator);
            separator = "+";
            attributes.constructed(SEQUENCE, |attribute| {
                let kind = attribute.primitive(OID)?;
                write_attribute(text, kind, attribute.raw()?);
                Ok(())
            })?;
        }
        Ok(())
    })
}

/// Returns the value of the last CN in an RDN.
fn common_name(mut rdn: Reader<'_>) -> Option<String> {
    let mut found = None;
    rdn.constructed(SET, |attributes| {
        while attributes.peek()?.is_some() {
            attributes.constructed(SEQUENCE, |attribute| {
                let kind = attribute.primitive(OID)?;
                let value = string(attribute.raw()?);
                if kind == COMMON_NAME {
                    found = value.map(Cow::into_owned);
                }
                Ok(())
            })?;
        }
        Ok(())
    })
    .ok()?;
    found
}

const COMMON_NAME: &[u8] = b"\x55\x04\x03";

/// Returns the keyword of RFC 4514 §3. Any other type is written as its number.
fn keyword(kind: &[u8]) -> Option<&'static str> {
    Some(match kind {
        b"\x55\x04\x03" => "CN",
        b"\x55\x04\x07" => "L",
        b"\x55\x04\x08" => "ST",
        b"\x55\x04\x0a" => "O",
        b"\x55\x04\x0b" => "OU",
        b"\x55\x04\x06" => "C",
        b"\x55\x04\x09" => "STREET",
        b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x19" => "DC",
        b"\x09\x92\x26\x89\x93\xf2\x2c\x64\x01\x01" => "UID",
        _ => return None,
    })
}

/// `kind` is the content of an OID; `value` has its tag and length.
fn write_attribute(text: &mut String, kind: &[u8], value: &[u8]) {
    let keyword = keyword(kind);
    match keyword {
        Some(keyword) => text.push_str(keyword),
        None => _ = write!(text, "{}", Oid::new(kind)),
    }
    text.push('=');
    match keyword.and_then(|_| string(value)) {
        Some(string) => push_escaped(text, &string),
        None => {
            text.push('#');
            push_hex(text, value);
        }
    }
}

/// Returns the text of a string value, or `None` if it is not a string.
fn string(value: &[u8]) -> Option<Cow<'_, str>> {
    let tag = value.first()? & !0x20;
    let content = Reader::new(value).string().ok()?;
    let text: Option<String> = match tag {
        UTF8_STRING | NUMERIC_STRING | PRINTABLE_STRING | IA5_STRING | VISIBLE_STRING => {
            return match content {
                Cow::Borrowed(bytes) => std::str::from_utf8(bytes).ok().map(Cow::Borrowed),
                Cow::Owned(bytes) => String::from_utf8(bytes).ok().map(Cow::Owned),
            };
        }
        // Those who use this type mean Latin-1.
        T61_STRING => Some(content.iter().map(|byte| char::from(*byte)).collect()),
        BMP_STRING => {
            let (units, odd) = content.as_chunks::<2>();
            let units = units.iter().map(|unit| u16::from_be_bytes(*unit));
            let text = char::decode_utf16(units).collect::<Result<_, _>>().ok();
            text.filter(|_| odd.is_empty())
        }
        UNIVERSAL_STRING => {
            let (units, odd) = content.as_chunks::<4>();
            let units = units.iter().map(|unit| u32::from_be_bytes(*unit));
            let text = units.map(char::from_u32).collect::<Option<_>>();
            text.filter(|_| odd.is_empty())
        }
        _ => None,
    };
    text.map(Cow::Owned)
}

const UTF8_STRING: u8 = 0x0c;
const NUMERIC_STRING: u8 = 0x12;
const PRINTABLE_STRING: u8 = 0x13;
const T61_STRING: u8 = 0x14;
const IA5_STRING: u8 = 0x16;
const VISIBLE_STRING: u8 = 0x1a;
const UNIVERSAL_STRING: u8 = 0x1c;
const BMP_STRING: u8 = 0x1e;

/// Escapes a value by RFC 4514 §2.4. Characters that could break a line or mislead its reader are
/// escaped as hexadecimal pairs, which the RFC allows for every character.
fn push_escaped(text: &mut String, value: &str) {
    let is_special = |byte| matches!(byte, b'"' | b'+' | b',' | b';' | b'<' | b'>' | b'\\');
    let at_end = value.starts_with(['#', ' ']) || value.ends_with(' ');
    let is_plain =
        value.is_ascii() && !value.bytes().any(|b| is_special(b) || b.is_ascii_control());
    if !at_end && is_plain {
        return text.push_str(value);
    }
    let last = value.len().wrapping_sub(1);
    for (at, c) in value.char_indices() {
        match c {
            '"' | '+' | ',' | ';' | '<' | '>' | '\\' => text.extend(['\\', c]),
            '#' if at == 0 => text.push_str("\\#"),
            ' ' if at == 0 || at == last => text.push_str("\\ "),
            c if is_invisible(c) => {
                for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                    _ = write!(text, "\\{byte:02X}");
                }
            }
            _ => text.push(c),
        }
    }
}

/// Appends two lower-case digits for each byte.
pub(super) fn push_hex(text: &mut String, bytes: &[u8]) {
    const DIGITS: [u8; 16] = *b"0123456789abcdef";
    text.reserve(2 * bytes.len());
    for byte in bytes {
        for digit in [byte >> 4, byte & 0xf] {
            text.push(char::from(DIGITS[usize::from(digit)]));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The type, and the tag and content of its value.
    type Attribute = (&'static [u8], u8, &'static [u8]);

    /// Returns a Name of RDNs with one attribute each.
    fn name(attributes: &[Attribute]) -> Vec<u8> {
        let tlv = |tag: u8, content: &[u8]| {
            assert!(content.len() < 0x80);
            [&[tag, content.len() as u8], content].concat()
        };
        let rdns = attributes.iter().map(|(kind, tag, value)| {
            let pair = [tlv(0x06, kind), tlv(*tag, value)].concat();
            tlv(SET, &tlv(SEQUENCE, &pair))
        });
        tlv(SEQUENCE, &rdns.collect::<Vec<_>>().concat())
    }

    #[test]
    fn names_are_written_by_rfc_4514() {
        const CN: &[u8] = b"\x55\x04\x03";
        let cases: [(&[Attribute], &str); 17] = [
            (&[], ""),
            (
                &[(b"\x55\x04\x06", 0x13, b"DE"), (CN, 0x0c, b"ndes")],
                "CN=ndes,C=DE",
            ),
            (&[(CN, 0x0c, "Zürich".as_bytes())], "CN=Zürich"),
            (&[(CN, 0x14, b"Z\xfcrich")], "CN=Zürich"),
            (&[(CN, 0x1e, b"\0Z\0\xfc\x20\x1e")], "CN=Zü„"),
            (&[(CN, 0x1c, b"\0\0\0Z\0\x01\xf6\0")], "CN=Z\u{1f600}"),
            (&[(CN, 0x13, b"")], "CN="),
            (&[(CN, 0x13, b" ")], r"CN=\ "),
            (&[(CN, 0x13, b" a b ")], r"CN=\ a b\ "),
            (&[(CN, 0x13, b"#a#")], r"CN=\#a#"),
            (
                &[(CN, 0x13, b"a,b+c\"d\\e;f<g>h=\0")],
                r#"CN=a\,b\+c\"d\\e\;f\<g\>h=\00"#,
            ),
            (&[(CN, 0x0c, b"a\nb\x7f")], r"CN=a\0Ab\7F"),
            (
                &[(CN, 0x0c, "a\u{85}\u{202e}b".as_bytes())],
                r"CN=a\C2\85\E2\80\AEb",
            ),
            // Values that are not text, or not the text that their tag says.
            (&[(CN, 0x04, b"\x01")], "CN=#040101"),
            (&[(CN, 0x0c, b"\xff")], "CN=#0c01ff"),
            (&[(CN, 0x1e, b"\0")], "CN=#1e0100"),
            (&[(b"\x55\x04\x05", 0x13, b"7")], "2.5.4.5=#130137"),
        ];
        for (attributes, expected) in cases {
            assert_eq!(text(&name(attributes)).as_deref(), Some(expected));
        }
    }

    #[test]
    fn names_are_equal_in_any_encoding() {
        const CN: &[u8] = b"\x55\x04\x03";
        let country = (&b"\x55\x04\x06"[..], 0x13, &b"DE"[..]);
        let printable = name(&[country, (CN, 0x13, b"Ndes")]);
        let bmp = name(&[country, (CN, 0x1e, b"\0N\0D\0E\0S")]);
        let longer = name(&[(CN, 0x13, b"x"), country, (CN, 0x13, b"Ndes")]);
        let other = name(&[country, (CN, 0x13, b"other")]);
        assert!(is_same(&printable, &printable) && is_same(&printable, &bmp));
        assert!(!is_same(&printable, &longer) && !is_same(&longer, &printable));
        assert!(!is_same(&printable, &other) && !is_same(&printable, b""));
        assert!(!is_same(b"", b""), "neither is readable");
    }

    #[test]
    fn an_rdn_may_have_two_attributes() {
        let der = b"\x30\x16\x31\x14\x30\x08\x06\x03\x55\x04\x03\x13\x01a\x30\x08\x06\x03\x55\x04\x0a\x13\x01b";
        assert_eq!(text(der).as_deref(), Some("CN=a+O=b"));
    }

    #[test]
    fn an_invalid_or_too_long_name_is_not_read() {
        assert_eq!(text(b""), None);
        assert_eq!(text(b"\x31\x00"), None);
        assert_eq!(text(b"\x30\x02\x31\x05"), None);
        let rdn = b"\x31\x00";
        let of = |rdns: usize| [&[0x30, 0x81, 2 * rdns as u8][..], &rdn.repeat(rdns)].concat();
        assert_eq!(text(&of(MAX_RDNS)).as_deref(), Some(""));
        assert_eq!(text(&of(MAX_RDNS + 1)), None);
    }
}
