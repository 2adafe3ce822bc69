//! Detects in the frames of a connection what the library does by itself: requests that it refuses
//! and never returns from `accept`, header blocks that do not end, frames that carry no work.

use tokio::time::Instant;

use super::budget::FrameBudget;
use super::frames::{Frame, Frames, Passed};
use crate::base::rejection::Rejection;

/// Follows the frames of one connection in both directions.
pub(super) struct FrameObserver {
    received: Frames,
    sent: Frames,
    /// Whether the first frame of the client has arrived. It must be SETTINGS (RFC 9113 §3.4),
    /// which the library accepts at any time.
    settings_received: bool,
    newest: u32,
    /// Requests that the library has not returned from `accept`, the oldest first.
    pending: Vec<PendingRequest>,
    /// Whether a header block has begun and not ended.
    in_block: bool,
    block_since: Option<Instant>,
    budget: FrameBudget,
    refused: Vec<Rejection>,
    close_reason: Option<Rejection>,
    /// An error closes the connection: nothing that follows is an event, and nothing more is read.
    pub(super) closing: bool,
}

/// A request that has begun and that the library has neither returned nor refused.
pub(super) struct PendingRequest {
    stream: u32,
    /// The compressed bytes of its header block.
    block_bytes: usize,
}

/// What has happened since the last call.
#[derive(Default)]
pub(super) struct Events {
    /// Requests and connections that the library has refused.
    pub(super) refused: Vec<Rejection>,
    /// The reason why the connection must be closed, if the library does not do so itself.
    pub(super) close_reason: Option<Rejection>,
    /// When the header block that has not ended began. `None` if all have ended.
    pub(super) block_since: Option<Instant>,
}

/// The length of the preface of the client (RFC 9113 §3.4).
const PREFACE: usize = 24;
/// The most requests that wait for the library to return them from `accept`.
const MOST_PENDING: usize = 1_024;
/// A path of 65535 bytes, one more than the library accepts, with the five bits per byte that
/// Huffman coding needs at least (RFC 7541 Appendix B).
const LONG_BLOCK: usize = 65_535 * 5 / 8;

mod kind {
    pub(super) const DATA: u8 = 0;
    pub(super) const HEADERS: u8 = 1;
    pub(super) const RST_STREAM: u8 = 3;
    pub(super) const SETTINGS: u8 = 4;
    pub(super) const GOAWAY: u8 = 7;
    pub(super) const CONTINUATION: u8 = 9;
}
const ACK: u8 = 1;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

impl FrameObserver {
    pub(super) fn new() -> Self {
        Self {
            received: Frames::after(PREFACE),
            sent: Frames::after(0),
            settings_received: false,
            newest: 0,
            pending: Vec::new(),
            in_block: false,
            block_since: None,
            budget: FrameBudget::new(Instant::now()),
            refused: Vec::new(),
            close_reason: None,
            closing: false,
        }
    }

    /// Returns what has happened since the last call. See `SharedObserver::events`.
    pub(super) fn events(&mut self, block_since: Option<Instant>) -> Option<Events> {
        let quiet = self.refused.is_empty() && self.close_reason.is_none();
        if quiet && self.block_since == block_since {
            return None;
        }
        Some(Events {
            refused: std::mem::take(&mut self.refused),
            close_reason: self.close_reason.take(),
            block_since: self.block_since,
        })
    }

    /// Removes and returns a pending request, which the library has answered or returned.
    pub(super) fn remove_pending(&mut self, stream: u32) -> Option<PendingRequest> {
        let at = self
            .pending
            .iter()
            .position(|pending| pending.stream == stream)?;
        Some(self.pending.remove(at))
    }

    /// Observes bytes from the client.
    pub(super) fn receive(&mut self, bytes: &[u8]) {
        let mut frames = std::mem::replace(&mut self.received, Frames::after(0));
        frames.pass(bytes, |passed, frame| match passed {
            Passed::Head => self.received_head(frame),
            Passed::Whole => self.received_whole(frame),
        });
        self.received = frames;
        if self.in_block && self.block_since.is_none() {
            self.block_since = Some(Instant::now());
        }
    }

    fn received_head(&mut self, frame: &Frame<'_>) {
        if self.closing {
            return;
        }
        if !self.settings_received && (frame.kind, frame.flags & ACK) != (kind::SETTINGS, 0) {
            return self.close(Rejection::MalformedHead);
        }
        self.settings_received = true;
        let is_new = frame.kind == kind::HEADERS && frame.stream > self.newest;
        if is_new {
            self.newest = frame.stream;
            self.pending.push(PendingRequest {
                stream: frame.stream,
                block_bytes: 0,
            });
            self.budget.earn();
        }
        if matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
            self.in_block = true;
        }
        let carries_work = match frame.kind {
            kind::DATA => frame.length > 0 || frame.flags & END_STREAM != 0,
            kind::HEADERS => is_new,
            // The library limits the frames of one header block.
            kind::CONTINUATION => true,
            _ => false,
        };
        if self.pending.len() > MOST_PENDING || !carries_work && !self.budget.spend(Instant::now) {
            self.close(Rejection::Http2Limit);
        }
    }

    fn close(&mut self, rejection: Rejection) {
        self.close_reason = Some(rejection);
        self.closing = true;
    }

    fn received_whole(&mut self, frame: &Frame<'_>) {
        if !matches!(frame.kind, kind::HEADERS | kind::CONTINUATION) {
            return;
        }
        if frame.flags & END_HEADERS != 0 {
            (self.in_block, self.block_since) = (false, None);
        }
        let newest = self.pending.last_mut();
        if let Some(pending) = newest.filter(|pending| pending.stream == frame.stream) {
            pending.block_bytes += frame.length;
        }
    }

    /// Observes bytes to the client.
    pub(super) fn send(&mut self, bytes: &[u8]) {
        let mut frames = std::mem::replace(&mut self.sent, Frames::after(0));
        frames.pass(bytes, |passed, frame| {
            if passed == Passed::Whole {
                self.sent_whole(frame);
            }
        });
        self.sent = frames;
    }

    fn sent_whole(&mut self, frame: &Frame<'_>) {
        let code = |at: usize| match frame.payload.get(at..at + 4) {
            Some(&[a, b, c, d]) => h2::Reason::from(u32::from_be_bytes([a, b, c, d])),
            _ => h2::Reason::NO_ERROR,
        };
        match frame.kind {
            // Each may be answered by a WINDOW_UPDATE for the stream and one for the connection.
            kind::DATA => self.budget.earn(),
            // A response to a request that `accept` never returned is the library's own 431.
            kind::HEADERS if self.remove_pending(frame.stream).is_some() => {
                self.refused.push(Rejection::HeadTooLarge);
            }
            kind::RST_STREAM => {
                if let Some(pending) = self.remove_pending(frame.stream) {
                    self.refused.push(match code(0) {
                        h2::Reason::REFUSED_STREAM => Rejection::Http2Limit,
                        _ if pending.block_bytes >= LONG_BLOCK => Rejection::UriTooLong,
                        _ => Rejection::MalformedHead,
                    });
                }
            }
            kind::GOAWAY if !self.closing && code(4) != h2::Reason::NO_ERROR => {
                self.closing = true;
                self.refused
                    .push(connection_error(code(4), &frame.payload[8..]));
            }
            _ => {}
        }
    }
}

/// `debug_data` is the text that the library adds to its GOAWAY.
fn connection_error(code: h2::Reason, debug_data: &[u8]) -> Rejection {
    let is = |known: &[u8]| debug_data.starts_with(known);
    match code {
        h2::Reason::ENHANCE_YOUR_CALM
            if is(b"header_list_way_too_large") || is(b"too_many_continuations") =>
        {
            Rejection::HeadTooLarge
        }
        h2::Reason::ENHANCE_YOUR_CALM => Rejection::Http2Limit,
        _ => Rejection::MalformedHead,
    }
}
