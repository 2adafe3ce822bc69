//! Which application a request is for: by Host, compared with the SNI of its connection.

use std::sync::Arc;

use crate::base::head::{Head, Host, Version, host_name};
use crate::base::rejection::Rejection;
use crate::proxy::site::{Site, Sni};

pub(super) fn application<'a, A>(
    head: &Head,
    sni: Option<&'a Sni<A>>,
    site: &'a Site<A>,
) -> Result<&'a Arc<A>, Rejection> {
    let chosen = match sni {
        None => None,
        // The name was published when the connection began, and is not any more.
        Some(Sni {
            application: None, ..
        }) => return Err(Rejection::HostNotPublished),
        Some(Sni {
            name,
            application: Some(application),
        }) => Some((name, application)),
    };
    let host = match (&head.host, head.version) {
        (Host::Several, _) => return Err(Rejection::HostInvalid),
        (Host::One(host), _) => Some(&host[..]),
        // HTTP/1.0 has no Host field, but its absolute form names a host too.
        (Host::Absent, Version::Http10) => head.target.authority.as_deref(),
        (Host::Absent, _) => return Err(Rejection::HostMissing),
    };
    let Some(host) = host else {
        return Ok(chosen.map_or_else(|| site.default_application(), |(_, chosen)| chosen));
    };
    // Nearly every client sends the same name in TLS and in Host, and it has been looked up already.
    if let (Some((name, application)), None) = (chosen, &head.target.authority)
        && name.as_bytes() == host
    {
        return Ok(application);
    }
    let (name, port) = host_name(host).ok_or(Rejection::HostInvalid)?;
    if let Some(authority) = &head.target.authority {
        let (same_name, same_port) = host_name(authority).ok_or(Rejection::HostInvalid)?;
        if !same_name.eq_ignore_ascii_case(name) || same_port.unwrap_or(443) != port.unwrap_or(443)
        {
            return Err(Rejection::HostInvalid);
        }
    }
    let application = site.find(name).ok_or(Rejection::HostNotPublished)?;
    match chosen {
        // Another application than the one whose certificate the client has verified.
        Some((_, chosen)) if !Arc::ptr_eq(chosen, application) => Err(Rejection::HostNotPublished),
        _ => Ok(application),
    }
}
