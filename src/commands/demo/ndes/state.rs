//! What can be changed while a simulated NDES runs.

use tokio::sync::watch;

use crate::commands::demo::condition::Condition;
use crate::commands::demo::enrolment::Enrolment;
use crate::commands::demo::ra::ScepCertificates;

pub(super) struct State(watch::Sender<Now>);

/// How it is at one moment.
#[derive(Clone)]
pub(super) struct Now {
    pub(super) condition: Condition,
    pub(super) enrolment: Option<Enrolment>,
    /// Those of a healthy NDES.
    installed: ScepCertificates,
    /// Those that go with the condition.
    pub(super) handed_out: ScepCertificates,
}

impl State {
    pub(super) fn new(
        condition: Condition,
        enrolment: Option<Enrolment>,
        scep: &ScepCertificates,
    ) -> Result<Self, rcgen::Error> {
        Ok(Self(watch::Sender::new(Now {
            condition,
            enrolment,
            handed_out: scep.when(condition)?,
            installed: scep.clone(),
        })))
    }

    pub(super) fn set(&self, condition: Condition) -> Result<(), rcgen::Error> {
        let installed = self.0.borrow().installed.clone();
        let handed_out = installed.when(condition)?;
        self.0.send_modify(|now| {
            now.condition = condition;
            now.handed_out = handed_out;
        });
        Ok(())
    }

    pub(super) fn set_enrolment(&self, enrolment: Option<Enrolment>) {
        self.0.send_modify(|now| now.enrolment = enrolment);
    }

    pub(super) fn set_certificates(&self, scep: &ScepCertificates) -> Result<(), rcgen::Error> {
        let condition = self.0.borrow().condition;
        let handed_out = scep.when(condition)?;
        self.0.send_modify(|now| {
            now.installed = scep.clone();
            now.handed_out = handed_out;
        });
        Ok(())
    }

    /// How it is, once it is not [`Condition::Late`].
    pub(super) async fn in_time(&self) -> Now {
        let mut changes = self.0.subscribe();
        let in_time = changes.wait_for(|now| now.condition != Condition::Late);
        match in_time.await {
            Ok(now) => now.clone(),
            // The sender is in `self`.
            Err(_) => self.0.borrow().clone(),
        }
    }
}
