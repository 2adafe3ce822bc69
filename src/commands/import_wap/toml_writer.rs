//! Writes lines of TOML and wraps long comments.

#[derive(Default)]
pub(super) struct TomlWriter(String);

impl TomlWriter {
    /// Writes a line unchanged.
    pub(super) fn line(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push('\n');
    }

    /// Writes sentences as a comment. `text` must not contain line ends.
    pub(super) fn comment(&mut self, text: &str) {
        self.wrapped("# ", "# ", text);
    }

    /// Writes an item of a list as a comment.
    pub(super) fn item(&mut self, text: &str) {
        self.wrapped("# - ", "#   ", text);
    }

    /// Writes a command to copy, which is never wrapped.
    pub(super) fn command(&mut self, text: &str) {
        self.line(&format!("#     {text}"));
    }

    pub(super) fn into_text(self) -> String {
        self.0
    }

    fn wrapped(&mut self, first: &str, rest: &str, text: &str) {
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

/// The maximum length of a comment line, in bytes. A longer word gets its own line.
const WIDTH: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_are_wrapped_between_words_and_commands_are_not() {
        let mut writer = TomlWriter::default();
        let long = "x".repeat(60);
        writer.comment(&format!("{long} {long} end"));
        writer.item(&format!("{long} {long}"));
        writer.command(&format!("{long} {long}"));
        writer.comment("");
        let expected =
            format!("# {long}\n# {long} end\n# - {long}\n#   {long}\n#     {long} {long}\n#\n");
        assert_eq!(writer.into_text(), expected);
    }
}
