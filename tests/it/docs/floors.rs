//! The diagram in src/lib.rs is the rule: a room uses only rooms on lower floors, so that rooms
//! form no circle.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::{assert_same, at, read};

#[test]
fn modules_use_only_lower_floors() {
    let floors = floors();
    let mut wrong = Vec::new();
    let mut seen = 0;
    for file in sources(&at("src")) {
        let user = module(&file);
        // The root of the crate and the command line are above all floors.
        let Some(floor) = floors.get(&user) else {
            assert!(["lib", "main"].contains(&&user[..]), "{user} has no floor");
            continue;
        };
        let text = std::fs::read_to_string(&file).unwrap();
        for (number, used) in uses(&text) {
            seen += 1;
            let location = format!("{}:{number}", file.display());
            let Some(below) = floors.get(used) else {
                panic!("{location}: {used:?} is no module of the diagram");
            };
            if used != user && below >= floor {
                wrong.push(format!(
                    "{location}: {user} ({floor}) uses {used} ({below})"
                ));
            }
        }
    }
    assert!(seen > 100, "only {seen} uses were found");
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn every_module_has_a_floor() {
    let lib = read("src/lib.rs");
    let modules = lib
        .lines()
        .filter_map(|line| line.strip_prefix("pub mod ")?.strip_suffix(';'));
    assert_same(
        "floors of src/lib.rs",
        floors().into_keys(),
        modules.map(str::to_owned),
    );
}

/// Returns the floor of each module, from lines such as `//! 6  upstream    what it is for`.
fn floors() -> BTreeMap<String, u32> {
    let lib = read("src/lib.rs");
    let diagram = lib.split("//! ```").nth(1).unwrap();
    let mut floors = BTreeMap::new();
    for line in diagram.lines().filter_map(|line| line.strip_prefix("//! ")) {
        let (floor, modules) = line.split_once("  ").unwrap();
        let modules = modules.split("    ").next().unwrap();
        for module in modules.split_whitespace() {
            let twice = floors.insert(module.to_owned(), floor.parse().unwrap());
            assert_eq!(twice, None, "{module} is on two floors");
        }
    }
    floors
}

fn sources(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files
}

/// Returns the top module that a file belongs to.
fn module(file: &Path) -> String {
    let below = file.strip_prefix(at("src")).unwrap();
    let top = below.components().next().unwrap();
    let name = Path::new(top.as_os_str()).with_extension("");
    name.to_str().unwrap().to_owned()
}

/// Returns every `crate::name` outside comments, with its line.
fn uses(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines().enumerate().flat_map(|(index, line)| {
        let code = line.split("//").next().unwrap_or_default();
        code.split("crate::").skip(1).map(move |rest| {
            let end = rest.find(|c: char| !c.is_ascii_alphanumeric() && c != '_');
            (index + 1, &rest[..end.unwrap_or(rest.len())])
        })
    })
}
