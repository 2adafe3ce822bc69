//! TomlWriter of TOML, and comments that are broken where they get long.

#[derive(Default)]
pub(super) struct TomlWriter(String);

impl TomlWriter {
    /// As it is.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Sentences. `text` has no line ends.
    pub(super) fn comment(&mut self, text: &str) {
        self.broken("# ", "# ", text);
    }

    /// One of a list.
    pub(super) fn item(&mut self, text: &str) {
        self.broken("# - ", "#   ", text);
    }

    /// To be copied, so never broken.
    pub(super) fn command(&mut self, text: &str) {
        self.line(&format!("#     {text}"));
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn broken(&mut self, first: &str, rest: &str, text: &str) {
        let mut line = first.to_owned();
        let mut is_empty = true;
        for word in text.split_ascii_whitespace() {
            if !is_empty && line.len() + word.len() > WIDTH {
                self.line(line.trim_end());
                line = rest.to_owned();
            }
            line.push_str(word);
            line.push(' ');
            is_empty = false;
        }
        self.line(line.trim_end());
    }
}

/// Bytes; a longer word stands alone.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_broken_between_words_and_commands_are_not() {
        let mut lines = TomlWriter::default();
        let long = "x".repeat(60);
        lines.comment(&format!("{long} {long} end"));
        lines.item(&format!("{long} {long}"));
        lines.command(&format!("{long} {long}"));
        lines.comment("");
        let expected =
            format!("# {long}\n# {long} end\n# - {long}\n#   {long}\n#     {long} {long}\n#\n");
        assert_eq!(lines.into_text(), expected);
    }
}
