//! What the doctor finds, and the closed list of steps at which it does.

use serde::{Serialize, Serializer};

use crate::base::problem::{self, Severity};
use crate::base::reason::Reason;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    Ok,
    /// Works, but not for all devices, or not for long.
    Warning,
    /// Keeps devices from enrolling, or gives strangers too much.
    Problem,
}

/// One line of the report.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    pub level: Level,
    pub step: Step,
    /// One sentence without full stop: what was seen, and what it means.
    pub what: String,
    /// One sentence without full stop: what to do. None where all is well.
    pub cure: Option<String>,
    /// The anomaly's word, as in metrics and log, where it is one.
    pub reason: Option<&'static str>,
}

/// The parts of the way from a device to NDES, in the order in which they are looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    Configuration,
    Public,
    Upstream,
    Through,
}

/// What was looked at. Each has a stable word; the README lists them.
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

impl Side {
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

    pub fn side(self) -> Side {
        match self {
            Self::Configuration => Side::Configuration,
            Self::PublicDns
            | Self::PublicTcp
            | Self::PublicTls
            | Self::PublicCertificate
            | Self::PublicName
            | Self::PublicChain
            | Self::PublicExpiry
            | Self::PublicKey
            | Self::PublicNoSni => Side::Public,
            Self::UpstreamDns
            | Self::UpstreamTcp
            | Self::UpstreamTls
            | Self::UpstreamExpiry
            | Self::BareGet
            | Self::ClientCertificate
            | Self::GetCaCaps
            | Self::GetCaCert
            | Self::UrlLength => Side::Upstream,
            Self::ThroughForbidden
            | Self::ThroughBareGet
            | Self::ThroughGetCaCaps
            | Self::ThroughUrlLength => Side::Through,
        }
    }

    /// Stable word, for JSON.
    pub fn word(self) -> &'static str {
        self.names().0
    }

    /// For people.
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

    /// A problem that the metrics and the log of the proxy would call by the same word.
    pub fn anomaly(step: Step, anomaly: Reason, what: impl Into<String>) -> Self {
        Self {
            reason: Some(anomaly.word()),
            ..Self::problem(step, what, anomaly.advice())
        }
    }

    /// The same, where it is no more than a warning.
    pub fn mild(self) -> Self {
        Self {
            level: Level::Warning,
            ..self
        }
    }

    /// What `check` would say.
    pub fn of_check(step: Step, diagnostic: problem::Diagnostic) -> Self {
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
    fn all_steps_stand_in_order_side_by_side() {
        assert!(Step::ALL.is_sorted());
        assert!(Step::ALL.map(Step::side).is_sorted());
    }
}
