//! Label values that are not words of another module.

/// What became of a connection that asked to be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Accepted {
    Served,
    /// `connections` are open and none of them is idle.
    LimitReached,
    ClientLimitReached,
    /// An idle connection was closed to make room.
    IdleClosed,
    /// No PROXY protocol header where one must be, or from an address that is not trusted.
    BadProxyHeader,
}

impl Accepted {
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
    /// The client knows nothing above TLS 1.1.
    OldTls,
    /// TLS 1.2 or 1.3, but no suite, group or signature in common.
    NothingInCommon,
    /// The client does not trust the public certificate.
    CertificateRefused,
    TimedOut,
    /// The client left, or spoke something else.
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

/// Why the client did not get the whole answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Incomplete {
    /// It left, or did not read in time.
    Client,
    Upstream,
    UpstreamLate,
    /// Still in flight when the time of the shutdown was over.
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

/// What became of a reload.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reload {
    Success,
    /// All of the old stays.
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
