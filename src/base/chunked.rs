//! Decodes the chunked transfer coding (RFC 9112 §7.1) strictly, in requests of clients and in
//! responses of NDES.

use bytes::{Buf, BytesMut};

use crate::base::head;
use crate::base::rejection::Rejection;

/// A decoder that receives bytes as they arrive.
#[derive(Debug, Default)]
pub struct Chunked {
    state: State,
    /// The bytes of size lines and trailers so far, which a client can send without sending a body.
    overhead: usize,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Size,
    Data(usize),
    /// The end of the line after the data.
    DataEnd,
    Trailers,
    Ended,
}

/// Extensions are ignored and trailers discarded, as long as they do not exceed these bytes.
const MOST_OVERHEAD: usize = 64 << 10;
const MOST_LINE: usize = 4 << 10;
/// Eight digits are 4 GB, which exceeds any `body_bytes` and does not overflow.
const MOST_DIGITS: usize = 8;

impl Chunked {
    /// Moves the data of complete and partial chunks from `input` to `output`. Returns `true` at the
    /// end of the body; the rest of `input` then belongs to the next request. Returns
    /// `MalformedFraming` if the coding is invalid.
    pub fn decode(
        &mut self,
        input: &mut BytesMut,
        output: &mut BytesMut,
    ) -> Result<bool, Rejection> {
        loop {
            match self.state {
                State::Data(remaining) => {
                    let piece = remaining.min(input.len());
                    output.extend_from_slice(&input[..piece]);
                    input.advance(piece);
                    if piece < remaining {
                        self.state = State::Data(remaining - piece);
                        return Ok(false);
                    }
                    self.state = State::DataEnd;
                }
                State::Ended => return Ok(true),
                State::Size | State::DataEnd | State::Trailers => {
                    let Some(length) = self.line(input)? else {
                        return Ok(false);
                    };
                    let line = input.split_to(length + 2);
                    self.state = self.after_line(&line[..length])?;
                }
            }
        }
    }

    /// Returns the state that follows `line`.
    fn after_line(&self, line: &[u8]) -> Result<State, Rejection> {
        match (self.state, line) {
            (State::DataEnd, []) => Ok(State::Size),
            (State::Trailers, []) => Ok(State::Ended),
            (State::Trailers, line) if head::field(line).is_some() => Ok(State::Trailers),
            (State::Size, line) => match chunk_size(line)? {
                0 => Ok(State::Trailers),
                size => Ok(State::Data(size)),
            },
            _ => Err(Rejection::MalformedFraming),
        }
    }

    /// Returns the length of the first line of `input`, or `None` if its CR LF has not arrived.
    fn line(&mut self, input: &[u8]) -> Result<Option<usize>, Rejection> {
        let Some(end) = memchr::memchr(b'\n', input) else {
            let bounded = input.len() <= MOST_LINE && self.overhead + input.len() <= MOST_OVERHEAD;
            return if bounded {
                Ok(None)
            } else {
                Err(Rejection::MalformedFraming)
            };
        };
        self.overhead += end + 1;
        match input[..end].strip_suffix(b"\r") {
            Some(line) if end <= MOST_LINE && self.overhead <= MOST_OVERHEAD && is_text(line) => {
                Ok(Some(line.len()))
            }
            _ => Err(Rejection::MalformedFraming),
        }
    }
}

/// Parses a size line: hexadecimal digits, then nothing or an extension.
fn chunk_size(line: &[u8]) -> Result<usize, Rejection> {
    let digits = line.iter().take_while(|b| b.is_ascii_hexdigit()).count();
    let extension = line[digits..].trim_ascii_start();
    let size = std::str::from_utf8(&line[..digits])
        .ok()
        .and_then(|digits| usize::from_str_radix(digits, 16).ok());
    match size {
        Some(size) if digits <= MOST_DIGITS && matches!(extension, [] | [b';', ..]) => Ok(size),
        _ => Err(Rejection::MalformedFraming),
    }
}

fn is_text(line: &[u8]) -> bool {
    line.iter().all(|b| !b.is_ascii_control() || *b == b'\t')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decode(bytes: &[u8], step: usize) -> Result<(Vec<u8>, Vec<u8>), Rejection> {
        let (mut chunked, mut input, mut output) =
            (Chunked::default(), BytesMut::new(), BytesMut::new());
        for piece in bytes.chunks(step) {
            input.extend_from_slice(piece);
            chunked.decode(&mut input, &mut output)?;
        }
        assert_eq!(chunked.state, State::Ended, "the body has no end");
        Ok((output.to_vec(), input.to_vec()))
    }

    #[test]
    fn a_body_is_decoded_the_same_in_any_pieces() {
        let body =
            b"5\r\nhello\r\n00000001;a=\"b\"\r\n \r\n5 ;x\r\nworld\r\n0\r\nTrailer: x\r\n\r\nGET /";
        for step in [1, 2, 5, 1000] {
            assert_eq!(
                decode(body, step),
                Ok((b"hello world".to_vec(), b"GET /".to_vec()))
            );
        }
    }

    #[test]
    fn ambiguous_or_endless_chunks_are_refused() {
        let extensions = format!("1;{}\r\nx\r\n", "a".repeat(MOST_LINE));
        let trailers = format!("0\r\n{}", "A: b\r\n".repeat(MOST_OVERHEAD));
        for body in [
            "x\r\n",
            "\r\n",
            "-1\r\n",
            "+1\r\n",
            "0x1\r\n",
            "1\n",
            "1\rx\r\n",
            "1 2\r\n",
            "123456789\r\n",
            "000000000\r\n",
            "ffffffffffffffff1\r\n",
            "1\r\nab\r\n",
            "1\r\na\n",
            "1;\0\r\n",
            "0\r\nno field\r\n\r\n",
            "0\r\nA: b\r\n folded\r\n\r\n",
            &extensions,
            &trailers,
        ] {
            assert_eq!(
                decode(body.as_bytes(), 1_000),
                Err(Rejection::MalformedFraming),
                "{body:.40?}"
            );
        }
    }

    proptest::proptest! {
        #[test]
        fn any_bytes_are_decoded_without_panic(bytes: Vec<u8>) {
            let (mut input, mut output) = (BytesMut::from(&bytes[..]), BytesMut::new());
            _ = Chunked::default().decode(&mut input, &mut output);
            proptest::prop_assert!(output.len() <= bytes.len());
        }
    }
}
