//! `ndes-proxy explain`: prints rows of the table of reasons, as compilers do for their error
//! codes.

use std::fmt::{self, Display, Formatter};

use crate::base::reason::{Reason, Row};

/// No reason has the word.
#[derive(Debug, thiserror::Error)]
#[error("no reason is called {0:?}; `ndes-proxy explain` without a word lists all of them")]
pub struct UnknownWord(String);

/// Explains the reason whose word, or whose kind of upstream error, is `word`.
///
/// # Errors
/// No reason has the word.
pub fn explain(word: &str) -> Result<Explanation, UnknownWord> {
    let reason = Reason::find(word).ok_or_else(|| UnknownWord(word.to_owned()))?;
    Ok(Explanation(reason.row()))
}

/// Lists all reasons, one line each.
pub fn list() -> impl Display {
    List
}

/// One row, for people.
pub struct Explanation(&'static Row);

impl Display for Explanation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let row = self.0;
        writeln!(f, "{}", row.word)?;
        writeln!(f)?;
        writeln!(f, "{}", row.what)?;
        writeln!(f)?;
        writeln!(f, "What to do: {}", row.cure)?;
        writeln!(f)?;
        writeln!(f, "Severity: {}", row.severity.as_str())?;
        writeln!(f, "Fault: {}", row.fault.as_str())?;
        if let Some(response) = row.response {
            let closes = if response.closes {
                ", closes the connection"
            } else {
                ""
            };
            writeln!(f, "Response: {}{closes}", response.status)?;
            writeln!(
                f,
                "Proxy-Status: ndes-proxy; error={}; details=\"{}\"",
                response.error, row.word
            )?;
            writeln!(
                f,
                "Counted in: ndes_proxy_refusals_total{{reason=\"{}\"}}",
                row.word
            )?;
        }
        if let Some(kind) = row.kind {
            writeln!(
                f,
                "Counted in: ndes_proxy_upstream_errors_total{{kind=\"{kind}\"}}"
            )?;
        }
        if row.anomaly {
            writeln!(
                f,
                "Counted in: ndes_proxy_anomalies_total{{reason=\"{}\"}}",
                row.word
            )?;
        }
        Ok(())
    }
}

struct List;

impl Display for List {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let words = Reason::ALL.iter().map(|reason| reason.word().len());
        let width = words.max().unwrap_or(0);
        for reason in Reason::ALL {
            let row = reason.row();
            let (severity, first) = (row.severity.as_str(), first_sentence(row.what));
            writeln!(f, "{:width$}  {severity:8}  {first}", row.word)?;
        }
        Ok(())
    }
}

fn first_sentence(text: &str) -> &str {
    text.find(". ").map_or(text, |end| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_word_and_a_kind_are_explained_and_another_word_is_not() {
        let by_word = explain("upstream_closed").unwrap().to_string();
        assert_eq!(explain("closed").unwrap().to_string(), by_word);
        for part in [
            "upstream_closed\n",
            "What to do: ",
            "Severity: critical\n",
            "Response: 502\n",
        ] {
            assert!(by_word.contains(part), "{by_word}");
        }
        let error = explain("no_such_word").err().unwrap().to_string();
        assert!(error.contains("\"no_such_word\""), "{error}");
    }

    #[test]
    fn the_list_has_a_line_for_each_reason() {
        assert_eq!(list().to_string().lines().count(), Reason::ALL.len());
    }
}
