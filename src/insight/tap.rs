//! A copy of an answer as it streams by: the pieces are shared, not held up.

use bytes::{Bytes, BytesMut};

#[derive(Debug)]
pub(super) enum Tap {
    /// What comes is of no interest, or was too much.
    Closed,
    /// Most answers of SCEP come in one piece, which is kept without a copy.
    One(Bytes),
    Several(BytesMut),
}

/// Beyond any answer of SCEP: CertReps of 23 KB have been seen.
const MOST: usize = 256 << 10;

impl Tap {
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

    /// All that came. None where it was of no interest or too much.
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
    fn pieces_come_together() {
        let mut tap = Tap::open();
        for piece in ["", "one", "", "two", "three"] {
            tap.add(&Bytes::from(piece));
        }
        assert_eq!(tap.take().unwrap(), "onetwothree");
        assert_eq!(tap.take(), None);
    }

    #[test]
    fn one_piece_is_shared() {
        let piece = Bytes::from(vec![7; 100]);
        let mut tap = Tap::open();
        tap.add(&piece);
        assert_eq!(tap.take().unwrap().as_ptr(), piece.as_ptr());
    }

    #[test]
    fn too_much_is_given_up() {
        let fits = Bytes::from(vec![0; MOST]);
        let mut tap = Tap::open();
        tap.add(&fits);
        tap.add(&Bytes::from_static(b"x"));
        assert_eq!(tap.take(), None);
        let mut tap = Tap::open();
        tap.add(&Bytes::from(vec![0; MOST + 1]));
        assert_eq!(tap.take(), None);
        let mut tap = Tap::open();
        tap.add(&fits);
        assert_eq!(tap.take().unwrap().len(), MOST);
    }
}
