//! Reads the output of `Get-WebApplicationProxyApplication | ConvertTo-Json`.

use std::fmt;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::base::problem::Diagnostic;

/// The cure for a file that is not the expected output.
pub(super) const EXPORT_COMMAND: &str = "on the WAP server, run in PowerShell: \
    Get-WebApplicationProxyApplication | ConvertTo-Json > wap.json";

/// One published application: the relevant properties of Microsoft's class `PublishedWebApp`. All
/// may be absent, for instance after `Select-Object`. Other properties are ignored.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
pub(super) struct Publication {
    name: Option<String>,
    pub(super) external_url: Option<String>,
    pub(super) backend_server_url: Option<String>,
    pub(super) external_preauthentication: Option<Word>,
    pub(super) external_certificate_thumbprint: Option<String>,
    pub(super) backend_server_certificate_validation: Option<Word>,
    pub(super) inactive_transactions_timeout_sec: Option<u32>,
    #[serde(rename = "EnableHTTPRedirect")]
    pub(super) enable_http_redirect: Option<bool>,
    pub(super) disable_translate_url_in_request_headers: Option<bool>,
    pub(super) disable_translate_url_in_response_headers: Option<bool>,
    pub(super) disable_http_only_cookie_protection: Option<bool>,
    pub(super) enable_sign_out: Option<bool>,
    #[serde(rename = "UseOAuthAuthentication")]
    pub(super) use_oauth_authentication: Option<bool>,
    #[serde(rename = "BackendServerAuthenticationSPN")]
    pub(super) backend_server_authentication_spn: Option<String>,
    pub(super) client_certificate_preauthentication_thumbprint: Option<String>,
}

/// The value of an enumeration. ConvertTo-Json writes some as a number.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(untagged, expecting = "a word or a number")]
pub(super) enum Word {
    Text(String),
    Number(u64),
}

impl Word {
    /// Whether the value is `word`, which must be the first of its enumeration, or the number 0.
    pub(super) fn is_first(&self, word: &str) -> bool {
        match self {
            Self::Text(text) => text.eq_ignore_ascii_case(word),
            Self::Number(number) => *number == 0,
        }
    }
}

impl fmt::Display for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => f.write_str(&quoted(text)),
            Self::Number(number) => write!(f, "{number}"),
        }
    }
}

impl Publication {
    /// Returns the display name in WAP, which may contain any characters.
    pub(super) fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }
}

/// Writes the name in quotes and escaped, so that it cannot contain a line end.
impl fmt::Display for Publication {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&quoted(self.name()))
    }
}

/// Returns `text` in quotes, with control characters escaped, truncated to 100 characters.
pub(super) fn quoted(text: &str) -> String {
    let start: String = text.chars().take(100).collect();
    format!("{start:?}")
}

/// Returns all publications of the file, in their order.
///
/// # Errors
/// A diagnostic with its line, if known.
pub(super) fn read(text: &str) -> Result<Vec<Publication>, (Option<usize>, Diagnostic)> {
    let first = text.trim_start().chars().next();
    let publications = match first {
        Some('[') => serde_json::from_str(text),
        Some('{') if is_wrapped(text) => {
            serde_json::from_str(text).map(|wrapped: Wrapped| wrapped.value)
        }
        Some(_) => serde_json::from_str(text).map(|one| vec![one]),
        None => Ok(Vec::new()),
    };
    let publications = publications.map_err(|error| {
        // Quotations from the file are escaped, but may be long.
        let error_text: String = error.to_string().chars().take(200).collect();
        let what = format!("the file is not the output of ConvertTo-Json: {error_text}");
        (Some(error.line()), Diagnostic::error(what, EXPORT_COMMAND))
    })?;
    if publications.is_empty() {
        return Err((
            None,
            Diagnostic::error("the file contains no publication", EXPORT_COMMAND),
        ));
    }
    Ok(publications)
}

/// The form in which Windows PowerShell 5.1 writes some arrays.
#[derive(Deserialize)]
struct Wrapped {
    value: Vec<Publication>,
}

fn is_wrapped(text: &str) -> bool {
    #[derive(Deserialize)]
    struct Probe {
        #[serde(rename = "value")]
        _value: Vec<IgnoredAny>,
        #[serde(rename = "Count")]
        _count: u64,
    }
    serde_json::from_str::<Probe>(text).is_ok()
}
