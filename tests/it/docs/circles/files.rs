//! The files of a crate and what each of them uses, read from their text.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

/// The files of a crate, by the path of their module.
pub struct Files(BTreeMap<Vec<String>, File>);

struct File {
    /// Relative to the directory of the root.
    path: PathBuf,
    children: Vec<String>,
    imports: Vec<Import>,
    /// Paths outside `use`, of at least two segments.
    paths: Vec<Vec<String>>,
    /// First segments of all paths outside `use`.
    words: BTreeSet<String>,
}

/// One name of a `use`.
struct Import {
    name: String,
    path: Vec<String>,
    is_public: bool,
}

impl Files {
    /// Follows `mod name;` from the root file. Modules for tests only are left out.
    pub fn read(root: &Path) -> Self {
        let directory = root.parent().unwrap();
        let mut files = BTreeMap::new();
        let mut queue = vec![(Vec::new(), root.to_owned())];
        while let Some((module, path)) = queue.pop() {
            let relative = path.strip_prefix(directory).unwrap().to_owned();
            let file = File::parse(relative, &std::fs::read_to_string(&path).unwrap());
            for child in &file.children {
                let module = joined(&module, child);
                let path = directory.join(module.join("/")).with_extension("rs");
                queue.push((module, path));
            }
            files.insert(module, file);
        }
        Self(files)
    }

    /// The files that each file uses. The root is left out, because it is above all others.
    pub fn uses(&self) -> BTreeMap<&Path, BTreeSet<&Path>> {
        let mut uses = BTreeMap::new();
        for (module, file) in self.0.iter().filter(|(module, _)| !module.is_empty()) {
            let imports = file.imports.iter().filter(|import| import.is_used_by(file));
            let paths = imports.map(|import| &import.path).chain(&file.paths);
            let used = paths
                .filter_map(|path| self.definer(module, path))
                .filter(|definer| !module.starts_with(definer))
                .map(|definer| self.0[definer].path.as_path());
            uses.insert(file.path.as_path(), used.collect());
        }
        uses
    }

    /// The module that defines what `path` means in `module`. `None` for another crate and for a
    /// type of the file itself.
    fn definer(&self, module: &[String], path: &[String]) -> Option<&[String]> {
        let (first, rest) = path.split_first()?;
        match &first[..] {
            "crate" => self.descend(&[], rest),
            "self" => self.descend(module, rest),
            "super" => {
                let parent = module.split_last()?.1;
                match rest.first().map(String::as_str) {
                    Some("super") => self.definer(parent, rest),
                    _ => self.descend(parent, rest),
                }
            }
            _ if self.0[module].children.contains(first) => self.descend(module, path),
            // Several names may be imported through others, but not through themselves.
            _ => {
                let mut imports = self.0[module].imports.iter();
                let import =
                    imports.find(|import| import.name == *first && import.path[0] != *first)?;
                self.definer(module, &[&import.path[..], rest].concat())
            }
        }
    }

    /// Follows `path` from `module` through children and imports to the last module.
    fn descend(&self, module: &[String], path: &[String]) -> Option<&[String]> {
        let (module, file) = self.0.get_key_value(module)?;
        match path.split_first() {
            Some((first, rest)) if file.children.contains(first) => {
                self.descend(&joined(module, first), rest)
            }
            Some((first, _)) if file.imports.iter().any(|import| import.name == *first) => {
                self.definer(module, path)
            }
            _ => Some(module),
        }
    }
}

impl Import {
    /// Whether a file uses this name itself and does not only hand it on.
    fn is_used_by(&self, file: &File) -> bool {
        !self.is_public || file.words.contains(&self.name)
    }
}

impl File {
    fn parse(path: PathBuf, text: &str) -> Self {
        let code = code_of(text);
        let tokens = without_tests(&tokens_of(&code));
        let mut file = Self {
            path,
            children: Vec::new(),
            imports: Vec::new(),
            paths: Vec::new(),
            words: BTreeSet::new(),
        };
        let mut rest = &tokens[..];
        let mut previous = "";
        while let [token, after @ ..] = rest {
            rest = match (*token, after) {
                ("mod", [name, ";", after @ ..]) => {
                    file.children.push((*name).to_owned());
                    after
                }
                ("use", [next, ..]) if *next != "<" && previous != "$" => {
                    let is_public = ["pub", ")"].contains(&previous);
                    file.import(after, &[], is_public)
                }
                (word, _) if is_word(word) => {
                    let length = path_length(rest);
                    if previous != "." {
                        file.words.insert(word.to_owned());
                        let path = rest[..length]
                            .iter()
                            .step_by(2)
                            .map(|word| (*word).to_owned());
                        file.paths.extend((length > 1).then(|| path.collect()));
                    }
                    &rest[length..]
                }
                _ => after,
            };
            previous = token;
        }
        file
    }

    /// Adds the names of one tree of a `use`. Returns what follows it.
    fn import<'t, 'c>(
        &mut self,
        tokens: &'t [&'c str],
        prefix: &[String],
        is_public: bool,
    ) -> &'t [&'c str] {
        let length = path_length(tokens);
        let segments = tokens[..length]
            .iter()
            .step_by(2)
            .map(|word| (*word).to_owned());
        let mut path: Vec<_> = prefix.iter().cloned().chain(segments).collect();
        let mut rest = &tokens[length..];
        if let ["::", after @ ..] | after @ ["{", ..] = rest
            && let ["{", after @ ..] = after
        {
            rest = after;
            while !rest.starts_with(&["}"]) {
                rest = self.import(rest, &path, is_public);
                rest = rest.strip_prefix(&[","]).unwrap_or(rest);
            }
            return &rest[1..];
        }
        if !prefix.is_empty() && path.last().is_some_and(|last| last == "self") {
            path.pop();
        }
        let mut name = path.last().cloned().unwrap();
        if let ["as", alias, after @ ..] = rest {
            name = (*alias).to_owned();
            rest = after;
        } else if let ["::", "*", after @ ..] = rest {
            let is_own = ["crate", "self", "super"].contains(&&path[0][..]);
            assert!(!is_own, "{}: {path:?}::*", self.path.display());
            return after;
        }
        self.imports.push(Import {
            name,
            path,
            is_public,
        });
        rest
    }
}

fn joined(module: &[String], child: &str) -> Vec<String> {
    let child = std::iter::once(child.to_owned());
    module.iter().cloned().chain(child).collect()
}

/// The number of tokens of the path at the start: words and the `::` between them.
fn path_length(tokens: &[&str]) -> usize {
    let mut length = usize::from(tokens.first().is_some_and(|word| is_word(word)));
    while length > 0 && matches!(tokens[length..], ["::", word, ..] if is_word(word)) {
        length += 2;
    }
    length
}

fn is_word(token: &str) -> bool {
    token.starts_with(|first: char| first == '_' || first.is_ascii_alphabetic())
}

/// The text without comments, strings and characters.
fn code_of(text: &str) -> String {
    let mut code = String::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            rest.find('\n').unwrap_or(rest.len())
        } else if let Some((start, end)) = raw_string(rest) {
            start + rest[start..].find(&end).unwrap() + end.len()
        } else if first == '"' {
            literal_length(rest, '"')
        } else if first == '\'' && is_character(rest) {
            literal_length(rest, '\'')
        } else {
            code.push(first);
            first.len_utf8()
        };
        rest = &rest[length..];
    }
    code
}

/// The length of the start of a raw string at the start of `text`, and its end.
fn raw_string(text: &str) -> Option<(usize, String)> {
    let hashes = text.strip_prefix("br").or_else(|| text.strip_prefix('r'))?;
    let after = hashes.trim_start_matches('#');
    after.starts_with('"').then(|| {
        let count = hashes.len() - after.len();
        (
            text.len() - after.len() + 1,
            format!("\"{}", "#".repeat(count)),
        )
    })
}

/// Whether a quote begins a character and not a lifetime.
fn is_character(text: &str) -> bool {
    text[1..].starts_with('\\') || text.chars().nth(2) == Some('\'')
}

/// The length of the literal at the start of `text`, with both quotes.
fn literal_length(text: &str, quote: char) -> usize {
    let mut characters = text.char_indices().skip(1);
    while let Some((index, character)) = characters.next() {
        match character {
            '\\' => _ = characters.next(),
            _ if character == quote => return index + 1,
            _ => {}
        }
    }
    panic!("a literal has no end")
}

/// Words, `::` and single other characters.
fn tokens_of(code: &str) -> Vec<&str> {
    let mut tokens = Vec::new();
    let mut rest = code.trim_start();
    while let Some(first) = rest.chars().next() {
        let word = rest.find(|c: char| c != '_' && !c.is_ascii_alphanumeric());
        let length = match word.unwrap_or(rest.len()) {
            0 if rest.starts_with("::") => 2,
            0 => first.len_utf8(),
            length => length,
        };
        let (token, after) = rest.split_at(length);
        tokens.push(token);
        rest = after.trim_start();
    }
    tokens
}

/// The tokens without the items under `#[cfg(test)]`.
fn without_tests<'c>(tokens: &[&'c str]) -> Vec<&'c str> {
    let mut kept = Vec::new();
    let mut rest = tokens;
    while let [token, after @ ..] = rest {
        let Some(item) = rest.strip_prefix(&["#", "[", "cfg", "(", "test", ")", "]"]) else {
            kept.push(*token);
            rest = after;
            continue;
        };
        // An item ends with the first `;` or `}` outside of all brackets.
        let mut depth = 0;
        let end = item.iter().position(|token| {
            depth += i32::from(["(", "[", "{"].contains(token));
            depth -= i32::from([")", "]", "}"].contains(token));
            depth == 0 && [";", "}"].contains(token)
        });
        rest = &item[end.unwrap() + 1..];
    }
    kept
}
