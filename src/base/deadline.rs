//! Timeouts that cost nothing if there is nothing to wait for.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use tokio::time::error::Elapsed;
use tokio::time::timeout;

/// Returns the output of `future`, or an error if it is not ready within `time`. Reads the clock and
/// sets up a timer only if the future is not ready at once, as most reads and writes are.
pub async fn within<F: Future>(time: Duration, future: F) -> Result<F::Output, Elapsed> {
    let mut future = pin!(future);
    match poll_fn(|cx| Poll::Ready(future.as_mut().poll(cx))).await {
        Poll::Ready(result) => Ok(result),
        Poll::Pending => timeout(time, future).await,
    }
}

#[cfg(test)]
mod tests {
    use std::future::{pending, ready};

    use tokio::time::Instant;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_ready_future_needs_no_time_and_a_pending_one_gets_all_of_it() {
        assert_eq!(within(Duration::ZERO, ready(1)).await, Ok(1));
        let began = Instant::now();
        let time = Duration::from_secs(3);
        assert!(within(time, pending::<()>()).await.is_err());
        assert_eq!(began.elapsed(), time);
        assert_eq!(within(time, tokio::task::yield_now()).await, Ok(()));
    }
}
