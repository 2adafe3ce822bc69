//! What an admin can do about each refusal: for the status page. The README has the same at length.

use super::Rejection;

impl Rejection {
    /// One line: who causes it as a rule, and what to do.
    pub fn advice(self) -> &'static str {
        match self {
            Self::MalformedHead
            | Self::MalformedFraming
            | Self::HostMissing
            | Self::HostInvalid
            | Self::OperationAmbiguous => {
                "As a rule a scanner, and nothing to do; if it is a device, the access log tells which"
            }
            Self::HostNotPublished => {
                "If devices use this name: add it to public_names and to the certificate"
            }
            Self::PathNotPublished => {
                "A scanner, or a wrong SCEP URL in a profile: compare it with the one published"
            }
            Self::MethodNotAllowed { .. } => "As a rule a scanner, and nothing to do",
            Self::OperationMissing | Self::OperationNotPublished => {
                "A client that is not SCEP, or an operation that operations does not list"
            }
            Self::UriTooLong | Self::UpstreamRequestBytes => {
                "No SCEP client needs a URI that long; let large clients use POST"
            }
            Self::BodyTooLarge => "If a device is right, raise limits.body_bytes",
            Self::FieldTooLarge | Self::TooManyFields | Self::HeadTooLarge => {
                "If a device is right, raise the limits of fields and head in [limits]"
            }
            Self::HeadTimeout | Self::BodyTimeout | Self::BodyAborted => {
                "Slow networks, or somebody who holds connections open; nothing to do"
            }
            Self::RateClient { .. } => {
                "Many devices behind one address? Give their network rates of its own: [[rate_limit.network]]"
            }
            Self::RateRefused { .. } => {
                "A scanner, or one device that is set up wrongly: see what it was refused for before"
            }
            Self::RateGlobal { .. } => "If NDES can do more, raise rate_limit.global",
            Self::Http2Limit => "An attack or a broken client; its connection was closed",
            Self::BuffersFull => {
                "See who sends so much; raise limits.buffered_bytes if it is right"
            }
            Self::ScepUnreadable => {
                "If a device is right, set scep.unreadable to \"forward\"; the audit log says why it could not be read"
            }
            Self::ScepMessageType => "Correct the client, or scep.refuse_messages",
            Self::ScepDigest | Self::ScepCipher => {
                "Update the device, or set its SCEP profile to SHA-256 and AES"
            }
            Self::UpstreamBusy => {
                "NDES is slow or the wave is large: raise max_in_flight if NDES can do more"
            }
            Self::ClientLeft => "Devices that wait for a shorter time than queue",
            Self::UpstreamName
            | Self::UpstreamConnect
            | Self::UpstreamConnectTimeout
            | Self::UpstreamTls
            | Self::UpstreamClosed
            | Self::UpstreamInvalid
            | Self::UpstreamTimeout => "NDES gave no answer: its own part of this page says why",
            Self::Internal => "A defect of the proxy: report it with the log",
        }
    }
}
