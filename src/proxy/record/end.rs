//! How a response ends.

use crate::insight::ResponseEnd;
use crate::observe::metrics::Incomplete;

/// How far a response got, and whether the client received it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum End {
    /// The response has not ended. If this is the last state, the client has most likely left.
    #[default]
    Open,
    /// The response has not ended, and the client has closed its side of the connection.
    HalfClosed,
    /// The client has left, and the rest of the response is read for the record only.
    Detached,
    /// The client received the whole response, as far as the proxy can know.
    Complete { client_gone: bool },
    /// The whole response of NDES was read, and the client did not receive all of it.
    CompleteUnread,
    /// NDES broke off the response, or did not end it in time.
    Broken { late: bool, client_gone: bool },
}

impl End {
    pub(super) fn half_closed(self) -> Self {
        match self {
            Self::Open => Self::HalfClosed,
            Self::Complete { .. } => Self::Complete { client_gone: true },
            other => other,
        }
    }

    pub(super) fn detach(self) -> Self {
        match self {
            Self::Open | Self::HalfClosed => Self::Detached,
            other => other,
        }
    }

    pub(super) fn complete(self) -> Self {
        match self {
            Self::Open => Self::Complete { client_gone: false },
            Self::HalfClosed => Self::Complete { client_gone: true },
            Self::Detached => Self::CompleteUnread,
            other => other,
        }
    }

    pub(super) fn not_taken(self) -> Self {
        match self {
            Self::Complete { .. } => Self::CompleteUnread,
            other => other,
        }
    }

    pub(super) fn broken(self, late: bool) -> Self {
        let client_gone = self.client_gone();
        Self::Broken { late, client_gone }
    }

    /// Returns whether no client waits for what still arrives.
    pub(super) fn is_detached(self) -> bool {
        matches!(self, Self::Detached | Self::CompleteUnread)
    }

    /// Returns whether the client is known to have left.
    pub(super) fn client_gone(self) -> bool {
        match self {
            Self::Open => false,
            Self::HalfClosed | Self::Detached | Self::CompleteUnread => true,
            Self::Complete { client_gone } | Self::Broken { client_gone, .. } => client_gone,
        }
    }

    /// Returns why the client did not receive the whole response.
    pub(super) fn incomplete(self) -> Option<Incomplete> {
        match self {
            Self::Complete { .. } => None,
            Self::Broken { late: true, .. } => Some(Incomplete::UpstreamLate),
            Self::Broken { late: false, .. } => Some(Incomplete::Upstream),
            Self::Open | Self::HalfClosed | Self::Detached | Self::CompleteUnread => {
                Some(Incomplete::Client)
            }
        }
    }

    /// Returns how the response of NDES ended, whatever the client received.
    pub(super) fn response_end(self) -> ResponseEnd {
        match self {
            Self::Complete { .. } | Self::CompleteUnread => ResponseEnd::Complete,
            Self::Broken { .. } => ResponseEnd::BrokenByUpstream,
            Self::Open | Self::HalfClosed | Self::Detached => ResponseEnd::Other,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_response_ends_as_its_events_say() {
        let open = End::default();
        let cases = [
            (open, Some(Incomplete::Client), ResponseEnd::Other, false),
            (open.complete(), None, ResponseEnd::Complete, false),
            (
                open.half_closed(),
                Some(Incomplete::Client),
                ResponseEnd::Other,
                true,
            ),
            (
                open.half_closed().complete(),
                None,
                ResponseEnd::Complete,
                true,
            ),
            (
                open.complete().half_closed(),
                None,
                ResponseEnd::Complete,
                true,
            ),
            (
                open.complete().not_taken(),
                Some(Incomplete::Client),
                ResponseEnd::Complete,
                true,
            ),
            (
                open.not_taken(),
                Some(Incomplete::Client),
                ResponseEnd::Other,
                false,
            ),
            (
                open.detach(),
                Some(Incomplete::Client),
                ResponseEnd::Other,
                true,
            ),
            (
                open.detach().complete(),
                Some(Incomplete::Client),
                ResponseEnd::Complete,
                true,
            ),
            (
                open.broken(false),
                Some(Incomplete::Upstream),
                ResponseEnd::BrokenByUpstream,
                false,
            ),
            (
                open.broken(true),
                Some(Incomplete::UpstreamLate),
                ResponseEnd::BrokenByUpstream,
                false,
            ),
            (
                open.detach().broken(false),
                Some(Incomplete::Upstream),
                ResponseEnd::BrokenByUpstream,
                true,
            ),
        ];
        for (end, incomplete, response, client_gone) in cases {
            let found = (end.incomplete(), end.response_end(), end.client_gone());
            assert_eq!(found, (incomplete, response, client_gone), "{end:?}");
        }
    }

    #[test]
    fn only_what_no_client_waits_for_is_detached() {
        let open = End::default();
        assert!(!open.is_detached() && !open.half_closed().is_detached());
        assert!(open.detach().is_detached() && open.detach().complete().is_detached());
        assert_eq!(
            open.complete().detach(),
            open.complete(),
            "nothing is left to read"
        );
    }
}
