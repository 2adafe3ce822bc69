//! Label values that no other module defines.

/// The result of accepting a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectionResult {
    Served,
    /// `limits.connections` are open and none of them is idle.
    LimitReached,
    ClientLimitReached,
    /// An idle connection was closed to make room.
    IdleClosed,
    /// The PROXY protocol header is missing, or from an address that is not trusted.
    BadProxyHeader,
}

impl ConnectionResult {
    pub const ALL: [Self; 5] = [
        Self::Served,
        Self::LimitReached,
        Self::ClientLimitReached,
        Self::IdleClosed,
        Self::BadProxyHeader,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Served => "served",
            Self::LimitReached => "limit_reached",
            Self::ClientLimitReached => "client_limit_reached",
            Self::IdleClosed => "idle_closed",
            Self::BadProxyHeader => "bad_proxy_header",
        }
    }
}

/// How a TLS handshake ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Handshake {
    Tls12,
    Tls13,
    UnknownName,
    /// The client offers no version above TLS 1.1.
    OldTls,
    /// TLS 1.2 or 1.3, but no suite, group or signature in common.
    NothingInCommon,
    /// The client does not trust the public certificate.
    CertificateRefused,
    TimedOut,
    /// The client closed the connection, or sent something else than TLS.
    Failed,
}

impl Handshake {
    pub const ALL: [Self; 8] = [
        Self::Tls12,
        Self::Tls13,
        Self::UnknownName,
        Self::OldTls,
        Self::NothingInCommon,
        Self::CertificateRefused,
        Self::TimedOut,
        Self::Failed,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Tls12 => "tls12",
            Self::Tls13 => "tls13",
            Self::UnknownName => "unknown_name",
            Self::OldTls => "old_tls",
            Self::NothingInCommon => "nothing_in_common",
            Self::CertificateRefused => "certificate_refused",
            Self::TimedOut => "timeout",
            Self::Failed => "failed",
        }
    }
}

/// Why the client did not get the whole response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// It closed the connection, or did not read in time.
    Client,
    Upstream,
    UpstreamLate,
    /// Still in flight at the deadline of the shutdown.
    Shutdown,
}

impl Incomplete {
    pub const ALL: [Self; 4] = [
        Self::Client,
        Self::Upstream,
        Self::UpstreamLate,
        Self::Shutdown,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Client => "client",
            Self::Upstream => "upstream",
            Self::UpstreamLate => "upstream_late",
            Self::Shutdown => "shutdown",
        }
    }
}

/// The result of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Success,
    /// The previous configuration stays in use.
    Failure,
}

impl Reload {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Success => "success",
            Self::Failure => "failure",
        }
    }
}
