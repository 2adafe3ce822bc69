//! Output for a terminal only: colours, line width, progress.

use std::io::{IsTerminal, Write, stderr, stdout};

use super::Style;

/// Returns the style for standard output. Omits colours if NO_COLOR (<https://no-color.org>) is set
/// or the terminal does not support them.
pub fn style() -> Style {
    if !stdout().is_terminal() {
        return Style::default();
    }
    let is_set = |name| std::env::var_os(name).is_some_and(|value| !value.is_empty());
    let is_dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
    let width = rustix::termios::tcgetwinsize(stdout()).map(|size| usize::from(size.ws_col));
    Style {
        signs: !is_dumb,
        colours: !is_dumb && !is_set("NO_COLOR"),
        // Long lines are hard to read, even in a wide window.
        width: Some(width.ok().filter(|width| *width > 0).unwrap_or(80).min(120)),
    }
}

/// One line on standard error that shows the operation in progress. Writes nothing if standard
/// error is not a terminal.
pub struct Progress {
    is_terminal: bool,
}

impl Progress {
    pub fn on_stderr() -> Self {
        Self {
            is_terminal: stderr().is_terminal(),
        }
    }

    pub fn show(&self, what: &str) {
        // Truncated, because a line that wraps cannot be erased.
        let what: String = what.chars().take(70).collect();
        self.write(&format!("\r\x1b[K{what} ..."));
    }

    pub fn clear(&self) {
        self.write("\r\x1b[K");
    }

    fn write(&self, text: &str) {
        if self.is_terminal {
            // Progress is optional, so an error is ignored.
            _ = stderr().write_all(text.as_bytes());
        }
    }
}
