//! The commands and admin paths in config/reference/operation.md.

use std::process::Command;

use super::markdown::{first_words, table, word};
use super::{assert_same, read};

const FILE: &str = "config/reference/operation.md";

#[test]
fn commands() {
    let help = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"))
        .arg("--help")
        .output()
        .unwrap();
    let help = String::from_utf8(help.stdout).unwrap();
    let (_, listed) = help.split_once("Commands:\n").unwrap();
    let real = listed
        .lines()
        .take_while(|line| !line.is_empty())
        .map(|line| line.split_whitespace().next().unwrap())
        .filter(|name| *name != "help")
        .map(|name| format!("ndes-proxy {name}"));
    let written = table(FILE, "## Commands")
        .into_iter()
        .filter(|row| row[0] != "any")
        .map(|row| word(&row[0]));
    assert_same("commands", written, real);
}

#[test]
fn paths_of_the_admin_listener() {
    let source = read("src/operate/admin.rs");
    let paths = source
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("\"/")?.split_once('"'))
        .map(|(path, _)| format!("/{path}"));
    let written = first_words(FILE, "## Admin listener");
    let written = written.into_iter().filter(|path| !path.contains('?'));
    assert_same("admin paths", written, paths);
}
