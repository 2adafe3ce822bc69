//! Collects the findings about one application and the steps that were left out.

use std::time::Duration;

use super::{ApplicationReport, Finding, Step};

pub(super) struct Collector<'a> {
    examined: ApplicationReport,
    /// The step that runs now.
    step: Step,
    progress: &'a mut dyn FnMut(&str),
}

impl<'a> Collector<'a> {
    pub(super) fn new(application: &str, progress: &'a mut dyn FnMut(&str)) -> Self {
        Self {
            examined: ApplicationReport {
                name: application.to_owned(),
                findings: Vec::new(),
                left_out: Vec::new(),
            },
            step: Step::PublicDns,
            progress,
        }
    }

    /// Marks the start of an operation that may take a while. `what` is shown as progress.
    pub(super) fn begin(&mut self, step: Step, what: &str) {
        self.step = step;
        (self.progress)(&format!("{}: {what}", self.examined.name));
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

    pub(super) fn skip(&mut self, steps: &[Step]) {
        self.examined.left_out.extend_from_slice(steps);
    }

    /// Reports that the examination exceeded `limit`, and leaves out all later steps.
    pub(super) fn time_out(&mut self, limit: Duration) {
        let what = format!(
            "stopped at this step, {} seconds after the first one: the steps above took too long",
            limit.as_secs()
        );
        let cure = "find the cause of the delays first, for instance a name server that does not \
                    respond or a firewall that drops packets";
        self.add(Finding::problem(self.step, what, cure));
        let later = Step::ALL.into_iter().filter(|step| *step > self.step);
        self.examined.left_out.extend(later);
    }

    pub(super) fn into_report(mut self) -> ApplicationReport {
        // With two public names, a step left out for one name may have run for the other.
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
    fn steps_after_the_deadline_are_left_out() {
        let mut progress = |_: &str| {};
        let mut collector = Collector::new("ndes", &mut progress);
        collector.skip(&[Step::PublicNoSni, Step::UrlLength]);
        collector.begin(Step::GetCaCert, "GetCACert");
        collector.time_out(Duration::from_secs(180));
        let examined = collector.into_report();
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
