//! The types of values with a syntax of their own.
//!
//! Each type has one constructor, which parses and validates the text, so that a value needs no
//! checks later. Errors have the form `what; cure`, which `config::read` shows to the admin.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::time::Duration;

use http::HeaderValue;
use serde::Deserialize;

use super::example::{Example, examples};

/// A DNS name in lower case and without a final dot, so that names that differ only in case are
/// equal (RFC 4343).
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
                "{name} is an IP address; write the DNS name that is in the certificate of the server"
            ));
        }
        if name.len() > 253 || !name.split('.').all(label) {
            return Err(format!(
                "{:?} is not a DNS name; write it without scheme, port, path or wildcard, such as \"scep.example.com\"",
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

/// An absolute path that IIS can interpret in one way only: it contains nothing that HTTP.sys would
/// decode, fold or cut (`%`, `\`, `//`, dot segments, `;`, `:`, `~`, final dots).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct PublishedPath(String);

impl PublishedPath {
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Returns whether this path gives access to more than SCEP: the challenge page for
    /// administrators, the service of the policy module, web enrolment, or the whole site.
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
                "{:?} is not a plain path; write one exact path such as \"/certsrv/mscep/mscep.dll\", without wildcard, query or escapes",
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
        let cure = "write it as \"https://ndes.corp.local\", with a port if it is not 443";
        let Some(rest) = url.strip_prefix("https://") else {
            return Err(format!(
                "{:?} does not begin with https://; {cure}",
                shortened(&url)
            ));
        };
        let authority = rest.strip_suffix('/').unwrap_or(rest);
        if authority.contains(['/', '?', '#']) {
            return Err(format!(
                "the URL has a path; {cure}, and without a path: NDES receives the published paths"
            ));
        }
        let (host, port) = match authority.rsplit_once(':') {
            None => (authority, 443),
            Some((host, port)) => (
                host,
                port.parse()
                    .map_err(|_| format!("{port:?} is not a port; {cure}"))?,
            ),
        };
        if let Ok(ip) = host.parse() {
            let address = SocketAddr::new(ip, port);
            return Err(format!(
                "the URL contains an IP address; write the name that is in the certificate of NDES, \
                 and the address as `address = \"{address}\"`"
            ));
        }
        Ok(Self {
            host: DnsName::try_from(host.to_owned())?,
            port,
        })
    }
}

/// The value of `address`: an IP address with or without a port.
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
                "{:?} is not an IP address; write it as \"10.0.0.5:443\" or \"[fd00::5]:443\", or remove `address` to resolve the name in `url`",
                shortened(&text)
            )),
        }
    }
}

/// The SHA-256 of a SubjectPublicKeyInfo, written as 64 hexadecimal digits. Colons and spaces
/// between them are ignored.
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
            "this is not the SHA-256 of a public key; write in double quotes the 64 hexadecimal digits that this command prints: \
             openssl x509 -in ndes.pem -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256"
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

/// A duration from 1 ms to 24 h, written as `30s`, `500ms` or `2m`.
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
                "{:?} is not a time from 1ms to 24h; write it as \"30s\" or \"2m\"",
                shortened(&text)
            )),
        }
    }
}

/// A [`Period`], or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Interval(pub(super) Option<Duration>);

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &text[..] {
            "off" => Ok(Self(None)),
            _ => Period::try_from(text)
                .map(|period| Self(Some(period.0)))
                .map_err(|error| error + ", or \"off\""),
        }
    }
}

/// A token bucket: it holds at most `burst` tokens and regains `per_second` tokens each second.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quota {
    pub per_second: NonZeroU32,
    pub burst: NonZeroU32,
}

/// A number of bytes, threads, requests and so on, from `MIN` to `MAX`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub struct Count<const MIN: usize, const MAX: usize>(pub usize);

impl<const MIN: usize, const MAX: usize> TryFrom<i64> for Count<MIN, MAX> {
    type Error = String;

    fn try_from(number: i64) -> Result<Self, String> {
        match usize::try_from(number) {
            Ok(count) if (MIN..=MAX).contains(&count) => Ok(Self(count)),
            _ => Err(format!(
                "{number} is out of range; write a whole number from {MIN} to {MAX}"
            )),
        }
    }
}

impl<const MIN: usize, const MAX: usize> Example for Count<MIN, MAX> {
    fn example() -> String {
        format!("a whole number from {MIN} to {MAX}")
    }
}

examples! {
    DnsName: "\"scep.example.com\"",
    PublishedPath: "\"/certsrv/mscep/mscep.dll\"",
    Origin: "\"https://ndes.corp.local\"",
    DialAddress: "\"10.0.0.5:443\"",
    Pin: "the 64 hexadecimal digits in double quotes",
    Period: "\"30s\"",
    Interval: "\"5s\" or \"off\"",
    Quota: "{ per_second = 100, burst = 1000 }, both at least 1",
}

/// Returns the first 80 characters of `text`, for an error message.
fn shortened(text: &str) -> String {
    text.chars().take(80).collect()
}
