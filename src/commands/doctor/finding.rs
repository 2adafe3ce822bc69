//! Defines the lines of the report and the closed list of the doctor's steps.

use serde::{Serialize, Serializer};

use crate::base::problem::{self, Severity};
use crate::base::reason::{self, Reason};

/// The severity of a finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// It works, but not for all devices, or not for long.
    Warning,
    /// It keeps devices from enrolling, or exposes more than SCEP.
    Problem,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub step: Step,
    /// What was observed and what it means: one sentence without a full stop.
    pub what: String,
    /// What to do: one sentence without a full stop, or the advice of the anomaly. `None` if the
    /// level is [`Level::Ok`].
    pub cure: Option<String>,
    /// The word of the anomaly, as in metrics and log. `None` if the finding is not an anomaly.
    pub reason: Option<&'static str>,
}

/// The sections of the report, in the order in which they are examined.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Section {
    Configuration,
    Public,
    Upstream,
    Through,
}

/// The steps of the examination. Each has a stable word, which the documentation lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    Configuration,
    PublicDns,
    PublicTcp,
    PublicTls,
    PublicCertificate,
    PublicName,
    PublicChain,
    PublicExpiry,
    PublicKey,
    PublicNoSni,
    UpstreamDns,
    UpstreamTcp,
    UpstreamTls,
    UpstreamExpiry,
    BareGet,
    ClientCertificate,
    GetCaCaps,
    GetCaCert,
    UrlLength,
    ThroughForbidden,
    ThroughBareGet,
    ThroughGetCaCaps,
    ThroughUrlLength,
}

impl Section {
    /// Returns the heading for the text report.
    pub fn title(self) -> &'static str {
        match self {
            Self::Configuration => "Configuration",
            Self::Public => "Public side, as a device sees it",
            Self::Upstream => "NDES, asked directly",
            Self::Through => "NDES, asked through the proxy",
        }
    }
}

impl Step {
    pub const ALL: [Self; 23] = [
        Self::Configuration,
        Self::PublicDns,
        Self::PublicTcp,
        Self::PublicTls,
        Self::PublicCertificate,
        Self::PublicName,
        Self::PublicChain,
        Self::PublicExpiry,
        Self::PublicKey,
        Self::PublicNoSni,
        Self::UpstreamDns,
        Self::UpstreamTcp,
        Self::UpstreamTls,
        Self::UpstreamExpiry,
        Self::BareGet,
        Self::ClientCertificate,
        Self::GetCaCaps,
        Self::GetCaCert,
        Self::UrlLength,
        Self::ThroughForbidden,
        Self::ThroughBareGet,
        Self::ThroughGetCaCaps,
        Self::ThroughUrlLength,
    ];

    /// The steps on the public side.
    pub const PUBLIC: [Self; 9] = [
        Self::PublicDns,
        Self::PublicTcp,
        Self::PublicTls,
        Self::PublicCertificate,
        Self::PublicName,
        Self::PublicChain,
        Self::PublicExpiry,
        Self::PublicKey,
        Self::PublicNoSni,
    ];

    /// The steps that ask NDES through the proxy.
    pub const THROUGH: [Self; 4] = [
        Self::ThroughForbidden,
        Self::ThroughBareGet,
        Self::ThroughGetCaCaps,
        Self::ThroughUrlLength,
    ];

    pub fn section(self) -> Section {
        match self {
            Self::Configuration => Section::Configuration,
            Self::PublicDns
            | Self::PublicTcp
            | Self::PublicTls
            | Self::PublicCertificate
            | Self::PublicName
            | Self::PublicChain
            | Self::PublicExpiry
            | Self::PublicKey
            | Self::PublicNoSni => Section::Public,
            Self::UpstreamDns
            | Self::UpstreamTcp
            | Self::UpstreamTls
            | Self::UpstreamExpiry
            | Self::BareGet
            | Self::ClientCertificate
            | Self::GetCaCaps
            | Self::GetCaCert
            | Self::UrlLength => Section::Upstream,
            Self::ThroughForbidden
            | Self::ThroughBareGet
            | Self::ThroughGetCaCaps
            | Self::ThroughUrlLength => Section::Through,
        }
    }

    /// Returns the stable word that JSON uses.
    pub fn word(self) -> &'static str {
        self.names().0
    }

    /// Returns the label for the text report.
    pub fn title(self) -> &'static str {
        self.names().1
    }

    fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::Configuration => ("configuration", "file"),
            Self::PublicDns => ("public_dns", "DNS"),
            Self::PublicTcp => ("public_tcp", "TCP"),
            Self::PublicTls => ("public_tls", "TLS"),
            Self::PublicCertificate => ("public_certificate", "certificate"),
            Self::PublicName => ("public_name", "name"),
            Self::PublicChain => ("public_chain", "chain"),
            Self::PublicExpiry => ("public_expiry", "expiry"),
            Self::PublicKey => ("public_key", "key"),
            Self::PublicNoSni => ("public_no_sni", "without SNI"),
            Self::UpstreamDns => ("upstream_dns", "DNS"),
            Self::UpstreamTcp => ("upstream_tcp", "TCP"),
            Self::UpstreamTls => ("upstream_tls", "TLS"),
            Self::UpstreamExpiry => ("upstream_expiry", "expiry"),
            Self::BareGet => ("bare_get", "bare GET"),
            Self::ClientCertificate => ("client_certificate", "client cert"),
            Self::GetCaCaps => ("get_ca_caps", "GetCACaps"),
            Self::GetCaCert => ("get_ca_cert", "GetCACert"),
            Self::UrlLength => ("url_length", "URL length"),
            Self::ThroughForbidden => ("through_forbidden", "other paths"),
            Self::ThroughBareGet => ("through_bare_get", "bare GET"),
            Self::ThroughGetCaCaps => ("through_get_ca_caps", "GetCACaps"),
            Self::ThroughUrlLength => ("through_url_length", "URL length"),
        }
    }
}

impl Serialize for Step {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.word())
    }
}

impl Finding {
    pub fn ok(step: Step, what: impl Into<String>) -> Self {
        Self {
            level: Level::Ok,
            step,
            what: what.into(),
            cure: None,
            reason: None,
        }
    }

    pub fn warning(step: Step, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            level: Level::Warning,
            cure: Some(cure.into()),
            ..Self::ok(step, what)
        }
    }

    pub fn problem(step: Step, what: impl Into<String>, cure: impl Into<String>) -> Self {
        Self {
            level: Level::Problem,
            ..Self::warning(step, what, cure)
        }
    }

    /// Creates a problem with the word and the advice of `anomaly`, as in metrics and log.
    pub fn anomaly(step: Step, anomaly: Reason, what: impl Into<String>) -> Self {
        let level = match anomaly.severity() {
            reason::Severity::Critical => Level::Problem,
            reason::Severity::Warning | reason::Severity::Info => Level::Warning,
        };
        Self {
            level,
            reason: Some(anomaly.word()),
            ..Self::problem(step, what, anomaly.advice())
        }
    }

    /// Raises the level to a problem.
    pub fn as_problem(self) -> Self {
        Self {
            level: Level::Problem,
            ..self
        }
    }

    /// Lowers the level to a warning.
    pub fn as_warning(self) -> Self {
        Self {
            level: Level::Warning,
            ..self
        }
    }

    /// Converts a diagnostic of `check`.
    pub fn from_diagnostic(step: Step, diagnostic: problem::Diagnostic) -> Self {
        let level = match diagnostic.severity {
            Severity::Warning => Level::Warning,
            Severity::Error => Level::Problem,
        };
        Self {
            level,
            ..Self::problem(step, diagnostic.what, diagnostic.cure)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_in_report_order_and_grouped_by_section() {
        assert!(Step::ALL.is_sorted());
        assert!(Step::ALL.map(Step::section).is_sorted());
    }
}
