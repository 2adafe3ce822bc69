//! Functions that the fuzz targets share.

use std::sync::Arc;

use ndes_proxy::config::types::DnsName;
use ndes_proxy::config::{Config, Limits};
use ndes_proxy::proxy::rules::Rules;
use ndes_proxy::proxy::site::Site;

/// The paths that the minimal configuration publishes.
pub const PATHS: [&str; 5] = [
    "/certsrv/mscep/mscep.dll",
    "/certsrv/mscep/mscep.dll/",
    "/certsrv/mscep/mscep.dll/pkiclient.exe",
    "/certsrv/mscep",
    "/certsrv/mscep/",
];

/// Returns the rules of the minimal configuration, with limits that short inputs reach.
pub fn published() -> (Site<Rules>, Limits) {
    let minimal = include_str!("../../../config/minimal.toml");
    let (config, _) = Config::parse("minimal.toml".as_ref(), minimal)
        .expect("the minimal configuration is valid");
    let limits = Limits {
        uri_bytes: 512,
        header_field_bytes: 256,
        header_fields: 12,
        head_bytes: 1_024,
        ..config.limits
    };
    let application = &config.applications[0];
    let names = application.public_names.iter().map(DnsName::as_str);
    let site = Site::new([(Arc::new(Rules::new(application)), names)]);
    (site, limits)
}

/// Splits `bytes` into pieces, as a network might. The lengths are pseudo-random, and the same for
/// the same bytes.
pub fn pieces(bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    // FNV-1a for the initial state, then xorshift.
    let mut state = bytes.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, b| {
        (hash ^ u64::from(*b)).wrapping_mul(0x100_0000_01b3)
    }) | 1;
    // Long pieces for some inputs, single bytes for others.
    let most = 1 << (state >> 60);
    let mut rest = bytes;
    std::iter::from_fn(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let length = 1 + (state % most) as usize;
        let (piece, behind) = rest.split_at(length.min(rest.len()));
        rest = behind;
        (!piece.is_empty()).then_some(piece)
    })
}

/// Decodes each `%XX` once and leaves all other bytes as they are.
pub fn percent_decode(text: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::new();
    let mut rest = text;
    while let [first, behind @ ..] = rest {
        let triple = rest
            .get(..3)
            .filter(|triple| triple[0] == b'%' && triple[1..].iter().all(u8::is_ascii_hexdigit));
        let byte = triple.and_then(|triple| std::str::from_utf8(&triple[1..]).ok());
        match byte.and_then(|hex| u8::from_str_radix(hex, 16).ok()) {
            Some(byte) => {
                decoded.push(byte);
                rest = &rest[3..];
            }
            None => {
                decoded.push(*first);
                rest = behind;
            }
        }
    }
    decoded
}

/// Returns the result of `read`, which must not allocate more memory at any time than the SCEP
/// parsers promise: twice the size of `bytes` plus 128 KB.
pub fn within_bounds<T>(bytes: &[u8], read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let held = allocation_counter::measure(|| result = Some(read())).bytes_max;
    assert!(
        held <= 2 * bytes.len() as u64 + (128 << 10),
        "{held} bytes allocated"
    );
    result.expect("measure calls read")
}
