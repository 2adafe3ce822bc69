//! Where the steps write down what they find.

use std::time::Duration;

use super::{Examined, Finding, Step};

pub(super) struct Notes<'a> {
    examined: Examined,
    /// What is being done now.
    step: Step,
    watch: &'a mut dyn FnMut(&str),
}

impl<'a> Notes<'a> {
    pub(super) fn new(application: &str, watch: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            examined: Examined {
                name: application.to_owned(),
                findings: Vec::new(),
                left_out: Vec::new(),
            },
            step: Step::PublicDns,
            watch,
        }
    }

    /// Before something that may take a while. `what` is told to whoever waits.
    pub(super) fn begin(&mut self, step: Step, what: &str) {
        self.step = step;
        (self.watch)(&format!("{}: {what}", self.examined.name));
    }

    pub(super) fn add(&mut self, finding: Finding) {
        self.examined.findings.push(finding);
    }

    pub(super) fn ok(&mut self, step: Step, what: impl Into<String>) {
        self.add(Finding::ok(step, what));
    }

    pub(super) fn count(&self) -> usize {
        self.examined.findings.len()
    }

    pub(super) fn leave_out(&mut self, steps: &[Step]) {
        self.examined.left_out.extend_from_slice(steps);
    }

    pub(super) fn out_of_time(&mut self, limit: Duration) {
        let what = format!(
            "gave up here, {} seconds after the first step: what is above took too long",
            limit.as_secs()
        );
        let cure = "look at the delays on this way first, at name servers and firewalls that drop";
        self.add(Finding::problem(self.step, what, cure));
        let later = Step::ALL.into_iter().filter(|step| *step > self.step);
        self.examined.left_out.extend(later);
    }

    pub(super) fn into_examined(mut self) -> Examined {
        // Of two names the one may lead on where the other does not.
        let findings = &self.examined.findings;
        let was_done = |step: &Step| findings.iter().any(|finding| finding.step == *step);
        self.examined.left_out.retain(|step| !was_done(step));
        self.examined.left_out.sort_unstable();
        self.examined.left_out.dedup();
        self.examined
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::commands::doctor::Level;

    #[test]
    fn what_is_not_reached_in_time_is_left_out() {
        let mut watch = |_: &str| {};
        let mut notes = Notes::new("ndes", &mut watch);
        notes.leave_out(&[Step::PublicNoSni, Step::UrlLength]);
        notes.begin(Step::GetCaCert, "GetCACert");
        notes.out_of_time(Duration::from_secs(180));
        let examined = notes.into_examined();
        let [finding] = &examined.findings[..] else {
            panic!("{:?}", examined.findings);
        };
        assert_eq!(
            (finding.level, finding.step),
            (Level::Problem, Step::GetCaCert)
        );
        let left_out = [
            Step::PublicNoSni,
            Step::UrlLength,
            Step::ThroughForbidden,
            Step::ThroughBareGet,
            Step::ThroughGetCaCaps,
            Step::ThroughUrlLength,
        ];
        assert_eq!(examined.left_out, left_out);
    }
}
