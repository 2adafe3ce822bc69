//! The state of a simulated NDES that can be changed while it runs.

use tokio::sync::watch;

use crate::commands::demo::condition::Condition;
use crate::commands::demo::enrolment::Enrolment;
use crate::commands::demo::ra::ScepCertificates;

pub(super) struct State(watch::Sender<Snapshot>);

/// The state at one moment.
#[derive(Clone)]
pub(super) struct Snapshot {
    pub(super) condition: Condition,
    pub(super) enrolment: Option<Enrolment>,
    /// The certificates of a healthy NDES.
    installed: ScepCertificates,
    /// The certificates that GetCACert returns in the current condition.
    pub(super) served: ScepCertificates,
}

impl State {
    pub(super) fn new(
        condition: Condition,
        enrolment: Option<Enrolment>,
        scep: &ScepCertificates,
    ) -> Result<Self, rcgen::Error> {
        Ok(Self(watch::Sender::new(Snapshot {
            condition,
            enrolment,
            served: scep.when(condition)?,
            installed: scep.clone(),
        })))
    }

    pub(super) fn set(&self, condition: Condition) -> Result<(), rcgen::Error> {
        let installed = self.0.borrow().installed.clone();
        let served = installed.when(condition)?;
        self.0.send_modify(|now| {
            now.condition = condition;
            now.served = served;
        });
        Ok(())
    }

    pub(super) fn set_enrolment(&self, enrolment: Option<Enrolment>) {
        self.0.send_modify(|now| now.enrolment = enrolment);
    }

    pub(super) fn set_certificates(&self, scep: &ScepCertificates) -> Result<(), rcgen::Error> {
        let condition = self.0.borrow().condition;
        let served = scep.when(condition)?;
        self.0.send_modify(|now| {
            now.installed = scep.clone();
            now.served = served;
        });
        Ok(())
    }

    /// Waits until the condition is not [`Condition::Late`], and returns the state.
    pub(super) async fn when_not_late(&self) -> Snapshot {
        let mut changes = self.0.subscribe();
        let change = changes.wait_for(|now| now.condition != Condition::Late);
        match change.await {
            Ok(now) => now.clone(),
            // Unreachable: `self` owns the sender, so the channel is open.
            Err(_) => self.0.borrow().clone(),
        }
    }
}
