//! Finds the frames in the bytes of an HTTP/2 connection (RFC 9113 §4.1), wherever reads and writes
//! split them.

/// Reads the frames of one direction of a connection.
pub struct Frames {
    /// Bytes before the first frame.
    preface: usize,
    /// The header and the start of the payload of the current frame.
    start: [u8; HEAD + KEPT],
    kept: usize,
    /// Bytes of its payload that are still to come.
    remaining: usize,
}

/// A frame as far as it has passed.
pub struct Frame<'f> {
    pub kind: u8,
    pub flags: u8,
    pub stream: u32,
    /// The length of the payload in bytes.
    pub length: usize,
    /// The first bytes of the payload. Empty while the frame only begins.
    pub payload: &'f [u8],
}

/// How much of a frame has passed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Passed {
    Head,
    Whole,
}

const HEAD: usize = 9;
/// Enough for all of RST_STREAM, and for GOAWAY with the text that the library adds.
const KEPT: usize = 40;

impl Frames {
    /// Returns a reader whose first frame follows `preface` bytes.
    pub fn after(preface: usize) -> Self {
        Self {
            preface,
            start: [0; HEAD + KEPT],
            kept: 0,
            remaining: 0,
        }
    }

    /// Consumes the next bytes. Calls `on_frame` twice for each frame: when its header has passed, and
    /// when all of it has.
    pub fn pass(&mut self, bytes: &[u8], mut on_frame: impl FnMut(Passed, &Frame<'_>)) {
        let preface = self.preface.min(bytes.len());
        self.preface -= preface;
        let mut bytes = &bytes[preface..];
        loop {
            if self.kept < HEAD {
                self.keep(&mut bytes, HEAD);
                if self.kept < HEAD {
                    return;
                }
                self.remaining = self.frame().length;
                on_frame(Passed::Head, &self.frame());
            }
            let before = bytes.len();
            let payload = HEAD + self.frame().length.min(KEPT);
            self.keep(&mut bytes, payload);
            self.remaining -= before - bytes.len();
            let rest = self.remaining.min(bytes.len());
            bytes = &bytes[rest..];
            self.remaining -= rest;
            if self.remaining > 0 {
                return;
            }
            on_frame(Passed::Whole, &self.frame());
            self.kept = 0;
        }
    }

    /// Moves bytes to `start` until it has `wanted` of them.
    fn keep(&mut self, bytes: &mut &[u8], wanted: usize) {
        let count = (wanted - self.kept).min(bytes.len());
        let (kept, rest) = bytes.split_at(count);
        self.start[self.kept..][..count].copy_from_slice(kept);
        self.kept += count;
        *bytes = rest;
    }

    fn frame(&self) -> Frame<'_> {
        let [a, b, c, kind, flags, s, t, u, v, ..] = self.start;
        Frame {
            kind,
            flags,
            // The first bit is reserved.
            stream: u32::from_be_bytes([s & 0x7F, t, u, v]),
            length: u32::from_be_bytes([0, a, b, c]) as usize,
            payload: &self.start[HEAD..self.kept],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found_however_the_bytes_are_split() {
        let long = [vec![0, 1, 0, 1, 5, 0x80, 0, 0, 7], vec![b'x'; 256]].concat();
        let bytes = [&b"PRE"[..], &[0, 0, 0, 4, 1, 0, 0, 0, 0], &long, &[0, 0, 2]].concat();
        for piece in 1..bytes.len() {
            let (mut frames, mut seen) = (Frames::after(3), Vec::new());
            for piece in bytes.chunks(piece) {
                frames.pass(piece, |passed, frame| {
                    let Frame {
                        kind,
                        flags,
                        stream,
                        length,
                        payload,
                    } = *frame;
                    seen.push((
                        passed == Passed::Whole,
                        kind,
                        flags,
                        stream,
                        length,
                        payload.len(),
                    ));
                });
            }
            let expected = [
                (false, 4, 1, 0, 0, 0),
                (true, 4, 1, 0, 0, 0),
                (false, 1, 5, 7, 256, 0),
                (true, 1, 5, 7, 256, KEPT),
            ];
            assert_eq!(seen, expected, "in pieces of {piece}");
        }
    }
}
