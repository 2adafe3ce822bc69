//! A future that goes on if its client goes away.

use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::Response;
use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use crate::proxy::body::Body;

/// An enrolment at NDES. NDES has used up its challenge, so its outcome matters even if the device
/// has left: dropped before it is complete, the future goes on in a task of its own.
pub(super) struct DetachOnDrop<'t> {
    call: Option<Pin<Box<dyn Future<Output = Response<Body>> + Send>>>,
    detached: &'t TaskTracker,
}

impl<'t> DetachOnDrop<'t> {
    pub(super) fn new(
        call: impl Future<Output = Response<Body>> + Send + 'static,
        detached: &'t TaskTracker,
    ) -> Self {
        Self {
            call: Some(Box::pin(call)),
            detached,
        }
    }
}

impl Future for DetachOnDrop<'_> {
    type Output = Response<Body>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Response<Body>> {
        let Some(call) = &mut self.call else {
            return Poll::Pending;
        };
        let response = ready!(call.as_mut().poll(cx));
        self.call = None;
        Poll::Ready(response)
    }
}

impl Drop for DetachOnDrop<'_> {
    fn drop(&mut self) {
        if let Some(call) = self.call.take().filter(|_| Handle::try_current().is_ok()) {
            self.detached.spawn(call);
        }
    }
}
