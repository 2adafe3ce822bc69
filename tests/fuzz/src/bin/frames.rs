//! The frames of an HTTP/2 connection: the same however the input is split, and the same as a
//! simple parser of RFC 9113 §4.1 finds.

#![no_main]

use libfuzzer_sys::fuzz_target;
use ndes_proxy::edge::h2::frames::{Frames, Passed};
use ndes_proxy_fuzz::pieces;

fuzz_target!(|bytes: &[u8]| {
    let preface = bytes.first().map_or(0, |first| usize::from(first % 32));
    let plain = plain_find(bytes.get(preface..).unwrap_or_default());
    assert_eq!(find(preface, std::iter::once(bytes)), plain);
    assert_eq!(find(preface, pieces(bytes)), plain);
});

/// Type, flags, stream, length and the start of the payload of each complete frame.
type Found = Vec<(u8, u8, u32, usize, Vec<u8>)>;

fn find<'b>(preface: usize, pieces: impl Iterator<Item = &'b [u8]>) -> Found {
    let (mut frames, mut found, mut begun) = (Frames::after(preface), Vec::new(), 0);
    for piece in pieces {
        frames.pass(piece, |passed, frame| match passed {
            Passed::Head => begun += 1,
            Passed::Whole => {
                let start = frame.payload.to_vec();
                found.push((frame.kind, frame.flags, frame.stream, frame.length, start));
                assert_eq!(begun, found.len());
            }
        });
    }
    found
}

fn plain_find(mut bytes: &[u8]) -> Found {
    let mut found = Vec::new();
    while let Some((&[a, b, c, kind, flags, s, t, u, v], rest)) = bytes.split_first_chunk() {
        let length = u32::from_be_bytes([0, a, b, c]) as usize;
        let Some((payload, rest)) = rest.split_at_checked(length) else {
            break;
        };
        let stream = u32::from_be_bytes([s, t, u, v]) & 0x7FFF_FFFF;
        let start = payload[..length.min(40)].to_vec();
        found.push((kind, flags, stream, length, start));
        bytes = rest;
    }
    found
}
