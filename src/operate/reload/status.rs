//! The result of the last reload, for the admin listener and systemd.

use std::sync::{Mutex, MutexGuard, PoisonError};

/// The result of the last reload.
#[derive(Default)]
pub struct Status(Mutex<State>);

#[derive(Default)]
struct State {
    refused: Option<String>,
    pending: Vec<&'static str>,
}

impl Status {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn took_effect(&self, pending: Vec<&'static str>) {
        *self.state() = State {
            refused: None,
            pending,
        };
    }

    pub(super) fn was_refused(&self, reason: &str) {
        self.state().refused = Some(reason.to_owned());
    }

    /// Whether the files on disk were refused, so that others are in use.
    pub fn is_refused(&self) -> bool {
        self.state().refused.is_some()
    }

    /// Returns one line that says which of the files on disk are in use.
    pub fn line(&self) -> String {
        let State { refused, pending } = &*self.state();
        match (refused, &pending[..]) {
            (Some(reason), _) => format!("last reload refused, all stays as it was: {reason}"),
            (None, []) => {
                "configuration and certificates are in use as they are on disk".to_owned()
            }
            (None, pending) => format!("needs a restart to take effect: {}", pending.join(", ")),
        }
    }
}
