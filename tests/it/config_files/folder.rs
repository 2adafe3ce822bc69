//! A directory as an admin prepares it: a configuration, a certificate with its key, and a root.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use ndes_proxy::commands::demo::pki::{Issued, Key, Leaf, Pki};
use tempfile::TempDir;

/// The name that is in the certificate and that the configuration publishes.
pub const PUBLIC: &str = "scep.example.com";

pub struct Folder {
    dir: TempDir,
    /// Issues `scep.pem`.
    pub ca: Pki,
}

impl Folder {
    /// Creates `scep.pem` with its root after it, `scep.key` and `corp-root.pem`, but no
    /// configuration.
    pub fn new() -> Self {
        let folder = Self {
            dir: tempfile::tempdir().unwrap(),
            ca: Pki::new("public CA", Key::EcdsaP256).unwrap(),
        };
        folder.put_certificate(&folder.ca.issue(&Leaf::server(&[PUBLIC])).unwrap());
        let corp = Pki::new("corp root", Key::EcdsaP256).unwrap();
        corp.write_to(folder.path(), "corp-root").unwrap();
        folder
    }

    pub fn path(&self) -> &Path {
        self.dir.path()
    }

    pub fn config(&self) -> PathBuf {
        self.path().join("ndes-proxy.toml")
    }

    pub fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        std::fs::write(self.path().join(name), bytes).unwrap();
    }

    /// Replaces `scep.pem` and `scep.key`.
    pub fn put_certificate(&self, issued: &Issued) {
        let root = self.ca.certificate_pem();
        self.write("scep.pem", format!("{}{root}", issued.chain_pem));
        _ = std::fs::remove_file(self.path().join("scep.key"));
        let one = self.path().join("one");
        std::fs::create_dir(&one).unwrap();
        let files = issued.write_to(&one, "scep").unwrap();
        std::fs::rename(files.key, self.path().join("scep.key")).unwrap();
        std::fs::remove_dir_all(one).unwrap();
    }

    /// Runs `check` on `text` with the program itself.
    pub fn check(&self, text: impl AsRef<[u8]>) -> Ran {
        self.ran("check", text)
    }

    /// Runs `run` on `text`, with which the program must not start.
    pub fn run(&self, text: impl AsRef<[u8]>) -> Ran {
        self.ran("run", text)
    }

    fn ran(&self, command: &str, text: impl AsRef<[u8]>) -> Ran {
        self.write("ndes-proxy.toml", text);
        Ran::of(command, &self.config())
    }
}

/// The exit code and the output of the program.
pub struct Ran {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Ran {
    pub fn of(command: &str, config: &Path) -> Self {
        // Another working directory, because nothing may depend on it.
        let Output {
            status,
            stdout,
            stderr,
        } = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"))
            .args([command, "--config"])
            .arg(config)
            .current_dir("/")
            .output()
            .unwrap();
        Self {
            code: status.code().expect("an exit, not a signal"),
            stdout: String::from_utf8(stdout).unwrap(),
            stderr: String::from_utf8(stderr).unwrap(),
        }
    }

    /// The lines of `check` that report a problem.
    pub fn problems(&self) -> Vec<&str> {
        let is_problem = |line: &&str| line.contains(": error: ") || line.contains(": warning: ");
        self.stdout.lines().filter(is_problem).collect()
    }

    /// Asserts that `check` reports exactly one problem: at `location` (`line: key`), and with
    /// these words.
    #[track_caller]
    pub fn assert_only(&self, severity: &str, location: &str, words: &[&str]) {
        let problems = self.problems();
        let [problem] = problems[..] else {
            panic!("not one problem but: {problems:#?}");
        };
        let start = format!("ndes-proxy.toml:{location}: {severity}: ");
        assert!(
            problem.contains(&start),
            "{start:?} is not there: {problem}"
        );
        for word in words {
            assert!(problem.contains(word), "{word:?} is not there: {problem}");
        }
        let cure = problem.split_once("; ").map(|(_, cure)| cure);
        assert!(
            cure.is_some_and(|cure| cure.len() > 8),
            "no cure: {problem}"
        );
        assert_eq!(self.code, i32::from(severity == "error"));
    }
}
