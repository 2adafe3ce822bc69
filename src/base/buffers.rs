//! The memory that request bodies take, of all connections together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::base::rejection::Rejection;

/// At most `limit` bytes are lent out at a time.
#[derive(Debug)]
pub struct Buffers {
    lent: AtomicUsize,
    limit: usize,
}

/// Bytes lent to one body; given back when dropped.
#[derive(Debug)]
pub struct Lease {
    buffers: Arc<Buffers>,
    bytes: usize,
}

impl Buffers {
    pub fn new(limit: usize) -> Self {
        Self {
            lent: AtomicUsize::new(0),
            limit,
        }
    }

    pub fn lent(&self) -> usize {
        self.lent.load(Ordering::Relaxed)
    }

    pub fn lease(self: &Arc<Self>) -> Lease {
        Lease {
            buffers: self.clone(),
            bytes: 0,
        }
    }
}

impl Lease {
    /// Lends `bytes` more.
    pub fn grow(&mut self, bytes: usize) -> Result<(), Rejection> {
        let within = |lent: usize| {
            lent.checked_add(bytes)
                .filter(|sum| *sum <= self.buffers.limit)
        };
        let lent = self
            .buffers
            .lent
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, within);
        lent.map_err(|_| Rejection::BuffersFull)?;
        self.bytes += bytes;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.buffers.lent.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_lent_and_not_a_byte_more_until_some_comes_back() {
        let buffers = Arc::new(Buffers::new(100));
        let (mut first, mut second) = (buffers.lease(), buffers.lease());
        assert_eq!(first.grow(60), Ok(()));
        assert_eq!(second.grow(40), Ok(()));
        assert_eq!(second.grow(1), Err(Rejection::BuffersFull));
        drop(first);
        assert_eq!(second.grow(60), Ok(()));
        drop(second);
        assert_eq!(buffers.lent(), 0);
    }
}
