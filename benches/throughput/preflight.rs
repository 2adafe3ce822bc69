//! Before any load: does each proxy really do the job that it is compared on?

use crate::Result;
use crate::client::Client;
use crate::load::runtime;
use crate::pki::Pki;
use crate::proxies::Running;
use crate::scenarios::{Handshake, Key, Tls, Version, get, long_target};

/// The longest URI that has to pass.
const URI_BYTES: usize = 65534;

/// Asks `proxy` what it must pass and what it must refuse, on each certificate and TLS version.
pub(crate) fn check(proxy: &Running, pki: &Pki) -> Result<()> {
    let questions = [
        ("longest URI", long_target(URI_BYTES), 200),
        ("URI one byte too long", long_target(URI_BYTES + 1), 414),
        (
            "path in capitals",
            "/CERTSRV/MSCEP/MSCEP.DLL?operation=GetCACaps".to_owned(),
            200,
        ),
        ("other path", "/certsrv/mscep_admin/".to_owned(), 404),
    ];
    let runtime = runtime()?;
    for (what, target, status) in &questions {
        for (version, key) in [
            (Version::Tls13, Key::Ecdsa),
            (Version::Tls13, Key::Rsa),
            (Version::Tls12, Key::Ecdsa),
            (Version::Tls12, Key::Rsa),
        ] {
            let tls = Tls {
                version,
                key,
                handshake: Handshake::Once,
            };
            let client = Client::new(proxy.address, tls, pki)?;
            let seen = runtime.block_on(async {
                let mut connection = client.connect().await?;
                let answer = connection.exchange(&get(target)).await?;
                Result::Ok(answer.status)
            });
            let seen = seen.map_err(|e| format!("{what}: {e}"))?;
            if seen != *status {
                return Err(format!("{what}: answer {seen} instead of {status}").into());
            }
        }
    }
    Ok(())
}
