//! The one table of reasons: everything that can go wrong between a device and its certificate,
//! with the word that names it in metrics, logs, the doctor and the documentation.
//!
//! A reason is a row of [`table`]. Requests that the proxy answers itself ([`Rejection`]), failed
//! attempts to reach NDES, and anomalies in what NDES answers all refer to a row. Severity and text
//! come from the row and from nowhere else, so that the doctor, health, the status page, the alerts
//! and the documentation cannot contradict each other. `ndes-proxy explain` prints the rows.
//!
//! [`Rejection`]: super::rejection::Rejection

mod table;

use std::fmt;

pub use table::Reason;

/// One row of the table.
#[derive(Debug)]
pub struct Row {
    /// The stable word: metric label, log field, `details` of Proxy-Status, JSON value.
    pub word: &'static str,
    pub fault: Fault,
    pub severity: Severity,
    /// The response to the client, if the proxy answers requests for this reason.
    pub response: Option<Response>,
    /// The value of the label `kind` of `ndes_proxy_upstream_errors_total`, if an attempt to reach
    /// NDES can fail for this reason.
    pub kind: Option<&'static str>,
    /// Whether the reason is counted in `ndes_proxy_anomalies_total`.
    pub anomaly: bool,
    /// What happened and what causes it as a rule, in full sentences.
    pub what: &'static str,
    /// What to do about it, in full sentences.
    pub cure: &'static str,
    /// `what` and `cure`, separated by a space.
    pub advice: &'static str,
}

/// What the client receives.
#[derive(Clone, Copy, Debug)]
pub struct Response {
    /// The HTTP status code.
    pub status: u16,
    /// The proxy error type (RFC 9209 §2.3).
    pub error: &'static str,
    /// One sentence, sent as the response body. It reveals nothing about the inside.
    pub sentence: &'static str,
    /// Whether the connection is closed after the response.
    pub closes: bool,
}

/// Whose fault it is as a rule.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The client: a scanner, or a device that is set up wrongly.
    Client,
    /// NDES, IIS, the CA behind it, or the network on the way to it.
    Ndes,
    /// The proxy: its configuration, its limits, or a defect.
    Proxy,
}

/// How urgent it is. The alerts use the same words.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Severity {
    /// Nothing needs to be done as a rule.
    Info,
    /// Some devices get no certificate, or more will get none later: for working hours.
    Warning,
    /// Devices get no certificates until it is repaired: at once.
    Critical,
}

impl Reason {
    /// Returns the stable word of the reason.
    pub const fn word(self) -> &'static str {
        self.row().word
    }

    pub const fn severity(self) -> Severity {
        self.row().severity
    }

    /// Returns what happened and what to do, on one line.
    pub const fn advice(self) -> &'static str {
        self.row().advice
    }

    /// Returns the reason whose word or kind is `word`.
    pub fn find(word: &str) -> Option<Self> {
        let all = || Self::ALL.iter().copied();
        all()
            .find(|reason| reason.word() == word)
            .or_else(|| all().find(|reason| reason.row().kind == Some(word)))
    }

    /// Returns all reasons for which the proxy answers requests itself.
    pub fn refusals() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|reason| reason.row().response.is_some())
    }

    /// Returns all reasons that are counted as anomalies.
    pub fn anomalies() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|reason| reason.row().anomaly)
    }

    /// Returns all reasons for which an attempt to reach NDES fails.
    pub fn upstream_errors() -> impl Iterator<Item = Self> {
        let all = Self::ALL.iter().copied();
        all.filter(|reason| reason.row().kind.is_some())
    }
}

impl Fault {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Ndes => "NDES",
            Self::Proxy => "proxy",
        }
    }
}

impl Severity {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Critical => "critical",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn every_word_names_one_reason() {
        let mut words = HashSet::new();
        for reason in Reason::ALL {
            let row = reason.row();
            assert!(words.insert(row.word), "{reason}");
            assert_eq!(Reason::find(row.word), Some(*reason));
            // A kind that differs from the word of its reason is the word of no other reason.
            if let Some(kind) = row.kind.filter(|kind| *kind != row.word) {
                assert!(words.insert(kind), "{kind}");
                assert_eq!(Reason::find(kind), Some(*reason));
            }
        }
        assert_eq!(Reason::find("no_such_word"), None);
    }

    #[test]
    fn every_text_is_one_line_of_full_sentences() {
        for reason in Reason::ALL {
            let row = reason.row();
            let sentence = row.response.map(|response| response.sentence);
            for text in [row.what, row.cure].into_iter().chain(sentence) {
                assert!(text.len() > 10, "{reason}: {text}");
                assert!(text.ends_with('.'), "{reason}: {text}");
                assert!(!text.contains(['\n', '|']), "{reason}: {text}");
                assert!(!text.contains("  "), "{reason}: {text}");
                assert!(
                    text.starts_with(|first: char| !first.is_lowercase()),
                    "{reason}: {text}"
                );
            }
        }
    }

    #[test]
    fn every_reason_has_a_use() {
        for reason in Reason::ALL {
            let Row {
                response,
                kind,
                anomaly,
                ..
            } = reason.row();
            assert!(response.is_some() || kind.is_some() || *anomaly, "{reason}");
        }
    }
}
