//! A copy of a response body while it is forwarded. The pieces are shared, and none is delayed.

use bytes::{Bytes, BytesMut};

#[derive(Debug)]
pub(super) enum BodyCopy {
    /// The body is of no interest, or it was too long.
    Closed,
    /// Most SCEP responses arrive in one piece, which is shared instead of copied.
    One(Bytes),
    Several(BytesMut),
}

/// More than any SCEP response: CertReps of 23 KB have been observed.
const MOST: usize = 256 << 10;

impl BodyCopy {
    pub(super) fn open() -> Self {
        Self::One(Bytes::new())
    }

    pub(super) fn add(&mut self, data: &Bytes) {
        *self = match std::mem::replace(self, Self::Closed) {
            Self::One(first) if first.is_empty() && data.len() <= MOST => Self::One(data.clone()),
            Self::One(first) => Self::Several(BytesMut::from(first)).with(data),
            several @ Self::Several(_) => several.with(data),
            Self::Closed => Self::Closed,
        };
    }

    fn with(self, data: &Bytes) -> Self {
        match self {
            Self::Several(mut all) if all.len() + data.len() <= MOST => {
                all.extend_from_slice(data);
                Self::Several(all)
            }
            _ => Self::Closed,
        }
    }

    /// Returns the whole body. Returns `None` if it was of no interest or too long.
    pub(super) fn take(&mut self) -> Option<Bytes> {
        match std::mem::replace(self, Self::Closed) {
            Self::Closed => None,
            Self::One(all) => Some(all),
            Self::Several(all) => Some(all.freeze()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_are_joined() {
        let mut copy = BodyCopy::open();
        for piece in ["", "one", "", "two", "three"] {
            copy.add(&Bytes::from(piece));
        }
        assert_eq!(copy.take().unwrap(), "onetwothree");
        assert_eq!(copy.take(), None);
    }

    #[test]
    fn one_piece_is_shared() {
        let piece = Bytes::from(vec![7; 100]);
        let mut copy = BodyCopy::open();
        copy.add(&piece);
        assert_eq!(copy.take().unwrap().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn a_body_over_256_kb_is_not_kept() {
        let fits = Bytes::from(vec![0; MOST]);
        let mut copy = BodyCopy::open();
        copy.add(&fits);
        copy.add(&Bytes::from_static(b"x"));
        assert_eq!(copy.take(), None);
        let mut copy = BodyCopy::open();
        copy.add(&Bytes::from(vec![0; MOST + 1]));
        assert_eq!(copy.take(), None);
        let mut copy = BodyCopy::open();
        copy.add(&fits);
        assert_eq!(copy.take().unwrap().len(), MOST);
    }
}
