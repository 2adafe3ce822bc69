//! Standard output that cannot be written, for each command: the reader of a pipe may have read
//! enough, and a disk may be full.

use std::fs::File;
use std::io::Read;
use std::net::SocketAddr;
use std::process::{Command, Stdio};
use std::time::Instant;

use ndes_proxy::commands::demo::pki::Leaf;
use tempfile::TempDir;

use crate::support::pki::pki;
use crate::support::proxy::{SETTINGS, application};
use crate::support::{INTERNAL, MAX_WAIT};

/// A name that leads here without a name server, so that the doctor does not wait for one.
const NAME: &str = "localhost";

/// A directory with a configuration and an export of WAP.
fn files() -> TempDir {
    let files = tempfile::tempdir().unwrap();
    let root = &pki().internal_root;
    root.write_to(files.path(), "internal-root").unwrap();
    let leaf = Leaf::server(&[NAME]);
    let public = pki().public_root.issue(&leaf).unwrap();
    public.write_to(files.path(), "public").unwrap();
    // Nobody listens there, which is a problem for the doctor and none for `check`.
    let nowhere = SocketAddr::from(([127, 0, 0, 1], 1));
    let text = format!("{SETTINGS}\n{}", application(NAME, "public", nowhere));
    std::fs::write(files.path().join("ndes-proxy.toml"), text).unwrap();
    std::fs::write(files.path().join("wrong.toml"), "wrong = true\n").unwrap();
    let wap = format!(
        r#"{{"BackendServerUrl": "https://{INTERNAL}/certsrv/",
             "ExternalPreauthentication": "PassThrough",
             "ExternalUrl": "https://{NAME}/certsrv/", "Name": "NDES"}}"#
    );
    std::fs::write(files.path().join("wap.json"), wap).unwrap();
    files
}

/// The exit code and standard error of the command with this standard output.
fn run(arguments: &[&str], stdout: impl Into<Stdio>) -> (Option<i32>, String) {
    let files = files();
    let mut process = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"))
        .args(arguments)
        .current_dir(files.path())
        .stdin(Stdio::null())
        .stdout(stdout)
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let deadline = Instant::now() + MAX_WAIT;
    let status = loop {
        if let Some(status) = process.try_wait().unwrap() {
            break status;
        }
        if Instant::now() > deadline {
            process.kill().unwrap();
            panic!("{arguments:?} does not end");
        }
        std::thread::yield_now();
    };
    let mut stderr = String::new();
    let mut pipe = process.stderr.take().unwrap();
    pipe.read_to_string(&mut stderr).unwrap();
    (status.code(), stderr)
}

fn with_closed_pipe(arguments: &[&str]) -> (Option<i32>, String) {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    run(arguments, writer)
}

fn with_full_disk(arguments: &[&str]) -> (Option<i32>, String) {
    let full = File::options().write(true).open("/dev/full").unwrap();
    run(arguments, full)
}

/// All commands with an output of their own, and the exit codes of their results.
const COMMANDS: [(&[&str], i32); 10] = [
    (&["check", "--config", "ndes-proxy.toml"], 0),
    (&["check", "--config", "wrong.toml"], 1),
    (&["doctor", "--config", "ndes-proxy.toml"], 1),
    (&["doctor", "--config", "ndes-proxy.toml", "--json"], 1),
    (&["explain"], 0),
    (&["explain", "host_missing"], 0),
    (&["--help"], 0),
    (&["--version"], 0),
    (&["help", "doctor"], 0),
    (&DEMO, 0),
];

const DEMO: [&str; 5] = ["demo", "--https", "127.0.0.1:0", "--admin", "127.0.0.1:0"];
const IMPORT_WAP: [&str; 2] = ["import-wap", "wap.json"];

#[test]
fn a_command_whose_reader_has_read_enough_ends_quietly_with_its_result() {
    for (arguments, code) in COMMANDS {
        let quiet = (Some(code), String::new());
        assert_eq!(with_closed_pipe(arguments), quiet, "{arguments:?}");
    }
}

#[test]
fn warnings_on_standard_error_are_written_without_a_reader_of_standard_output() {
    let (code, warnings) = with_closed_pipe(&IMPORT_WAP);
    assert_eq!(code, Some(0), "{warnings}");
    assert!(!warnings.is_empty());
    let is_warning = |line: &str| line.starts_with("wap.json: \"NDES\": warning: ");
    assert!(warnings.lines().all(is_warning), "{warnings}");
}

#[test]
fn output_that_is_lost_on_a_full_disk_is_an_error() {
    let error = "ndes-proxy: the output cannot be written: No space left on device (os error 28)\n";
    for (arguments, _) in COMMANDS {
        let failed = (Some(1), error.to_owned());
        assert_eq!(with_full_disk(arguments), failed, "{arguments:?}");
    }
    let (code, stderr) = with_full_disk(&IMPORT_WAP);
    assert_eq!(code, Some(1), "{stderr}");
    assert!(stderr.starts_with(error), "{stderr}");
}

#[test]
fn a_closed_standard_error_does_not_change_the_exit_code() {
    let files = files();
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let status = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"))
        .args(["explain", "unheard"])
        .current_dir(files.path())
        .stderr(writer)
        .status()
        .unwrap();
    assert_eq!(status.code(), Some(1));
}
