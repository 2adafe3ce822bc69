//! Newtypes of the configuration. Each has one constructor that parses; nothing is checked later.
//! Error texts read `what; cure`, as `config::read` shows them to the admin.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;

/// A DNS name in lower case, without a final dot: compared without regard to case (RFC 4343).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(try_from = "String")]
pub struct DnsName(String);

impl DnsName {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn to_header(&self) -> HeaderValue {
        HeaderValue::from_str(&self.0).expect("a DNS name is visible ASCII")
    }
}

impl AsRef<str> for DnsName {
    fn as_ref(&self) -> &str {
        &self.0
    }
}

impl TryFrom<String> for DnsName {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let name = text.trim_end_matches('.').to_ascii_lowercase();
        let label = |label: &str| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
                && !label.starts_with('-')
                && !label.ends_with('-')
        };
        if name.parse::<IpAddr>().is_ok() {
            return Err(format!(
                "{name} is an address; write the DNS name that the devices use"
            ));
        }
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!(
                "{:?} is no DNS name; write it without scheme, port, path and wildcard, as scep.example.com",
                shortened(&text)
            ));
        }
        Ok(Self(name))
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An absolute path that can mean only itself to IIS: nothing in it that HTTP.sys would decode,
/// fold or cut (`%`, `\`, `//`, dot segments, `;`, `:`, `~`, final dots).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublishedPath(String);

impl PublishedPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this path reaches more than SCEP: the challenge page of administrators, the
    /// policy module's own service, web enrolment, or the whole site.
    pub fn is_dangerous(&self) -> bool {
        let path = self.0.to_ascii_lowercase();
        let parts = [
            "mscep_admin",
            "certificateregistration",
            "certenroll",
            "certfnsh",
            "_ces",
            "adpolicyprovider_cep",
        ];
        let below_mscep = path == "/certsrv/mscep" || path.starts_with("/certsrv/mscep/");
        path == "/"
            || parts.iter().any(|part| path.contains(part))
            || (path.starts_with("/certsrv") && !below_mscep)
    }
}

impl TryFrom<String> for PublishedPath {
    type Error = String;

    fn try_from(path: String) -> Result<Self, String> {
        let plain = path
            .bytes()
            .all(|b| b.is_ascii_graphic() && !b"%\\;:~*?#\"<>|".contains(&b));
        let dots = path
            .split('/')
            .any(|segment| segment.starts_with("..") || segment.ends_with('.'));
        if !path.starts_with('/') || !plain || dots || path.contains("//") {
            return Err(format!(
                "{:?} is no plain path; write one exact path as /certsrv/mscep/mscep.dll, without wildcard, query and escapes",
                shortened(&path)
            ));
        }
        Ok(Self(path))
    }
}

/// The origin of an upstream: `https://host[:port]`.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Origin {
    pub host: DnsName,
    pub port: u16,
}

impl TryFrom<String> for Origin {
    type Error = String;

    fn try_from(url: String) -> Result<Self, String> {
        let cure = "write https://ndes.corp.local, with a port where it is not 443";
        let Some(rest) = url.strip_prefix("https://") else {
            return Err(format!(
                "{:?} does not begin with https://; {cure}",
                shortened(&url)
            ));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!(
                "the URL has a path; {cure}: paths are passed on as published"
            ));
        }
        let (host, port) = match authority.rsplit_once(':') {
            None => (authority, 443),
            Some((host, port)) => (
                host,
                port.parse()
                    .map_err(|_| format!("{port:?} is no port; {cure}"))?,
            ),
        };
        if host.parse::<IpAddr>().is_ok() {
            return Err("the URL has an address for a name; write the name that the certificate of NDES has, \
                        and the address as `address = \"10.0.0.5:443\"`"
                .to_owned());
        }
        Ok(Self {
            host: DnsName::try_from(host.to_owned())?,
            port,
        })
    }
}

/// `address`: an IP address with or without a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct DialAddress {
    ip: IpAddr,
    port: Option<u16>,
}

impl DialAddress {
    pub fn with_port(self, default: u16) -> SocketAddr {
        SocketAddr::new(self.ip, self.port.unwrap_or(default))
    }
}

impl TryFrom<String> for DialAddress {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if let Ok(ip) = text.parse() {
            return Ok(Self { ip, port: None });
        }
        match text.parse::<SocketAddr>() {
            Ok(address) => Ok(Self {
                ip: address.ip(),
                port: Some(address.port()),
            }),
            Err(_) => Err(format!(
                "{:?} is no address; write 10.0.0.5:443 or [fd00::5]:443, or leave `address` out to resolve the name of `url`",
                shortened(&text)
            )),
        }
    }
}

/// SHA-256 of a SubjectPublicKeyInfo, 64 hexadecimal digits; colons and spaces may stand between.
#[derive(Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Pin(pub [u8; 32]);

impl fmt::Debug for Pin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl TryFrom<String> for Pin {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        let wrong = || {
            "this is no SHA-256 of a public key; write the 64 hexadecimal digits of: openssl x509 -in ndes.pem -noout \
             -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256"
                .to_owned()
        };
        let digits: Vec<u32> = text
            .chars()
            .filter(|c| !matches!(c, ':' | ' '))
            .map(|c| c.to_digit(16))
            .collect::<Option<_>>()
            .ok_or_else(wrong)?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| pair.iter().fold(0, |byte, d| byte << 4 | *d as u8))
            .collect();
        if digits.len() != 64 {
            return Err(wrong());
        }
        bytes.try_into().map(Self).map_err(|_| wrong())
    }
}

/// A positive duration, as `30s`, `500ms` or `2m`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Period(pub Duration);

impl TryFrom<String> for Period {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match humantime::parse_duration(&text) {
            Ok(period)
                if (Duration::from_millis(1)..=Duration::from_secs(86_400)).contains(&period) =>
            {
                Ok(Self(period))
            }
            _ => Err(format!(
                "{:?} is no time between 1ms and 24h; write it as \"30s\" or \"2m\"",
                shortened(&text)
            )),
        }
    }
}

/// A token bucket: `per_second` tokens come back each second, at most `burst` are held.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// A number of bytes or of things, within what makes sense.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count<const LEAST: usize, const MOST: usize>(pub usize);

impl<const LEAST: usize, const MOST: usize> TryFrom<i64> for Count<LEAST, MOST> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(count) if (LEAST..=MOST).contains(&count) => Ok(Self(count)),
            _ => Err(format!(
                "{number} is out of range; write a whole number from {LEAST} to {MOST}"
            )),
        }
    }
}

/// The start of what somebody wrote, for an error text.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
