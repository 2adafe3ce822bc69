//! The steps in config/reference/doctor.md.

use ndes_proxy::commands::doctor::Step;

use super::assert_same;
use super::markdown::first_words;
use super::source::literals;

#[test]
fn steps_of_the_doctor() {
    let steps = Step::ALL.map(|step| step.word().to_owned());
    let written = first_words("config/reference/doctor.md", "## Steps");
    assert_same("steps", written, steps);
    let words = literals("src/commands/doctor/finding.rs", "fn names(");
    let words = words.into_iter().step_by(2);
    assert_same(
        "Step::ALL",
        Step::ALL.map(|step| step.word().to_owned()),
        words,
    );
}
