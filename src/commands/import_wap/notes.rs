//! The differences between a publication in Web Application Proxy and in ndes-proxy: warnings for
//! the admin, and notes for the configuration.

use super::publication::{Publication, Word};
use super::select::{Scope, Selected};
use crate::base::problem::Diagnostic;

impl Selected<'_> {
    /// Returns warnings that an admin must get even without reading the configuration.
    pub(super) fn diagnostics(&self) -> impl Iterator<Item = Diagnostic> {
        let wider = match self.scope {
            Scope::Scep => None,
            Scope::Certsrv => Some("all of /certsrv/"),
            Scope::WholeSite => Some("the whole site"),
        };
        let narrowed = wider.map(|wider| {
            Diagnostic::warning(
                format!(
                    "WAP published {wider}, ndes-proxy publishes SCEP only: /certsrv/mscep_admin/ \
                     and web enrolment are no longer reachable from outside"
                ),
                "with Intune nothing is missing; an MDM that fetches challenge passwords from \
                 mscep_admin (Fleet, BigFix, Workspace ONE and others) needs its own connection to NDES",
            )
        });
        let uncertain = (!self.is_certain).then(|| {
            let cure = "remove its [[application]] if it is another application";
            Diagnostic::warning(
                "publishes a whole site, without any other sign that it is NDES",
                cure,
            )
        });
        let unverified = self
            .publication
            .backend_server_certificate_validation
            .as_ref();
        let unverified = unverified.filter(|word| word.is_first("None")).map(|_| {
            Diagnostic::warning(
                "WAP did not verify the certificate of NDES, ndes-proxy does",
                "check that it is not expired, contains the name in url, and chains to a root in \
                 ca_roots",
            )
        });
        [narrowed, uncertain, unverified].into_iter().flatten()
    }
}

/// Returns the features of this publication that the proxy does not have, or has in another form.
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
            "DisableTranslateUrlInRequestHeaders: NDES received the public name in Host; \
             now it receives the name in url, or server_name if set."
                .to_owned(),
        );
    }
    if matches!(
        publication.external_preauthentication,
        Some(Word::Number(_))
    ) {
        notes.push(
            "ExternalPreauthentication is the number 0 in the file, \
             read as PassThrough: check that it is."
                .to_owned(),
        );
    }
    let is_set = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let unused: Vec<_> = [
        (
            "BackendServerAuthenticationSPN",
            is_set(&publication.backend_server_authentication_spn),
        ),
        (
            "ClientCertificatePreauthenticationThumbprint",
            is_set(&publication.client_certificate_preauthentication_thumbprint),
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
        notes.push(format!("Not supported, and not needed for SCEP: {unused}."));
    }
    notes
}
