//! Counts the handshake records in the bytes that a TLS server sends.
//!
//! rustls declines a new handshake within a connection and does not report it. IIS begins one under
//! TLS 1.2 to request a client certificate once it knows the path, and then closes the connection.
//! Only the record type, which is not encrypted (RFC 5246 §6.2.1), distinguishes that from any
//! other broken connection. TLS 1.3 hides the types, and has no such handshake.

/// The position within the stream of records.
#[derive(Debug, Default)]
pub(super) struct Records {
    /// Reading type, version and length, of which `have` bytes have arrived.
    header: [u8; 5],
    have: usize,
    /// Skipping the record, of which this many bytes are still to come.
    left: usize,
}

const HANDSHAKE: u8 = 22;

impl Records {
    /// Processes the next bytes. Returns how many handshake records begin in them.
    pub(super) fn handshakes(&mut self, mut bytes: &[u8]) -> u64 {
        let mut found = 0;
        loop {
            let skipped = self.left.min(bytes.len());
            self.left -= skipped;
            bytes = &bytes[skipped..];
            let Some((first, rest)) = bytes.split_first() else {
                return found;
            };
            bytes = rest;
            self.header[self.have] = *first;
            self.have += 1;
            if self.have == self.header.len() {
                let [kind, _, _, high, low] = self.header;
                self.left = usize::from(u16::from_be_bytes([high, low]));
                self.have = 0;
                found += u64::from(kind == HANDSHAKE);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn handshake_records_are_counted_however_the_bytes_are_split() {
        let record = |kind: u8, length: u16| {
            let mut bytes = vec![kind, 3, 3];
            bytes.extend(length.to_be_bytes());
            // The content looks like another handshake record.
            bytes.extend([22, 3, 3, 0, 1].iter().cycle().take(length.into()));
            bytes
        };
        let stream = [
            record(22, 300),
            record(23, 16_384),
            record(21, 2),
            record(22, 0),
            record(23, 0),
            record(22, 20),
        ]
        .concat();
        for piece in [1, 2, 5, 7, 1_000, stream.len()] {
            let mut records = Records::default();
            let found: u64 = stream.chunks(piece).map(|b| records.handshakes(b)).sum();
            assert_eq!(found, 3, "in pieces of {piece}");
        }
    }
}
