//! The files of a configuration, and whether they have changed.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use crate::base::hash::sha256;
use crate::config::Config;

pub(super) struct Files(Vec<File>);

struct File {
    path: PathBuf,
    stamp: Option<Stamp>,
    /// `None` if it cannot be read.
    digest: Option<[u8; 32]>,
}

/// Metadata that changes with the content of a path, so that the content need not be read. It is
/// that of the file that all links lead to. A rename, a swapped link and a write each change some
/// of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    /// Seconds and nanoseconds.
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Stamp {
    /// Returns `None` if there is no such file, or its metadata may not be read.
    fn of(path: &Path) -> Option<Self> {
        let metadata = fs::metadata(path).ok()?;
        Some(Self {
            device: metadata.dev(),
            inode: metadata.ino(),
            size: metadata.size(),
            modified: (metadata.mtime(), metadata.mtime_nsec()),
            changed: (metadata.ctime(), metadata.ctime_nsec()),
        })
    }
}

impl File {
    fn new(path: PathBuf) -> Self {
        let stamp = Stamp::of(&path);
        let digest = digest(&path);
        Self {
            path,
            stamp,
            digest,
        }
    }
}

/// Most bytes of a file. A larger one is refused when it is read.
const MOST: u64 = 1 << 20;

fn digest(path: &Path) -> Option<[u8; 32]> {
    let metadata = fs::metadata(path).ok()?;
    if !metadata.is_file() || metadata.len() > MOST {
        return None;
    }
    // The file may be a private key.
    Some(sha256(&Zeroizing::new(fs::read(path).ok()?)))
}

impl Files {
    /// Returns the configuration file and all files that it names.
    pub(super) fn of(config: &Config) -> Self {
        let mut files = Self(Vec::new());
        files.follow(config);
        files
    }

    /// Watches the files of `config` from now on. Files that were watched before keep their state.
    pub(super) fn follow(&mut self, config: &Config) {
        let mut known = std::mem::take(&mut self.0);
        let mut add = |path: &PathBuf| {
            let at = known.iter().position(|file| file.path == *path);
            let file = at.map(|at| known.swap_remove(at));
            self.0.push(file.unwrap_or_else(|| File::new(path.clone())));
        };
        add(&config.file);
        for application in &config.applications {
            for files in &application.certificates {
                add(&files.chain.value);
                add(&files.key.value);
            }
            for root in application
                .upstreams
                .iter()
                .flat_map(|upstream| &upstream.ca_roots)
            {
                add(&root.value);
            }
        }
    }

    /// Whether the metadata of a file has changed since the last call.
    pub(super) fn are_touched(&mut self) -> bool {
        let mut touched = false;
        for file in &mut self.0 {
            let now = Stamp::of(&file.path);
            touched |= now != file.stamp;
            file.stamp = now;
        }
        touched
    }

    /// Whether the content of a file has changed since the last call.
    pub(super) fn are_changed(&mut self) -> bool {
        let mut changed = false;
        for file in &mut self.0 {
            let now = digest(&file.path);
            changed |= now != file.digest;
            file.digest = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn watched(path: &Path) -> Files {
        Files(vec![File::new(path.to_owned())])
    }

    #[test]
    fn a_rename_a_write_and_a_removal_are_changes() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("scep.pem");
        let mut files = watched(&path);
        assert!(
            !files.are_touched() && !files.are_changed(),
            "absent is a state too"
        );
        fs::write(&path, "one").unwrap();
        assert!(files.are_touched() && files.are_changed());
        assert!(!files.are_touched() && !files.are_changed());
        // As long as before, so that only the times and the inode differ.
        let new = directory.path().join("new");
        fs::write(&new, "two").unwrap();
        fs::rename(&new, &path).unwrap();
        assert!(files.are_touched() && files.are_changed());
        fs::write(&new, "two").unwrap();
        fs::rename(&new, &path).unwrap();
        assert!(files.are_touched(), "another file");
        assert!(!files.are_changed(), "the same content");
        fs::write(&path, "longer").unwrap();
        assert!(files.are_touched() && files.are_changed());
        fs::remove_file(&path).unwrap();
        assert!(files.are_touched() && files.are_changed());
    }

    #[test]
    fn a_link_that_kubernetes_swaps_is_a_change() {
        let directory = tempfile::tempdir().unwrap();
        let at = |name: &str| directory.path().join(name);
        for (version, content) in [("..1", "one"), ("..2", "two")] {
            fs::create_dir(at(version)).unwrap();
            fs::write(at(version).join("tls.crt"), content).unwrap();
        }
        symlink("..1", at("..data")).unwrap();
        symlink("..data/tls.crt", at("tls.crt")).unwrap();
        let mut files = watched(&at("tls.crt"));
        assert!(!files.are_touched());
        symlink("..2", at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
        assert!(files.are_touched() && files.are_changed());
    }
}
