//! Short values that are stored in place, because memory on the heap would cost more than most of
//! them are long.

use std::fmt;
use std::ops::Deref;

/// The first `N` bytes of a value. `N` is below 256.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct InlineBytes<const N: usize> {
    /// Zeros follow the value.
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> InlineBytes<N> {
    pub fn new(value: &[u8]) -> Self {
        const { assert!(N <= u8::MAX as usize) };
        let mut bytes = [0; N];
        let length = value.len().min(N);
        bytes[..length].copy_from_slice(&value[..length]);
        Self {
            bytes,
            length: length as u8,
        }
    }
}

impl<const N: usize> Deref for InlineBytes<N> {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl<const N: usize> fmt::Debug for InlineBytes<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}
