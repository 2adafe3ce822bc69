//! What a publication loses with Web Application Proxy: what an admin must know, and what to note.

use super::publication::{Publication, Word};
use super::select::{Scope, Selected};
use crate::base::problem::Diagnostic;

impl Selected<'_> {
    /// What an admin must know even without reading the configuration.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        let wide = match self.width {
            Scope::Scep => None,
            Scope::Certsrv => Some("all of /certsrv/"),
            Scope::WholeSite => Some("the whole site"),
        };
        let narrowed = wide.map(|wide| {
            Diagnostic::warning(
                format!(
                    "WAP published {wide}, ndes-proxy publishes SCEP only: /certsrv/mscep_admin/ \
                     is no longer reachable from outside, nor is web enrolment"
                ),
                "with Intune nothing is missing; an MDM that fetches challenge passwords from \
                 mscep_admin (Fleet, BigFix, Workspace ONE and others) must reach NDES by a way of its own",
            )
        });
        let unsure = (!self.sure).then(|| {
            let cure = "remove its [[application]] if it is another application";
            Diagnostic::warning("nothing but a whole site says that this is NDES", cure)
        });
        let unverified = self
            .publication
            .backend_server_certificate_validation
            .as_ref();
        let unverified = unverified.filter(|word| word.is_first("None")).map(|_| {
            Diagnostic::warning(
                "WAP did not verify the certificate of NDES, ndes-proxy does",
                "see that it is in date, has the name in url, and leads to a root in ca_roots",
            )
        });
        [narrowed, unsure, unverified].into_iter().flatten()
    }
}

/// What this publication had and the proxy has not, or has otherwise.
pub(super) fn notes(publication: &Publication) -> Vec<String> {
    let mut notes = Vec::new();
    let on = |flag: Option<bool>| flag == Some(true);
    if on(publication.enable_http_redirect) {
        notes.push(
            "EnableHTTPRedirect: the proxy serves no port 80. \
             Devices need the https:// URL in their profile."
                .to_owned(),
        );
    }
    if on(publication.disable_translate_url_in_request_headers) {
        notes.push(
            "DisableTranslateUrlInRequestHeaders: NDES got the public name in Host; \
             now it gets that of url, or server_name where you set it."
                .to_owned(),
        );
    }
    if matches!(
        publication.external_preauthentication,
        Some(Word::Number(_))
    ) {
        notes.push(
            "ExternalPreauthentication is the number 0 in the file, \
             taken for PassThrough: see that it is."
                .to_owned(),
        );
    }
    let said = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let unused: Vec<_> = [
        (
            "BackendServerAuthenticationSPN",
            said(&publication.backend_server_authentication_spn),
        ),
        (
            "ClientCertificatePreauthenticationThumbprint",
            said(&publication.client_certificate_preauthentication_thumbprint),
        ),
        (
            "DisableHttpOnlyCookieProtection",
            on(publication.disable_http_only_cookie_protection),
        ),
        (
            "DisableTranslateUrlInResponseHeaders",
            on(publication.disable_translate_url_in_response_headers),
        ),
        ("EnableSignOut", on(publication.enable_sign_out)),
        (
            "UseOAuthAuthentication",
            on(publication.use_oauth_authentication),
        ),
    ]
    .into_iter()
    .filter_map(|(key, is_set)| is_set.then_some(key))
    .collect();
    if !unused.is_empty() {
        let unused = unused.join(", ");
        notes.push(format!(
            "Without counterpart, and without use for SCEP: {unused}."
        ));
    }
    notes
}
