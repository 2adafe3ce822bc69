//! The whole result: for people, on a terminal or in a file, and for programs.

use std::fmt::Write;

use serde::Serialize;

use super::{Examined, Finding, Level, Side, Step};

#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Of the program.
    version: &'static str,
    /// About the configuration and the files it names.
    pub findings: Vec<Finding>,
    pub applications: Vec<Examined>,
    pub problems: usize,
    pub warnings: usize,
}

/// How to write for people.
#[derive(Clone, Copy, Debug, Default)]
pub struct Style {
    /// Signs instead of words at the start of a line.
    pub signs: bool,
    pub colours: bool,
    /// Columns at which lines are broken.
    pub width: Option<usize>,
}

const SIDES: [Side; 3] = [Side::Public, Side::Upstream, Side::Through];
/// Of the longest title.
const TITLE: usize = 11;

impl Report {
    pub(super) fn new(findings: Vec<Finding>, applications: Vec<Examined>) -> Self {
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

    /// Of the configuration, then of each application.
    pub fn all(&self) -> impl Iterator<Item = &Finding> {
        let applications = self.applications.iter();
        let found = applications.flat_map(|application| &application.findings);
        self.findings.iter().chain(found)
    }

    fn count(&self, level: Level) -> usize {
        self.all().filter(|finding| finding.level == level).count()
    }

    /// The object that the README describes, in one line.
    ///
    /// # Errors
    /// None: all of it can be JSON.
    pub fn to_json(&self) -> Result<String, serde_json::Error> {
        serde_json::to_string(self)
    }

    pub fn to_text(&self, style: Style) -> String {
        let mut page = Page {
            text: String::new(),
            style,
        };
        page.side(Side::Configuration, &self.findings);
        for application in &self.applications {
            page.application(application);
        }
        page.summary(self);
        page.text
    }
}

struct Page {
    text: String,
    style: Style,
}

/// SGR parameters.
const BOLD: &str = "1";
const FAINT: &str = "2";
const RED: &str = "31";
const GREEN: &str = "32";
const YELLOW: &str = "33";

impl Page {
    fn application(&mut self, application: &Examined) {
        let name = self.painted(BOLD, &application.name);
        self.line(&format!("{name}\n"));
        for side in SIDES {
            self.side(side, &application.findings);
        }
        let left: Vec<_> = application.left_out.iter().map(left_out).collect();
        if !left.is_empty() {
            let text = format!("not looked at after that: {}", left.join(", "));
            self.wrapped("  ", 2, &text, Some(FAINT));
            self.line("");
        }
    }

    fn side(&mut self, side: Side, findings: &[Finding]) {
        let mut findings = findings
            .iter()
            .filter(|finding| finding.step.side() == side)
            .peekable();
        if findings.peek().is_none() {
            return;
        }
        let title = self.painted(FAINT, side.title());
        self.line(&format!("  {title}"));
        while let Some(finding) = findings.next() {
            self.finding(finding);
            // What is cured alike is told once.
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
        let start = format!("  {mark} {:TITLE$}  ", finding.step.title());
        let emphasis = (finding.level != Level::Ok).then_some(BOLD);
        self.wrapped(&start, self.indent(), &finding.what, emphasis);
    }

    fn cure(&mut self, cure: &str) {
        let indent = self.indent();
        let start = format!("{:indent$}→ ", "");
        self.wrapped(&start, indent + 2, cure, None);
    }

    /// Where the sentences begin.
    fn indent(&self) -> usize {
        let mark = if self.style.signs { 1 } else { 7 };
        2 + mark + 1 + TITLE + 2
    }

    fn summary(&mut self, report: &Report) {
        let count = |count: usize, what: &str| match count {
            1 => format!("1 {what}"),
            count => format!("{count} {what}s"),
        };
        let problems = count(report.problems, "problem");
        let warnings = count(report.warnings, "warning");
        let (colour, text) = match (report.problems, report.warnings) {
            (0, 0) => (GREEN, "All is well".to_owned()),
            (0, _) => (YELLOW, format!("No problem, {warnings}")),
            (_, 0) => (RED, problems),
            _ => (RED, format!("{problems}, {warnings}")),
        };
        let text = self.painted(colour, &text);
        self.line(&text);
    }

    /// `start`, whose visible width is `indent`, then `text`, whose further lines begin below its
    /// first.
    fn wrapped(&mut self, start: &str, indent: usize, text: &str, colour: Option<&str>) {
        let most = match self.style.width {
            Some(width) => width.saturating_sub(indent).max(NARROWEST),
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

/// A line is never broken below so many columns.
const NARROWEST: usize = 30;

/// `text` in lines of at most `most` characters, broken at spaces.
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

/// Titles alone would not tell the sides apart.
fn left_out(step: &Step) -> String {
    match step.side() {
        Side::Through => format!("{} through the proxy", step.title()),
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
            assert!(step.title().len() <= TITLE, "{step:?}");
        }
    }
}
