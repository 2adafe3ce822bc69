//! The URLs of a publication.
//!
//! The url crate would add 27 crates to the tree (idna with the tables of ICU4X), and would change
//! what it reads: it normalises the host and resolves dot segments, but the configuration and the
//! diagnostics must show what WAP was given.

use super::publication::quoted;

/// `scheme://host[:port]/path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Url {
    pub(super) https: bool,
    /// As written; not looked at.
    pub(super) host: String,
    /// 443 or 80 unless said.
    pub(super) port: u16,
    /// In lower case, with a `/` at both ends.
    pub(super) path: String,
}

impl Url {
    /// An error is what is wrong with it.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: &str| Err(format!("{} {what}", quoted(text)));
        let Some((scheme, rest)) = text.trim().split_once("://") else {
            return wrong("is no URL");
        };
        let https = scheme.eq_ignore_ascii_case("https");
        if !https && !scheme.eq_ignore_ascii_case("http") {
            return wrong("is neither https nor http");
        }
        if rest.contains(['?', '#', '@', '\\']) {
            return wrong("has more than host, port and path");
        }
        let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
        let (host, port) = match authority.rsplit_once(':') {
            // The colons of an IPv6 address.
            Some((_, after)) if after.ends_with(']') => (authority, None),
            Some((host, port)) => (host, Some(port)),
            None => (authority, None),
        };
        let port = match port.map(str::parse) {
            None => Ok(if https { 443 } else { 80 }),
            Some(port) => port,
        };
        let Ok(port) = port else {
            return wrong("has no number for a port");
        };
        if host.is_empty() || port == 0 {
            return wrong("has no host");
        }
        let path = path.trim_matches('/').to_ascii_lowercase();
        Ok(Self {
            https,
            host: host.to_owned(),
            port,
            path: match path.as_str() {
                "" => "/".to_owned(),
                path => format!("/{path}/"),
            },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts() {
        for (text, https, host, port, path) in [
            ("https://a.test/", true, "a.test", 443, "/"),
            ("HTTPS://A.test", true, "A.test", 443, "/"),
            ("http://a.test/x", false, "a.test", 80, "/x/"),
            (
                "https://*.a.test:8443/CertSrv/mscep/",
                true,
                "*.a.test",
                8443,
                "/certsrv/mscep/",
            ),
            ("https://[::1]/", true, "[::1]", 443, "/"),
            ("https://[::1]:444/", true, "[::1]", 444, "/"),
        ] {
            let url = Url {
                https,
                host: host.to_owned(),
                port,
                path: path.to_owned(),
            };
            assert_eq!(Url::parse(text), Ok(url), "{text}");
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "a.test",
            "ftp://a.test/",
            "https:///x",
            "https://a:b/",
            "https://a:65536/",
            "https://a:0/",
            "https://u@a/",
            "https://a/?b",
            "https://a/#b",
            "https://a\\b/",
        ] {
            assert!(Url::parse(text).is_err(), "{text}");
        }
    }
}
