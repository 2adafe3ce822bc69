//! Which requests are sent again: those that certainly did not reach NDES, and those that have no
//! effect on it.

use std::future::{Future, Ready, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use tower::Service;
use tower::retry::{Policy, Retry};

use super::{Answer, Client, Failure, Outgoing};

/// Sends a request, and sends it again if the policy allows it.
pub type Stack = Retry<RetryPolicy, SendOnce>;

pub fn stack(client: Arc<Client>) -> Stack {
    Retry::new(RetryPolicy, SendOnce(client))
}

/// Sends each request once.
#[derive(Clone)]
pub struct SendOnce(Arc<Client>);

impl Service<Outgoing> for SendOnce {
    type Response = Answer;
    type Error = Failure;
    type Future = Pin<Box<dyn Future<Output = Result<Answer, Failure>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Failure>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Outgoing) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { client.send(request).await })
    }
}

/// Decides which requests are sent again.
#[derive(Clone, Copy)]
pub struct RetryPolicy;

const MOST_RETRIES: u8 = 2;

impl Policy<Outgoing, Answer, Failure> for RetryPolicy {
    type Future = Ready<()>;

    fn retry(
        &mut self,
        request: &mut Outgoing,
        result: &mut Result<Answer, Failure>,
    ) -> Option<Self::Future> {
        let again = match result {
            Ok(_) => false,
            Err(Failure::Unsent(_)) => true,
            // NDES closed a pooled connection while the request was on its way.
            Err(Failure::Closed { reused: true, .. }) => request.is_repeatable(),
            Err(_) => false,
        };
        if !again || request.retries == MOST_RETRIES {
            return None;
        }
        request.retries += 1;
        Some(ready(()))
    }

    fn clone_request(&mut self, request: &Outgoing) -> Option<Outgoing> {
        Some(request.clone())
    }
}
