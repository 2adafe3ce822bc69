//! No two files use each other, neither directly nor through a third, so that a file can be read
//! and changed without those that use it.
//!
//! The graph is read from the text. Each `use`, and each path that begins with `crate`, `self`,
//! `super`, a child module or an imported name, is followed through re-exports to the file that
//! defines the item. Two things do not count: a `pub use` that only hands a name on, and the use of
//! an item that an ancestor module defines, because a module and its children are one unit. Method
//! calls are not followed, because that would need types.

mod files;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::path::Path;

use super::at;
use files::Files;

#[test]
fn no_two_files_use_each_other() {
    for root in ["src/lib.rs", "benches/throughput/main.rs"] {
        let files = Files::read(&at(root));
        let uses = files.uses();
        let count: usize = uses.values().map(BTreeSet::len).sum();
        assert!(count > 2 * uses.len(), "{root}: only {count} uses");
        let circles = circles(&uses);
        assert!(circles.is_empty(), "{root}: {circles:#?}");
    }
}

#[test]
fn circles_are_found() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::create_dir(directory.path().join("a")).unwrap();
    let write = |name: &str, text: &str| std::fs::write(directory.path().join(name), text).unwrap();
    write("lib.rs", "pub mod a;\npub mod b;");
    write("a.rs", "mod x;\nmod y;\npub use y::Y;\nstruct A;");
    write("a/y.rs", "use super::{A, x::X};\npub struct Y;");

    let direct = "a/x.rs -> a/y.rs -> a/x.rs";
    for (x, b, circle) in [
        ("use super::y::Y;", "", direct),
        ("use crate::a::{self, Y as Z};", "", direct),
        ("fn f() { super::y::f() }", "", direct),
        ("use crate::a; fn f(y: a::Y) {}", "", direct),
        ("use crate::b::B;", "pub use crate::a::Y as B;", direct),
        (
            "use crate::b::B;",
            "use crate::a::Y; struct B(Y);",
            "a/x.rs -> b.rs -> a/y.rs -> a/x.rs",
        ),
        (
            "// super::y::Y\nconst PATH: &str = \"super::y::Y\";",
            "",
            "",
        ),
        (
            "#[cfg(test)]\nmod tests { use super::super::y::Y; }",
            "",
            "",
        ),
        ("pub use super::Y;", "", ""),
        ("pub use super::Y; fn f(y: Y) {}", "", direct),
    ] {
        write("a/x.rs", x);
        write("b.rs", b);
        let found = circles(&Files::read(&directory.path().join("lib.rs")).uses());
        assert_eq!(found.join(""), circle, "{x}");
    }
}

/// The shortest circle of each file that is in one, as `a.rs -> b.rs -> a.rs`.
fn circles(uses: &BTreeMap<&Path, BTreeSet<&Path>>) -> Vec<String> {
    let mut circles = Vec::new();
    let mut known = BTreeSet::new();
    for circle in uses.keys().filter_map(|file| shortest_circle(uses, file)) {
        if known.insert(BTreeSet::from_iter(circle.clone())) {
            let names: Vec<_> = circle
                .iter()
                .map(|file| file.display().to_string())
                .collect();
            circles.push(names.join(" -> "));
        }
    }
    circles
}

/// The shortest way from a file back to itself.
fn shortest_circle<'a>(
    uses: &BTreeMap<&'a Path, BTreeSet<&'a Path>>,
    start: &'a Path,
) -> Option<Vec<&'a Path>> {
    let mut queue = VecDeque::from([vec![start]]);
    let mut seen = BTreeSet::new();
    while let Some(way) = queue.pop_front() {
        for used in uses.get(way.last()?).into_iter().flatten() {
            let longer = [&way[..], &[*used]].concat();
            if *used == start {
                return Some(longer);
            }
            if seen.insert(*used) {
                queue.push_back(longer);
            }
        }
    }
    None
}
