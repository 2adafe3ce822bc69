//! The limit on the memory that the request bodies of all connections take together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::rejection::Rejection;

/// Leases at most `limit` bytes at a time.
#[derive(Debug)]
pub struct Buffers {
    leased: AtomicUsize,
    limit: usize,
}

/// The bytes leased to one body. They are returned on drop.
#[derive(Debug)]
pub struct Lease {
    buffers: Arc<Buffers>,
    bytes: usize,
}

impl Buffers {
    pub fn new(limit: usize) -> Self {
        Self {
            leased: AtomicUsize::new(0),
            limit,
        }
    }

    /// The bytes that are leased now.
    pub fn leased(&self) -> usize {
        self.leased.load(Ordering::Relaxed)
    }

    /// Returns a lease of no bytes, which can grow.
    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            buffers: self.clone(),
            bytes: 0,
        }
    }
}

impl Lease {
    /// Leases `bytes` more. Fails with `BuffersFull` if that would exceed the limit.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let within = |leased: usize| {
            leased
                .checked_add(bytes)
                .filter(|sum| *sum <= self.buffers.limit)
        };
        let leased = self
            .buffers
            .leased
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        leased.map_err(|_| Rejection::BuffersFull)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffers.leased.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_byte_beyond_the_limit_is_leased_until_some_are_returned() {
        let buffers = Arc::new(Buffers::new(100));
        let (mut first, mut second) = (buffers.lease(), buffers.lease());
        assert_eq!(first.grow(60), Ok(()));
        assert_eq!(second.grow(40), Ok(()));
        assert_eq!(second.grow(1), Err(Rejection::BuffersFull));
        drop(first);
        assert_eq!(second.grow(60), Ok(()));
        drop(second);
        assert_eq!(buffers.leased(), 0);
    }
}
