//! The name in a Host value: only the port and a final dot are removed, and the name finds only the
//! application with the same name.

#![no_main]

use std::sync::LazyLock;

use libfuzzer_sys::fuzz_target;
use ndes_proxy::base::head::host_name;
use ndes_proxy::proxy::rules::Rules;
use ndes_proxy::proxy::site::Site;
use ndes_proxy_fuzz::published;

static SITE: LazyLock<Site<Rules>> = LazyLock::new(|| published().0);

fuzz_target!(|bytes: &[u8]| {
    let Some((name, port)) = host_name(bytes) else {
        return;
    };
    let rest = bytes
        .strip_prefix(name.as_bytes())
        .expect("the value starts with the name");
    let rest = rest.strip_prefix(b".").unwrap_or(rest);
    match (rest, port) {
        ([], None) => {}
        ([b':', digits @ ..], Some(port)) => {
            assert!(digits.iter().all(u8::is_ascii_digit));
            let digits = std::str::from_utf8(digits).expect("digits");
            assert_eq!(digits.parse(), Ok(port));
        }
        _ => panic!("{rest:?} is neither a port nor nothing"),
    }
    assert!(
        name.bytes()
            .all(|b| b.is_ascii_graphic() && !b"@/?#\\%,".contains(&b))
    );
    if SITE.find(name).is_some() {
        assert!(name.eq_ignore_ascii_case("scep.example.com"));
    }
});
