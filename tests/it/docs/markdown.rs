//! Reads tables, links and headings out of Markdown files.

use std::collections::BTreeSet;

use super::read;

/// Returns the rows, without header and rule, of the first table below a heading of a file.
pub(super) fn table(file: &str, heading: &str) -> Vec<Vec<String>> {
    let text = read(file);
    let (_, below) = text
        .split_once(&format!("\n{heading}\n"))
        .unwrap_or_else(|| panic!("{file} has no {heading:?}"));
    let section = below.split("\n#").next().unwrap();
    let table = section
        .split("\n\n")
        .map(str::trim)
        .find(|block| block.starts_with('|'))
        .unwrap_or_else(|| panic!("{file} has no table below {heading:?}"));
    table.lines().skip(2).map(cells).collect()
}

fn cells(row: &str) -> Vec<String> {
    let row = row.strip_prefix('|').unwrap().strip_suffix('|').unwrap();
    row.split('|').map(|cell| cell.trim().to_owned()).collect()
}

/// Returns the word of a cell that is one word between backticks.
pub(super) fn word(cell: &str) -> String {
    let word = cell
        .strip_prefix('`')
        .and_then(|rest| rest.strip_suffix('`'));
    word.unwrap_or_else(|| panic!("{cell} is not between backticks"))
        .to_owned()
}

/// Returns everything between backticks in a cell.
pub(super) fn words(cell: &str) -> BTreeSet<String> {
    cell.split('`')
        .skip(1)
        .step_by(2)
        .map(str::to_owned)
        .collect()
}

/// Returns the first column of that table.
pub(super) fn first_words(file: &str, heading: &str) -> Vec<String> {
    table(file, heading)
        .iter()
        .map(|row| word(&row[0]))
        .collect()
}

/// Returns the text without fenced and indented code blocks, and without code spans.
pub(super) fn prose(text: &str) -> String {
    let mut prose = String::new();
    let mut is_fenced = false;
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_fenced = !is_fenced;
        } else if !is_fenced && !line.starts_with("    ") {
            for outside in line.split('`').step_by(2) {
                prose.push_str(outside);
            }
        }
        prose.push('\n');
    }
    prose
}

/// Returns the anchors that GitHub makes of the headings of a file.
pub(super) fn anchors(text: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut is_fenced = false;
    for line in text.lines() {
        is_fenced ^= line.starts_with("```");
        let heading = line.trim_start_matches('#');
        if is_fenced || heading.len() == line.len() || !heading.starts_with(' ') {
            continue;
        }
        let is_kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
        let anchor: String = heading.trim().chars().filter(is_kept).collect();
        let anchor = anchor.to_lowercase().replace(' ', "-");
        assert!(anchors.insert(anchor), "a heading twice: {line}");
    }
    anchors
}
