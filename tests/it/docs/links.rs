//! Links of all Markdown files, and the runbooks of the alerts, lead somewhere.

use std::path::{Path, PathBuf};

use super::markdown::{anchors, prose};
use super::{at, read};

#[test]
fn links_lead_somewhere() {
    let files = markdown_files(&at(""));
    let mut seen = 0;
    for file in &files {
        let text = prose(&std::fs::read_to_string(file).unwrap());
        for link in text.split("](").skip(1) {
            let link = link.split(')').next().unwrap();
            if link.starts_with("https://") {
                continue;
            }
            seen += 1;
            if let Err(reason) = follow(file, link) {
                panic!("{}: {link}: {reason}", file.display());
            }
        }
    }
    for file in ["README.md", "src/README.md", "config/reference/refusals.md"] {
        assert!(files.contains(&at(file)), "{file} was not found");
    }
    assert!(seen > 50, "only {seen} links were found");
}

#[test]
fn runbooks_of_the_alerts_lead_somewhere() {
    let rules = read("config/prometheus/rules.yml");
    let mut seen = 0;
    for line in rules.lines() {
        let Some(runbook) = line.trim_start().strip_prefix("runbook: ") else {
            continue;
        };
        seen += 1;
        let (link, row) = runbook.split_once(", ").unzip();
        let link = link.unwrap_or(runbook);
        assert!(link.contains(".md#"), "{runbook}: names no heading");
        if let Err(reason) = follow(&at("README.md"), link) {
            panic!("{runbook}: {reason}");
        }
        let (file, _) = link.split_once('#').unwrap();
        if let Some(row) = row {
            let has_row = read(file).contains(&format!("| `{row}` |"));
            assert!(has_row, "{runbook}: {file} has no row {row}");
        }
    }
    assert!(seen > 20, "only {seen} runbooks were found");
}

/// Whether the file and the heading to which a link of `from` leads exist.
fn follow(from: &Path, link: &str) -> Result<(), &'static str> {
    let (path, anchor) = link.split_once('#').unzip();
    let file = match path.unwrap_or(link) {
        "" => from.to_owned(),
        path => from.parent().unwrap().join(path),
    };
    if !file.exists() {
        return Err("no such file");
    }
    let Some(anchor) = anchor else {
        return Ok(());
    };
    let text = std::fs::read_to_string(&file).unwrap();
    match anchors(&text).contains(anchor) {
        true => Ok(()),
        false => Err("no such heading"),
    }
}

/// All of them in the repository: not what a build leaves, nor what git keeps for itself.
fn markdown_files(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && !["target", ".git"].contains(&name) {
            files.extend(markdown_files(&path));
        } else if path.extension().is_some_and(|extension| extension == "md") {
            files.push(path);
        }
    }
    files
}
