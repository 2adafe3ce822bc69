//! Reads BER (X.690 §8) in place: definite and indefinite lengths, split strings.
//!
//! This reader is written here, because no crate accepts what devices send and stays within the
//! limits below. Certificate readers on strict DER (x509-parser and asn1-rs, x509-cert) do not read
//! the BER around the certificates. Of the 160 CMS messages in tests/corpus, all of which this
//! reads:
//!
//! - `der` 0.8 with feature `ber` refuses the one whose lengths are not minimal;
//! - `bcder` 0.7 in `Mode::Ber` reads all, but skips a value with a stack on the heap that grows as
//!   deep as the sender nests (100 000 levels are accepted), refuses the whole message for a fault
//!   anywhere inside an embedded certificate, distinguishes truncated from malformed only in text,
//!   and has 9000 lines and `smallvec` instead of 200 lines.
//!
//! Limits: every byte is read once (except by [`Reader::raw`], which is not used inside itself);
//! memory is allocated only to join a split string, once and no more than its length; values are
//! nested at most [`MAX_DEPTH`] deep.

use std::borrow::Cow;

use super::{Oid, Unreadable};

/// Three times the depth of the deepest part of a real message.
pub(super) const MAX_DEPTH: u8 = 32;

pub(super) const BOOLEAN: u8 = 0x01;
pub(super) const INTEGER: u8 = 0x02;
pub(super) const BIT_STRING: u8 = 0x03;
pub(super) const OID: u8 = 0x06;
pub(super) const SEQUENCE: u8 = 0x30;
pub(super) const SET: u8 = 0x31;
/// [0] as a string; then [0], [1] and [3] around other values.
pub(super) const CONTEXT_0_STRING: u8 = 0x80;
pub(super) const CONTEXT_0: u8 = 0xa0;
pub(super) const CONTEXT_3: u8 = 0xa3;

const CONSTRUCTED: u8 = 0x20;
const END_OF_CONTENTS: [u8; 2] = [0, 0];

/// A sequence of values in `rest`.
#[derive(Clone, Copy, Debug)]
pub(super) struct Reader<'a> {
    /// Up to the end of the surrounding value. If that has indefinite length, up to the end of what
    /// surrounds it.
    rest: &'a [u8],
    /// Whether the values end with end-of-contents.
    indefinite: bool,
    /// What it means if a value is longer than `rest`.
    overrun: Unreadable,
    depth: u8,
}

impl<'a> Reader<'a> {
    pub(super) fn new(bytes: &'a [u8]) -> Self {
        Self {
            rest: bytes,
            indefinite: false,
            overrun: Unreadable::Truncated,
            depth: 0,
        }
    }

    /// Returns the tag of the next value, or `None` at the end.
    pub(super) fn peek(&self) -> Result<Option<u8>, Unreadable> {
        match self.rest {
            [] if self.indefinite => Err(self.overrun),
            [0] if self.indefinite => Err(self.overrun),
            [0, 0, ..] if self.indefinite => Ok(None),
            _ => Ok(self.rest.first().copied()),
        }
    }

    /// Returns the content of a value with this tag that does not consist of other values.
    pub(super) fn primitive(&mut self, tag: u8) -> Result<&'a [u8], Unreadable> {
        match self.header()? {
            (found, Some(length)) if found == tag => self.take(length),
            _ => Err(Unreadable::Malformed),
        }
    }

    pub(super) fn oid(&mut self) -> Result<Oid, Unreadable> {
        self.primitive(OID).map(Oid::new)
    }

    /// Returns the algorithm of an AlgorithmIdentifier.
    pub(super) fn algorithm(&mut self) -> Result<Oid, Unreadable> {
        self.constructed(SEQUENCE, Self::oid)
    }

    /// Applies `read` to the values inside a value with this tag. Values that it leaves are
    /// skipped.
    pub(super) fn constructed<T>(
        &mut self,
        tag: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<T, Unreadable> {
        let (found, length) = self.header()?;
        if found != tag {
            return Err(Unreadable::Malformed);
        }
        let mut inner = Self {
            depth: self.deeper(1)?,
            ..*self
        };
        if let Some(length) = length {
            inner.rest = self.take(length)?;
            inner.indefinite = false;
            inner.overrun = Unreadable::Malformed;
            return read(&mut inner);
        }
        inner.indefinite = true;
        let value = read(&mut inner)?;
        while inner.peek()?.is_some() {
            inner.skip()?;
        }
        self.rest = &inner.rest[END_OF_CONTENTS.len()..];
        Ok(value)
    }

    /// Does the same for a value that may be absent.
    pub(super) fn optional<T>(
        &mut self,
        tag: u8,
        read: impl FnOnce(&mut Self) -> Result<T, Unreadable>,
    ) -> Result<Option<T>, Unreadable> {
        match self.peek()? {
            Some(found) if found == tag => self.constructed(tag, read).map(Some),
            _ => Ok(None),
        }
    }

    /// Returns the content of a string of any type, in one piece.
    pub(super) fn string(&mut self) -> Result<Cow<'a, [u8]>, Unreadable> {
        match self.peek()? {
            None => Err(Unreadable::Malformed),
            Some(tag) if tag & CONSTRUCTED == 0 => self.primitive(tag).map(Cow::Borrowed),
            Some(_) => {
                let mut ahead = *self;
                ahead.skip()?;
                let mut joined = Vec::with_capacity(self.rest.len() - ahead.rest.len());
                self.join(&mut joined)?;
                Ok(Cow::Owned(joined))
            }
        }
    }

    fn join(&mut self, joined: &mut Vec<u8>) -> Result<(), Unreadable> {
        match self.peek()? {
            None => Err(Unreadable::Malformed),
            Some(tag) if tag & CONSTRUCTED == 0 => {
                joined.extend_from_slice(self.primitive(tag)?);
                Ok(())
            }
            Some(tag) => self.constructed(tag, |pieces| {
                while pieces.peek()?.is_some() {
                    pieces.join(joined)?;
                }
                Ok(())
            }),
        }
    }

    /// Returns the next value with its tag and length.
    pub(super) fn raw(&mut self) -> Result<&'a [u8], Unreadable> {
        let start = self.rest;
        self.skip()?;
        Ok(&start[..start.len() - self.rest.len()])
    }

    /// Skips the next value.
    pub(super) fn skip(&mut self) -> Result<(), Unreadable> {
        // The number of values of indefinite length that have begun.
        let mut open = 0;
        loop {
            if open > 0
                && let Some(rest) = self.rest.strip_prefix(&END_OF_CONTENTS)
            {
                self.rest = rest;
                open -= 1;
            } else if let (_, Some(length)) = self.header()? {
                self.take(length)?;
            } else {
                open += 1;
                self.deeper(open)?;
            }
            if open == 0 {
                return Ok(());
            }
        }
    }

    fn deeper(&self, by: u8) -> Result<u8, Unreadable> {
        let depth = self.depth + by;
        (depth <= MAX_DEPTH)
            .then_some(depth)
            .ok_or(Unreadable::TooDeep)
    }

    /// Returns the first byte of the tag, which distinguishes all tags that are used here, and the
    /// length, which is `None` if it is indefinite.
    #[inline]
    fn header(&mut self) -> Result<(u8, Option<usize>), Unreadable> {
        match self.rest {
            // Nearly all headers have one byte each.
            [tag, length @ ..0x80, rest @ ..] if tag & 0x1f != 0x1f => {
                self.rest = rest;
                Ok((*tag, Some(usize::from(*length))))
            }
            _ => self.long_header(),
        }
    }

    #[inline(never)]
    fn long_header(&mut self) -> Result<(u8, Option<usize>), Unreadable> {
        let tag = self.byte()?;
        if tag & 0x1f == 0x1f {
            while self.byte()? & 0x80 != 0 {}
        }
        let length = match self.byte()? {
            0x80 if tag & CONSTRUCTED != 0 => None,
            short @ ..0x80 => Some(usize::from(short)),
            0x80 | 0xff => return Err(Unreadable::Malformed),
            long => {
                let mut length = 0_usize;
                for byte in self.take(usize::from(long & 0x7f))? {
                    // A length beyond 32 bits is longer than anything that is read.
                    length = (length << 8 | usize::from(*byte)).min(u32::MAX as usize);
                }
                Some(length)
            }
        };
        Ok((tag, length))
    }

    fn byte(&mut self) -> Result<u8, Unreadable> {
        let (first, rest) = self.rest.split_first().ok_or(self.overrun)?;
        self.rest = rest;
        Ok(*first)
    }

    fn take(&mut self, length: usize) -> Result<&'a [u8], Unreadable> {
        let (taken, rest) = self.rest.split_at_checked(length).ok_or(self.overrun)?;
        self.rest = rest;
        Ok(taken)
    }
}
