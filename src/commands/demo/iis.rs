//! Simulates IIS: how it reads a path, and its pages.
//!
//! Called by `ndes`, and by `http_sys` for the responses of request filtering.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::query::percent_decode;

/// A response with its complete body.
pub type FullResponse = Response<Full<Bytes>>;

/// The resource at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Resource {
    /// mscep.dll, with or without a path after it, and the folder whose default page it is.
    Mscep,
    /// The page that shows challenge passwords after Windows authentication. It must never be
    /// published.
    MscepAdmin,
    Elsewhere,
}

impl Resource {
    /// Reads the path of a request as IIS does: percent-decodes it once, treats `\` as `/`,
    /// resolves empty and dot segments, and ignores case.
    pub fn of(raw_path: &str) -> Self {
        let decoded = percent_decode(raw_path).to_ascii_lowercase();
        let mut segments: Vec<&[u8]> = Vec::new();
        for segment in decoded.split(|byte| matches!(byte, b'/' | b'\\')) {
            match segment {
                b"" | b"." => {}
                b".." => {
                    segments.pop();
                }
                name => segments.push(name),
            }
        }
        match segments.as_slice() {
            [b"certsrv", b"mscep"] | [b"certsrv", b"mscep", b"mscep.dll", ..] => Self::Mscep,
            [b"certsrv", b"mscep_admin", ..] => Self::MscepAdmin,
            _ => Self::Elsewhere,
        }
    }
}

/// Returns an HTML page of IIS or of a module in it.
pub fn page(status: StatusCode, heading: &str, text: &str) -> FullResponse {
    response(status, "text/html", html(heading, text))
}

/// Returns the 401 of a folder with Windows authentication, which offers both schemes.
pub fn windows_authentication() -> FullResponse {
    let mut response = page(
        StatusCode::UNAUTHORIZED,
        "401 - Unauthorized: Access is denied due to invalid credentials.",
        "This folder requires a Windows account.",
    );
    for scheme in ["Negotiate", "NTLM"] {
        let value = HeaderValue::from_static(scheme);
        response
            .headers_mut()
            .append(header::WWW_AUTHENTICATE, value);
    }
    response
}

pub fn forbidden() -> FullResponse {
    page(
        StatusCode::FORBIDDEN,
        "403 - Forbidden: Access is denied.",
        "You do not have permission to view this page.",
    )
}

pub fn internal_error() -> FullResponse {
    page(
        StatusCode::INTERNAL_SERVER_ERROR,
        "500 - Internal server error.",
        "The request could not be processed.",
    )
}

/// Returns a response with the header fields that IIS adds. hyper adds `Content-Length`.
pub fn response(
    status: StatusCode,
    content_type: &'static str,
    body: impl Into<Bytes>,
) -> FullResponse {
    let content_type = HeaderValue::from_static(content_type);
    with_server_fields(status, Some(content_type), body.into())
}

/// Returns a response of another server with the header fields that IIS adds. The content type is
/// optional because the other server may omit it.
pub fn with_server_fields(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
) -> FullResponse {
    let mut response = Response::new(Full::new(body));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(
        header::SERVER,
        HeaderValue::from_static("Microsoft-IIS/10.0"),
    );
    headers.insert("x-powered-by", HeaderValue::from_static("ASP.NET"));
    response
}

pub fn html(heading: &str, text: &str) -> String {
    format!(
        "<!DOCTYPE html>\r\n<html><head><title>{heading}</title></head>\r\n\
         <body><h2>{heading}</h2><p>{text}</p></body></html>\r\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_spelling_of_the_path_leads_to_mscep() {
        for path in [
            "/certsrv/mscep/mscep.dll",
            "/certsrv/mscep/mscep.dll/",
            "/CertSrv/mscep/MSCEP.DLL/pkiclient.exe",
            "/certsrv/mscep",
            "/certsrv/mscep/",
            "//certsrv/./x/../mscep\\mscep.dll",
            "/%63ertsrv/mscep/mscep%2edll",
        ] {
            assert_eq!(Resource::of(path), Resource::Mscep, "{path}");
        }
    }

    #[test]
    fn every_indirect_path_to_mscep_admin_is_recognised() {
        for path in [
            "/certsrv/mscep_admin",
            "/certsrv/mscep_admin/x",
            "/certsrv/mscep/../mscep_admin/",
            "/certsrv/mscep/mscep.dll/..%2f..%2fmscep_admin",
            "/certsrv/mscep/%5c..%5c\\mscep_ADMIN",
            "/certsrv/mscep/%2e%2e/mscep_admin",
            "/../certsrv//mscep_admin",
        ] {
            assert_eq!(Resource::of(path), Resource::MscepAdmin, "{path}");
        }
    }

    #[test]
    fn all_other_paths_are_elsewhere() {
        for path in [
            "/",
            "*",
            "/certsrv/",
            "/certsrv/mscep/mscep.dllx",
            "/certsrv/mscep/other",
            "/certsrv/mscep_administrator",
            // Decoded once only.
            "/certsrv/mscep/%252e%252e/mscep_admin",
        ] {
            assert_eq!(Resource::of(path), Resource::Elsewhere, "{path}");
        }
    }
}
