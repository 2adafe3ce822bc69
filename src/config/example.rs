//! How a value of each type is written, for an admin who wrote something else. Used by `read`.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::DeserializeOwned;

use super::reload::Interval;
use super::scep::{Message, OnUnreadable, PolicyModule, WeakestCipher, WeakestDigest};
use super::types::{Count, DialAddress, DnsName, Origin, Period, Pin, PublishedPath, Quota};
use super::{ClientAddress, LogFormat, LogLevel, Protocol};
use crate::base::head::Method;
use crate::scep::Operation;

/// A type that a key of the configuration may have.
pub(super) trait Example: DeserializeOwned {
    /// A value as it stands in TOML.
    fn example() -> String;
}

macro_rules! examples {
    ($($of:ty: $text:literal,)+) => {
        $(impl Example for $of {
            fn example() -> String {
                $text.to_owned()
            }
        })+
    };
}

examples! {
    bool: "true or false",
    String: "text in double quotes, as \"ndes\"",
    PathBuf: "\"corp-root.pem\"",
    SocketAddr: "\"127.0.0.1:8443\"",
    DialAddress: "\"10.0.0.5:443\"",
    IpNet: "\"203.0.113.0/24\"",
    DnsName: "\"scep.example.com\"",
    Origin: "\"https://ndes.corp.local\"",
    PublishedPath: "\"/certsrv/mscep/mscep.dll\"",
    Pin: "the 64 hexadecimal digits in double quotes",
    Period: "\"30s\"",
    Interval: "\"5s\" or \"off\"",
    Quota: "{ per_second = 100, burst = 1000 }, both at least 1",
    Protocol: "\"http/1.1\"",
    LogFormat: "\"text\"",
    LogLevel: "\"info\"",
    Method: "\"GET\"",
    Operation: "\"GetCACaps\"",
    ClientAddress: "\"none\"",
    PolicyModule: "\"intune\" or \"none\"",
    OnUnreadable: "\"forward\" or \"refuse\"",
    Message: "\"GetCRL\"",
    WeakestDigest: "\"sha256\"",
    WeakestCipher: "\"aes128-cbc\"",
}

impl<const LEAST: usize, const MOST: usize> Example for Count<LEAST, MOST> {
    fn example() -> String {
        format!("a whole number from {LEAST} to {MOST}")
    }
}
