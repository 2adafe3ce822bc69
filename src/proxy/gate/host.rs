//! Which application a request is for: by Host, held against the SNI of its connection.

use crate::base::client::Peer;
use crate::base::head::{Head, Host, Version, host_name};
use crate::base::rejection::Rejection;
use crate::proxy::site::Site;

/// The index of the application, or why there is none.
pub(super) fn application(head: &Head, peer: &Peer, site: &Site) -> Result<usize, Rejection> {
    // The name of its certificate was published when the connection began, and is no more.
    if peer.sni.is_some() && peer.application.is_none() {
        return Err(Rejection::HostNotPublished);
    }
    let host = match (&head.host, head.version) {
        (Host::Several, _) => return Err(Rejection::HostInvalid),
        (Host::One(host), _) => Some(&host[..]),
        // HTTP/1.0 knows no Host field; its absolute form names one all the same.
        (Host::Absent, Version::Http10) => head.target.authority.as_deref(),
        (Host::Absent, _) => return Err(Rejection::HostMissing),
    };
    let Some(host) = host else {
        return Ok(peer.application.unwrap_or(0));
    };
    // Nearly every client writes the name that it asked TLS for, and there it was found already.
    if let (Some(sni), Some(application), None) =
        (&peer.sni, peer.application, &head.target.authority)
        && sni.as_bytes() == host
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
    match peer.application {
        // Another application than the one whose certificate the client has seen.
        Some(chosen) if chosen != application => Err(Rejection::HostNotPublished),
        _ => Ok(application),
    }
}
