//! Examples of values, for the error message that an admin gets after writing something else.
//!
//! Each module of the configuration implements [`Example`] beside the types that it defines.

use std::net::SocketAddr;
use std::path::PathBuf;

use ipnet::IpNet;
use serde::de::DeserializeOwned;

/// A type that a key of the configuration may have.
pub(super) trait Example: DeserializeOwned {
    /// Returns a value as it is written in TOML. In errors, the text follows the words "write it as".
    fn example() -> String;
}

/// Implements [`Example`] for types that are always written alike.
macro_rules! examples {
    ($($of:ty: $text:literal,)+) => {
        $(impl $crate::config::example::Example for $of {
            fn example() -> String {
                $text.to_owned()
            }
        })+
    };
}
pub(super) use examples;

examples! {
    bool: "true or false",
    String: "text in double quotes, such as \"ndes\"",
    PathBuf: "\"corp-root.pem\"",
    SocketAddr: "\"127.0.0.1:8443\"",
    IpNet: "\"203.0.113.0/24\"",
}
