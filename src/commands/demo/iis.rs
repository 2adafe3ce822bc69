//! IIS as the simulated NDES shows it: how it reads a path, and its pages.
//!
//! Called by `ndes` and, for the answers of request filtering, by `http_sys`.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::Full;

use super::query::percent_decode;

pub type Answer = Response<Full<Bytes>>;

/// What is found at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// mscep.dll, with or without a path behind it, and the folder it is the default page of.
    Mscep,
    /// Where challenge passwords are shown after Windows authentication: never to be published.
    MscepAdmin,
    Elsewhere,
}

impl Place {
    /// Reads the path of a request as IIS does: decoded once, `\` is `/`, empty and dot segments
    /// resolved, any case.
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

/// A page that IIS or a module in it answers with.
pub fn page(status: StatusCode, heading: &str, text: &str) -> Answer {
    answer(status, "text/html", html(heading, text))
}

/// 401 of a folder with Windows authentication, which offers both schemes.
pub fn windows_authentication() -> Answer {
    let mut answer = page(
        StatusCode::UNAUTHORIZED,
        "401 - Unauthorized: Access is denied due to invalid credentials.",
        "This folder asks for a Windows account.",
    );
    for scheme in ["Negotiate", "NTLM"] {
        let value = HeaderValue::from_static(scheme);
        answer.headers_mut().append(header::WWW_AUTHENTICATE, value);
    }
    answer
}

pub fn forbidden() -> Answer {
    page(
        StatusCode::FORBIDDEN,
        "403 - Forbidden: Access is denied.",
        "This page cannot be shown with the rights that you have.",
    )
}

pub fn internal_error() -> Answer {
    page(
        StatusCode::INTERNAL_SERVER_ERROR,
        "500 - Internal server error.",
        "The request could not be worked on.",
    )
}

/// An answer that went through IIS; `Content-Length` comes from hyper.
pub fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let content_type = HeaderValue::from_static(content_type);
    with_server_fields(status, Some(content_type), body.into())
}

/// The same for what another server said, which may have named no content type.
pub fn with_server_fields(
    status: StatusCode,
    content_type: Option<HeaderValue>,
    body: Bytes,
) -> Answer {
    let mut answer = Response::new(Full::new(body));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    if let Some(content_type) = content_type {
        headers.insert(header::CONTENT_TYPE, content_type);
    }
    headers.insert(
        header::SERVER,
        HeaderValue::from_static("Microsoft-IIS/10.0"),
    );
    headers.insert("x-powered-by", HeaderValue::from_static("ASP.NET"));
    answer
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
    fn mscep_is_found_by_every_spelling() {
        for path in [
            "/certsrv/mscep/mscep.dll",
            "/certsrv/mscep/mscep.dll/",
            "/CertSrv/mscep/MSCEP.DLL/pkiclient.exe",
            "/certsrv/mscep",
            "/certsrv/mscep/",
            "//certsrv/./x/../mscep\\mscep.dll",
            "/%63ertsrv/mscep/mscep%2edll",
        ] {
            assert_eq!(Place::of(path), Place::Mscep, "{path}");
        }
    }

    #[test]
    fn mscep_admin_is_reached_by_every_detour() {
        for path in [
            "/certsrv/mscep_admin",
            "/certsrv/mscep_admin/x",
            "/certsrv/mscep/../mscep_admin/",
            "/certsrv/mscep/mscep.dll/..%2f..%2fmscep_admin",
            "/certsrv/mscep/%5c..%5c\\mscep_ADMIN",
            "/certsrv/mscep/%2e%2e/mscep_admin",
            "/../certsrv//mscep_admin",
        ] {
            assert_eq!(Place::of(path), Place::MscepAdmin, "{path}");
        }
    }

    #[test]
    fn the_rest_is_elsewhere() {
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
            assert_eq!(Place::of(path), Place::Elsewhere, "{path}");
        }
    }
}
