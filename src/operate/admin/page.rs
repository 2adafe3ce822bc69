//! The status page: one file, which loads all that it shows from `/status.json`.

use aws_lc_rs::rand;
use bytes::Bytes;
use http::header::{CONTENT_SECURITY_POLICY, REFERRER_POLICY, X_FRAME_OPTIONS};
use http::{HeaderValue, Response, StatusCode};
use http_body_util::Full;

use super::{text, typed};

const PAGE: &str = include_str!("status.html");
/// Replaced by the nonce in the page.
const NONCE: &str = "{nonce}";

/// Returns the page. Only its own style and script run: both have a nonce, a random number that is
/// new for each response (CSP Level 3 §2.3.1).
pub(super) fn response() -> Response<Full<Bytes>> {
    let mut random = [0; 16];
    if rand::fill(&mut random).is_err() {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "no random numbers");
    }
    let nonce = format!("{:032x}", u128::from_be_bytes(random));
    let policy = format!(
        "default-src 'none'; style-src 'nonce-{nonce}'; script-src 'nonce-{nonce}'; \
         connect-src 'self'; img-src data:; base-uri 'none'; form-action 'none'; \
         frame-ancestors 'none'"
    );
    let Ok(policy) = HeaderValue::try_from(policy) else {
        return text(StatusCode::INTERNAL_SERVER_ERROR, "see the log");
    };
    let page = PAGE.replace(NONCE, &nonce);
    let mut response = typed(Full::from(page), "text/html; charset=utf-8");
    let fields = response.headers_mut();
    fields.insert(CONTENT_SECURITY_POLICY, policy);
    fields.insert(REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    fields.insert(X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    response
}
