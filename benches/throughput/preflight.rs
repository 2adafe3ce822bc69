//! Checks before any load that each proxy really does the task on which it is compared.

use crate::Result;
use crate::client::Client;
use crate::http2::{self, Multiplexed};
use crate::load::runtime;
use crate::pki::{PUBLIC_NAME, Pki};
use crate::proxies::RunningProxy;
use crate::request::{URI_BYTES, get, long_target};
use crate::scenarios::{Handshake, Http, KEEP_ALIVE, Key, Tls, Version};

/// Checks that `proxy` passes what it must pass and refuses what it must refuse, with each
/// certificate and TLS version, and over HTTP/2.
pub(crate) fn check(proxy: &RunningProxy, pki: &Pki) -> Result<()> {
    let checks = [
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
    let two = Http::Two { streams: 1 };
    for (what, target, status) in &checks {
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
            let client = Client::new(proxy.address, tls, Http::One.protocol(), pki)?;
            let found = runtime.block_on(async {
                let mut connection = client.connect().await?;
                let response = connection.exchange(&get(target, PUBLIC_NAME)).await?;
                Result::Ok(response.status)
            });
            let found = found.map_err(|e| format!("{what}: {e}"))?;
            expect(what, found, *status)?;
        }
        // Over HTTP/2, nginx closes the connection instead of responding with 414.
        if *status != 414 {
            let client = Client::new(proxy.address, KEEP_ALIVE, two.protocol(), pki)?;
            let request = http2::translate(&get(target, PUBLIC_NAME))?;
            let response = runtime.block_on(Multiplexed::new(client).exchange(&request));
            let (found, _) = response.map_err(|e| format!("{what}, HTTP/2: {e}"))?;
            expect(what, found, *status)?;
        }
    }
    Ok(())
}

fn expect(what: &str, found: u16, status: u16) -> Result<()> {
    match found == status {
        true => Ok(()),
        false => Err(format!("{what}: status {found} instead of {status}").into()),
    }
}
