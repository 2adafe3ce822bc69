//! config/ndes-proxy.toml and config/minimal.toml against the parser.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use ndes_proxy::base::problem::{Problem, Severity};
use ndes_proxy::config::Config;
use toml::{Table, Value};

use super::{assert_same, at, read};

const FULL: &str = "config/ndes-proxy.toml";
const MINIMAL: &str = "config/minimal.toml";

#[test]
fn both_files_load_without_a_warning() {
    load(FULL);
    load(MINIMAL);
}

#[test]
fn every_value_in_the_full_file_is_the_default() {
    let (full, minimal) = (load(FULL), load(MINIMAL));
    let values = |config: &Config| {
        let application = &config.applications[0];
        let upstream = &application.upstreams[0];
        [
            format!("{:#?}", config.listen),
            format!("{:#?}", config.limits),
            format!("{:#?}", config.timeouts),
            format!("{:#?}", config.rate_limit),
            format!("{:#?}", config.reload),
            format!("{:#?}", config.log),
            format!("{:#?}", application.public_names),
            format!("{:#?}", application.paths),
            format!("{:#?}", application.methods),
            format!("{:#?}", application.operations),
            format!("{:#?}", application.client_address),
            format!("{:#?}", application.policy_module),
            format!("{:#?}", application.scep),
            format!("{:#?}", upstream.origin),
            format!("{:#?}", upstream.address),
            format!("{:#?}", upstream.server_name),
            format!("{:#?}", upstream.pin_sha256),
            format!("{:#?}", upstream.probe),
        ]
    };
    assert_eq!(values(&full), values(&minimal));
}

#[test]
fn the_full_file_has_every_key_that_the_parser_knows() {
    let mut real = BTreeSet::new();
    let mut probed = documented();
    probe(&mut probed);
    let text = toml::to_string(&probed).unwrap();
    let problems = Config::parse(Path::new("probe.toml"), &text).unwrap_err();
    let errors = |problem: &Problem| problem.diagnostic.severity == Severity::Error;
    for problem in problems.0.into_iter().filter(errors) {
        let key = without_indexes(&problem.location.key);
        let (section, name) = key.rsplit_once('.').unwrap_or(("", &key));
        assert_eq!(name, UNKNOWN, "{}", problem.diagnostic.what);
        let (_, known) = problem.diagnostic.cure.rsplit_once("one of: ").unwrap();
        real.extend(known.split(", ").map(|key| joined(section, key)));
    }
    let mut written = BTreeMap::new();
    flatten("", &documented(), &mut written);
    assert_same(FULL, written.into_keys(), real);
}

#[test]
fn the_keys_that_are_off_are_valid() {
    let text = toml::to_string(&documented()).unwrap();
    if let Err(problems) = Config::parse(&at(FULL), &text) {
        panic!("{problems}");
    }
}

#[test]
fn the_table_of_keys_in_the_reference_is_right() {
    let mut values = BTreeMap::new();
    flatten("", &documented(), &mut values);
    values.retain(|_, value| !is_section(value));
    let rows = super::markdown::table("config/reference/configuration.md", "## Keys");
    assert_same(
        "keys",
        rows.iter().map(|row| super::markdown::word(&row[0])),
        values.keys().cloned(),
    );
    for row in rows {
        let key = super::markdown::word(&row[0]);
        assert_eq!(row[1] == "required", is_required(&key), "{key}: {}", row[1]);
        if row[1].starts_with('`') {
            let written: Table = format!("value = {}", super::markdown::word(&row[1]))
                .parse()
                .unwrap();
            assert_eq!(written["value"], values[&key], "default of {key}");
        }
    }
}

fn load(file: &str) -> Config {
    let (config, warnings) =
        Config::load(&at(file)).unwrap_or_else(|problems| panic!("{problems}"));
    assert!(warnings.0.is_empty(), "{warnings}");
    config
}

#[test]
fn keys_that_need_a_restart_are_marked() {
    let (mut section, mut marked, mut is_marked) = (String::new(), Vec::new(), false);
    for line in read(FULL).lines() {
        if line.starts_with("# ") {
            is_marked |= line.contains("(restart)");
            continue;
        }
        let line = line.trim_start_matches('#');
        if let Some(name) = line.trim_matches(['[', ']']).strip_suffix(".network") {
            marked.extend(is_marked.then(|| format!("{name}.network")));
            section.clear();
        } else if line.starts_with('[') {
            section = line.trim_matches(['[', ']']).to_owned();
        } else if let Some((key, _)) = line.split_once(" =") {
            marked.extend(is_marked.then(|| joined(&section, key)));
        }
        is_marked = false;
    }
    let source = read("src/config/restart.rs");
    let keys = source.split('"').skip(1).step_by(2).map(str::to_owned);
    assert_same("keys that need a restart", marked, keys);
}

/// Returns the full file with the keys that are off, which are lines that begin with `#` and no
/// space.
fn documented() -> Table {
    let text: Vec<_> = read(FULL)
        .lines()
        .map(|line| match line.strip_prefix('#') {
            Some(key) if key.starts_with(|c: char| !c.is_whitespace()) => key.to_owned(),
            _ => line.to_owned(),
        })
        .collect();
    text.join("\n").parse().unwrap()
}

const UNKNOWN: &str = "surely-no-key-of-the-proxy";

/// Adds an unknown key to every section, because the error about it lists the known keys.
fn probe(section: &mut Table) {
    for (_, value) in section.iter_mut() {
        match value {
            Value::Table(table) if !is_quota(table) => probe(table),
            Value::Array(items) => items
                .iter_mut()
                .filter_map(Value::as_table_mut)
                .for_each(probe),
            _ => {}
        }
    }
    section.insert(UNKNOWN.to_owned(), Value::Boolean(true));
}

/// Adds the value of each full key, both of sections and of the keys in them. A list of sections
/// counts as one section.
fn flatten(section: &str, table: &Table, keys: &mut BTreeMap<String, Value>) {
    for (name, value) in table {
        let key = joined(section, name);
        keys.insert(key.clone(), value.clone());
        match value {
            Value::Table(table) if !is_quota(table) => flatten(&key, table, keys),
            Value::Array(items) => items
                .iter()
                .filter_map(Value::as_table)
                .for_each(|table| flatten(&key, table, keys)),
            _ => {}
        }
    }
}

fn is_section(value: &Value) -> bool {
    match value {
        Value::Table(table) => !is_quota(table),
        Value::Array(items) => items.iter().any(Value::is_table),
        _ => false,
    }
}

/// Whether `table` is the value of one key, which is written as a table.
fn is_quota(table: &Table) -> bool {
    table.contains_key("per_second")
}

fn joined(section: &str, key: &str) -> String {
    if section.is_empty() {
        key.to_owned()
    } else {
        format!("{section}.{key}")
    }
}

/// Whether the proxy does not start without `key`.
fn is_required(key: &str) -> bool {
    let mut document = documented();
    let (sections, name) = key.rsplit_once('.').unwrap();
    let mut table = &mut document;
    for section in sections.split('.') {
        table = match &mut table[section] {
            Value::Array(items) => items[0].as_table_mut().unwrap(),
            value => value.as_table_mut().unwrap(),
        };
    }
    table.remove(name).unwrap();
    Config::parse(&at(FULL), &toml::to_string(&document).unwrap()).is_err()
}

/// `application[0].name` -> `application.name`
fn without_indexes(key: &str) -> String {
    key.split('[')
        .map(|part| part.split_once(']').map_or(part, |(_, rest)| rest))
        .collect()
}
