//! The README: short enough to be read to its end, with the configuration that is tested.

use super::read;

/// What an administrator reads to the end.
const MAX_BYTES: usize = 12 * 1024;

#[test]
fn the_readme_is_short() {
    let bytes = read("README.md").len();
    assert!(bytes <= MAX_BYTES, "README.md has {bytes} bytes");
}

#[test]
fn the_minimal_configuration_is_the_file() {
    assert!(read("README.md").contains(&format!("```toml\n{}```\n", read("config/minimal.toml"))));
}
