//! Tests of the command as an admin or a script runs it.

use std::path::Path;
use std::process::{Command, Output, Stdio};

use ndes_proxy::commands::demo::condition::Condition;
use ndes_proxy::commands::doctor::Step;
use serde_json::Value;

use super::{Fixture, text};
use crate::support::Ndes;

fn doctor(config: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_ndes-proxy"))
        .arg("doctor")
        .arg("--config")
        .arg(config)
        .args(arguments)
        .stdin(Stdio::null())
        .output()
        .unwrap()
}

fn utf8(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap()
}

#[test]
fn text_json_and_exit_codes() {
    let (fixture, ndes) = (Fixture::new(), Ndes::start());
    let proxy = fixture.proxy(ndes.address, |_| {});
    let config = fixture.config();
    std::fs::write(&config, text(proxy.https, ndes.address)).unwrap();

    for (condition, code, problems, warnings, summary) in [
        (Condition::Healthy, 0, 0, 0, "No problems"),
        (Condition::RaExpiring, 0, 0, 2, "No problems, 2 warnings"),
        (Condition::PoolStopped, 1, 1, 0, "1 problem"),
    ] {
        ndes.set(condition);
        let output = doctor(&config, &[]);
        assert_eq!(output.status.code(), Some(code), "{condition:?}");
        assert_eq!(utf8(output.stderr), "");
        let text = utf8(output.stdout);
        assert_eq!(text.lines().last(), Some(summary), "{text}");
        assert!(!text.contains('\x1b'), "{text}");

        let output = doctor(&config, &["--json"]);
        assert_eq!(output.status.code(), Some(code), "{condition:?}");
        assert_eq!(utf8(output.stderr), "");
        let json: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(json["problems"], problems, "{json}");
        assert_eq!(json["warnings"], warnings, "{json}");
        assert_shape(&json);
    }
    let text = utf8(doctor(&config, &[]).stdout);
    let line = text.lines().find(|line| line.contains("503")).unwrap();
    assert_eq!(line, "  problem bare GET     answered 503 by HTTP.sys");
    assert!(text.contains("\n                       → HTTP.sys answers 503, because the application pool SCEP is stopped"));
    let left_out = "\n  not examined after these findings: GetCACaps, GetCACert, URL length, \
                    GetCACaps through the proxy, URL length through the proxy\n";
    assert!(text.contains(left_out), "{text}");
}

/// Asserts that the object has the documented keys.
fn assert_shape(json: &Value) {
    let keys = |value: &Value| -> Vec<String> {
        let mut keys: Vec<_> = value.as_object().unwrap().keys().cloned().collect();
        keys.sort_unstable();
        keys
    };
    let expected = [
        "applications",
        "findings",
        "problems",
        "version",
        "warnings",
    ];
    assert_eq!(keys(json), expected);
    assert_eq!(json["version"], env!("CARGO_PKG_VERSION"));
    let words = Step::ALL.map(Step::word);
    for application in json["applications"].as_array().unwrap() {
        assert_eq!(keys(application), ["findings", "left_out", "name"]);
        assert_eq!(application["name"], "ndes");
        for step in application["left_out"].as_array().unwrap() {
            assert!(words.contains(&step.as_str().unwrap()), "{step}");
        }
        for finding in application["findings"].as_array().unwrap() {
            assert_eq!(keys(finding), ["cure", "level", "reason", "step", "what"]);
            let level = finding["level"].as_str().unwrap();
            assert!(["ok", "warning", "problem"].contains(&level), "{finding}");
            assert_eq!(finding["cure"].is_null(), level == "ok", "{finding}");
            assert!(words.contains(&finding["step"].as_str().unwrap()));
        }
    }
}

#[test]
fn an_unusable_configuration_or_command_line_is_exit_code_2() {
    let fixture = Fixture::new();
    let config = fixture.config();
    let output = doctor(&config, &["--json"]);
    assert_eq!(output.status.code(), Some(2));
    assert_eq!(utf8(output.stdout), "");
    assert!(utf8(output.stderr).contains("cannot be read"));

    std::fs::write(&config, "[listen]\nhttp = []\n").unwrap();
    let output = doctor(&config, &[]);
    assert_eq!(output.status.code(), Some(2));
    assert!(utf8(output.stderr).contains("ndes-proxy.toml:2: listen.http"));

    assert_eq!(doctor(&config, &["--yaml"]).status.code(), Some(2));
}
