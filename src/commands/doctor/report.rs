//! The complete result, as text for people (on a terminal or in a file) and as JSON for programs.

use std::fmt::Write;

use serde::Serialize;

use super::{ApplicationReport, Finding, Level, Section, Step};

/// The findings about the configuration and about each application.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The version of the program.
    version: &'static str,
    /// The findings about the configuration and the files it names.
    pub findings: Vec<Finding>,
    pub applications: Vec<ApplicationReport>,
    pub problems: usize,
    pub warnings: usize,
}

/// The style of the text report.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Whether a line begins with a sign instead of a word.
    pub signs: bool,
    pub colours: bool,
    /// The column at which lines are wrapped. `None` if lines are not wrapped.
    pub width: Option<usize>,
}

const SECTIONS: [Section; 3] = [Section::Public, Section::Upstream, Section::Through];
/// The width of the longest title, in columns.
const TITLE_WIDTH: usize = 11;

impl Report {
    pub(super) fn new(findings: Vec<Finding>, applications: Vec<ApplicationReport>) -> Self {
        let mut report = Self {
            version: env!("CARGO_PKG_VERSION"),
            findings,
            applications,
            problems: 0,
            warnings: 0,
        };
        report.problems = report.count(Level::Problem);
        report.warnings = report.count(Level::Warning);
        report
    }

    /// Returns the findings about the configuration, then those about each application.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        let applications = self.applications.iter();
        let found = applications.flat_map(|application| &application.findings);
        self.findings.iter().chain(found)
    }

    fn count(&self, level: Level) -> usize {
        self.all().filter(|finding| finding.level == level).count()
    }

    /// Returns the report as one JSON object on one line, as documented.
    ///
    /// # Errors
    /// Never in practice, because every field can be serialised.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    /// Returns the report as text.
    pub fn to_text(&self, style: Style) -> String {
        let mut writer = TextWriter {
            text: String::new(),
            style,
        };
        writer.section(Section::Configuration, &self.findings);
        for application in &self.applications {
            writer.application(application);
        }
        writer.summary(self);
        writer.text
    }
}

struct TextWriter {
    text: String,
    style: Style,
}

// SGR parameters (ECMA-48).
const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl TextWriter {
    fn application(&mut self, application: &ApplicationReport) {
        let name = self.painted(BOLD, &application.name);
        self.line(&format!("{name}\n"));
        for section in SECTIONS {
            self.section(section, &application.findings);
        }
        let skipped: Vec<_> = application.left_out.iter().map(full_title).collect();
        if !skipped.is_empty() {
            let text = format!("not examined after these findings: {}", skipped.join(", "));
            self.wrapped("  ", 2, &text, Some(FAINT));
            self.line("");
        }
    }

    fn section(&mut self, section: Section, findings: &[Finding]) {
        let mut findings = findings
            .iter()
            .filter(|finding| finding.step.section() == section)
            .peekable();
        if findings.peek().is_none() {
            return;
        }
        let title = self.painted(FAINT, section.title());
        self.line(&format!("  {title}"));
        while let Some(finding) = findings.next() {
            self.finding(finding);
            // The same cure for consecutive findings is written once.
            let next = findings.peek().and_then(|next| next.cure.as_deref());
            if let Some(cure) = finding.cure.as_deref().filter(|cure| next != Some(cure)) {
                self.cure(cure);
            }
        }
        self.line("");
    }

    fn finding(&mut self, finding: &Finding) {
        let (sign, word, colour) = match finding.level {
            Level::Ok => ("✓", "ok", GREEN),
            Level::Warning => ("!", "warning", YELLOW),
            Level::Problem => ("✗", "problem", RED),
        };
        let mark = match self.style.signs {
            true => sign.to_owned(),
            false => format!("{word:7}"),
        };
        let mark = self.painted(colour, &mark);
        let start = format!("  {mark} {:TITLE_WIDTH$}  ", finding.step.title());
        let emphasis = (finding.level != Level::Ok).then_some(BOLD);
        self.wrapped(&start, self.indent(), &finding.what, emphasis);
    }

    fn cure(&mut self, cure: &str) {
        let indent = self.indent();
        let start = format!("{:indent$}→ ", "");
        self.wrapped(&start, indent + 2, cure, None);
    }

    /// Returns the column at which the sentences begin.
    fn indent(&self) -> usize {
        let mark = if self.style.signs { 1 } else { 7 };
        2 + mark + 1 + TITLE_WIDTH + 2
    }

    fn summary(&mut self, report: &Report) {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let problems = count(report.problems, "problem");
        let warnings = count(report.warnings, "warning");
        let (colour, text) = match (report.problems, report.warnings) {
            (0, 0) => (GREEN, "No problems".to_owned()),
            (0, _) => (YELLOW, format!("No problems, {warnings}")),
            (_, 0) => (RED, problems),
            _ => (RED, format!("{problems}, {warnings}")),
        };
        let text = self.painted(colour, &text);
        self.line(&text);
    }

    /// Writes `start`, whose visible width is `indent`, then `text`. Continuation lines are
    /// indented by `indent`.
    fn wrapped(&mut self, start: &str, indent: usize, text: &str, colour: Option<&str>) {
        let most = match self.style.width {
            Some(width) => width.saturating_sub(indent).max(MIN_WIDTH),
            None => usize::MAX,
        };
        let mut start = start.to_owned();
        for line in lines(text, most) {
            let line = match colour {
                Some(colour) => self.painted(colour, &line),
                None => line,
            };
            self.line(&format!("{start}{line}"));
            start = " ".repeat(indent);
        }
    }

    fn painted(&self, colour: &str, text: &str) -> String {
        match self.style.colours {
            true => format!("\x1b[{colour}m{text}\x1b[0m"),
            false => text.to_owned(),
        }
    }

    fn line(&mut self, line: &str) {
        // Writing to a string does not fail.
        _ = writeln!(self.text, "{}", line.trim_end_matches(' '));
    }
}

/// The minimum number of columns to which text is wrapped.
const MIN_WIDTH: usize = 30;

/// Splits `text` at spaces into lines of at most `most` characters.
fn lines(text: &str, most: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    let mut used = 0;
    for word in text.split(' ') {
        let length = word.chars().count();
        if used > 0 && used + 1 + length > most {
            lines.push(String::new());
            used = 0;
        }
        let Some(line) = lines.last_mut() else { break };
        if used > 0 {
            line.push(' ');
            used += 1;
        }
        line.push_str(word);
        used += length;
    }
    lines
}

/// Returns the title with its section where the title alone is ambiguous.
fn full_title(step: &Step) -> String {
    match step.section() {
        Section::Through => format!("{} through the proxy", step.title()),
        _ => step.title().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_broken_at_spaces_only() {
        assert_eq!(lines("a bc def", 4), ["a bc", "def"]);
        assert_eq!(lines("abcdefgh i", 4), ["abcdefgh", "i"]);
        assert_eq!(lines("a  b", usize::MAX), ["a  b"]);
    }

    #[test]
    fn titles_fit_their_column() {
        for step in Step::ALL {
            assert!(step.title().len() <= TITLE_WIDTH, "{step:?}");
        }
    }
}
