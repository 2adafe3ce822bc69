use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::UNIX_EPOCH;

use rcgen::{CertificateParams, ExtendedKeyUsagePurpose, KeyPair};
use rustls::SignatureAlgorithm;
use tempfile::TempDir;

use super::*;
use crate::base::problem::Location;
use crate::tls::testpki::{Ca, Pair, ecdsa, rsa, server_params};

const NAME: &str = "scep.example.com";
const DAY: u64 = 24 * 60 * 60;
/// 2030-01-01: the test data of openssl are from 2026 on.
const NOW: u64 = 1_893_456_000;

/// Two files and what loading them came to.
struct Loaded {
    identity: Option<Identity>,
    problems: Problems,
    _dir: TempDir,
}

impl Loaded {
    /// The texts of all problems, as `error: what; cure`, without directory.
    fn told(&self) -> Vec<String> {
        let directory = format!("{}/", self._dir.path().display());
        let told = self.problems.0.iter().map(ToString::to_string);
        told.map(|text| {
            text.replace(&directory, "")
                .replace("ndes-proxy.toml: ", "")
        })
        .collect()
    }

    /// The identity where nothing at all was found wrong.
    fn clean(self) -> Identity {
        assert_eq!(self.told(), Vec::<String>::new());
        self.identity.unwrap()
    }

    /// The identity and the only warning.
    fn warned(self) -> (Identity, String) {
        let told = self.told();
        let [one] = told.as_slice() else {
            panic!("{told:#?}")
        };
        assert!(one.contains("warning: "), "{one}");
        (self.identity.unwrap(), one.clone())
    }

    /// The only problem, an error.
    fn refused(self) -> String {
        assert!(self.identity.is_none());
        let told = self.told();
        let [one] = told.as_slice() else {
            panic!("{told:#?}")
        };
        assert!(one.contains("error: "), "{one}");
        one.clone()
    }
}

fn load_texts(chain: &str, key: &str, names: &[&str], now: u64) -> Loaded {
    let dir = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &str| {
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let config = PathBuf::from("ndes-proxy.toml");
        let location = Location {
            file: config,
            line: None,
            key: name.to_owned(),
        };
        Located {
            value: path,
            location,
        }
    };
    let (chain, key) = (file("chain", chain), file("key", key));
    let names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
    let mut problems = Problems::default();
    let now = UNIX_EPOCH + Duration::from_secs(now);
    let identity = load(&chain, &key, &names, now, &mut problems);
    Loaded {
        identity,
        problems,
        _dir: dir,
    }
}

fn load_chain(chain: &[&str], key: &KeyPair) -> Loaded {
    load_texts(&chain.concat(), &key.serialize_pem(), &[NAME], NOW)
}

/// One certificate straight from a trusted root, with the root beside it.
fn load_leaf(params: &CertificateParams, names: &[&str], now: u64) -> Loaded {
    let root = Ca::root("Root");
    let leaf = root.issue(params, ecdsa());
    load_texts(
        &[leaf.pem, root.pem].concat(),
        &leaf.key.serialize_pem(),
        names,
        now,
    )
}

/// Root, intermediate and a leaf for [`NAME`].
fn three() -> (Ca, Ca, Pair) {
    let root = Ca::root("Root");
    let issuing = root.intermediate("Issuing");
    let leaf = issuing.server(NAME);
    (root, issuing, leaf)
}

#[test]
fn chain_in_order_is_sent_as_it_is() {
    let (_, issuing, leaf) = three();
    let identity = load_chain(&[&leaf.pem, &issuing.pem], &leaf.key).clean();
    assert_eq!(identity.certified.cert, [leaf.der, issuing.der]);
    assert_eq!(identity.names, [NAME]);
    assert_eq!(identity.subject, "CN=scep.example.com");
    assert_eq!(identity.issuer, "CN=Issuing");
    assert_eq!(identity.key, "ECDSA P-256");
    assert_eq!(identity.not_before, 157_766_400);
    assert_eq!(
        identity.certified.key.algorithm(),
        SignatureAlgorithm::ECDSA
    );
}

#[test]
fn root_is_not_sent() {
    let (root, issuing, leaf) = three();
    let identity = load_chain(&[&leaf.pem, &issuing.pem, &root.pem], &leaf.key).clean();
    assert_eq!(identity.certified.cert, [leaf.der, issuing.der]);
}

#[test]
fn reversed_chain_is_put_in_order() {
    let (root, issuing, leaf) = three();
    let (identity, told) = load_chain(&[&root.pem, &issuing.pem, &leaf.pem], &leaf.key).warned();
    assert_eq!(identity.certified.cert, [leaf.der, issuing.der]);
    assert!(
        told.starts_with("chain: warning: chain is out of order"),
        "{told}"
    );
}

#[test]
fn shuffled_chain_is_put_in_order() {
    let root = Ca::root("Root");
    let (upper, lower, leaf);
    upper = root.intermediate("Upper");
    lower = upper.intermediate("Lower");
    leaf = lower.server(NAME);
    let (identity, told) = load_chain(&[&leaf.pem, &upper.pem, &lower.pem], &leaf.key).warned();
    assert_eq!(identity.certified.cert, [leaf.der, lower.der, upper.der]);
    assert!(told.contains("out of order"), "{told}");
}

#[test]
fn stranger_in_the_chain_is_dropped() {
    let (_, issuing, leaf) = three();
    let stranger = Ca::root("Stranger");
    let (identity, told) =
        load_chain(&[&leaf.pem, &issuing.pem, &stranger.pem], &leaf.key).warned();
    assert_eq!(identity.certified.cert, [leaf.der, issuing.der]);
    assert!(told.contains("are not sent: CN=Stranger"), "{told}");
}

#[test]
fn issuer_renewed_with_a_new_key_is_told_from_the_old_one() {
    let root = Ca::root("Root");
    let (old, new) = (root.intermediate("Issuing"), root.intermediate("Issuing"));
    let leaf = new.server(NAME);
    let (identity, told) = load_chain(&[&leaf.pem, &old.pem, &new.pem], &leaf.key).warned();
    assert_eq!(identity.certified.cert, [leaf.der, new.der]);
    assert!(told.contains("are not sent: CN=Issuing"), "{told}");
}

#[test]
fn missing_intermediate_is_warned_of() {
    let (_, _, leaf) = three();
    let (identity, told) = load_chain(&[&leaf.pem], &leaf.key).warned();
    assert_eq!(identity.certified.cert, [leaf.der]);
    assert!(
        told.contains("devices that do not know CN=Issuing refuse"),
        "{told}"
    );
}

#[test]
fn renewed_certificate_with_the_same_key_is_taken_by_its_later_end() {
    let root = Ca::root("Root");
    let mut params = server_params(NAME, &[NAME]);
    let key = ecdsa();
    let new = root.issue(&params, KeyPair::from_pem(&key.serialize_pem()).unwrap());
    params.not_after = rcgen::date_time_ymd(2029, 1, 1);
    let old = root.issue(&params, key);
    let (identity, _) = load_chain(&[&old.pem, &new.pem, &root.pem], &old.key).warned();
    assert_eq!(identity.certified.cert, [new.der]);
}

#[test]
fn key_of_another_certificate_is_refused_with_both_kinds() {
    let (_, issuing, leaf) = three();
    let told = load_chain(&[&leaf.pem, &issuing.pem], &rsa()).refused();
    assert!(told.starts_with("key: error: "), "{told}");
    assert!(
        told.contains("(RSA 2048) belongs to no certificate"),
        "{told}"
    );
    assert!(told.contains("CN=scep.example.com (ECDSA P-256)"), "{told}");
}

#[test]
fn both_unusable_files_are_told_at_once() {
    let loaded = load_texts("", "", &[NAME], NOW);
    assert!(loaded.identity.is_none());
    assert_eq!(loaded.told().len(), 2);
}

#[test]
fn wildcard_covers_one_label_and_no_more() {
    let params = server_params("x", &["*.example.com"]);
    load_leaf(&params, &[NAME, "SCEP.Example.Com"], NOW).clean();
    load_leaf(&params, &["a.scep.example.com"], NOW).refused();
    load_leaf(&params, &["example.com"], NOW).refused();
}

#[test]
fn name_that_is_not_in_the_san_is_refused_with_the_names_found() {
    let params = server_params("x", &["one.example.com", "two.example.com", "10.0.0.5"]);
    let told = load_leaf(&params, &["one.example.com", NAME], NOW).refused();
    assert!(told.contains("does not cover scep.example.com:"), "{told}");
    assert!(
        told.contains("one.example.com, two.example.com, 10.0.0.5"),
        "{told}"
    );
}

#[test]
fn name_that_is_only_in_the_cn_is_refused_by_that_name() {
    let told = load_leaf(&server_params(NAME, &[]), &[NAME], NOW).refused();
    assert!(told.contains("only in its CN"), "{told}");
}

#[test]
fn dates_are_checked_to_the_second() {
    let mut params = server_params(NAME, &[NAME]);
    params.not_before = rcgen::date_time_ymd(2029, 1, 1);
    params.not_after = rcgen::date_time_ymd(2030, 1, 1);
    let (first, last) = (NOW - 365 * DAY, NOW);

    let told = load_leaf(&params, &[NAME], first - 1).refused();
    assert!(
        told.contains("valid only from 2029-01-01 00:00:00 UTC"),
        "{told}"
    );
    load_leaf(&params, &[NAME], first).clean();
    load_leaf(&params, &[NAME], last - 30 * DAY).clean();
    let (_, told) = load_leaf(&params, &[NAME], last - 30 * DAY + 1).warned();
    assert!(
        told.contains("expires soon, on 2030-01-01 00:00:00 UTC"),
        "{told}"
    );
    load_leaf(&params, &[NAME], last).warned();
    let told = load_leaf(&params, &[NAME], last + 1).refused();
    assert!(
        told.contains("expired on 2030-01-01 00:00:00 UTC"),
        "{told}"
    );
}

#[test]
fn certificate_for_clients_only_is_refused() {
    let mut params = server_params(NAME, &[NAME]);
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
    let told = load_leaf(&params, &[NAME], NOW).refused();
    assert!(told.contains("lacks serverAuth"), "{told}");
    params.extended_key_usages = Vec::new();
    load_leaf(&params, &[NAME], NOW).clean();
}

#[test]
fn short_rsa_key_is_refused() {
    let (chain, key) = (
        include_str!("../testdata/short.pem"),
        include_str!("../testdata/short.key"),
    );
    let told = load_texts(chain, key, &["short.example.com"], NOW).refused();
    assert!(told.contains("is too short: RSA 1024"), "{told}");
}

#[test]
fn sha1_signature_is_warned_of() {
    let (chain, key) = (
        include_str!("../testdata/sha1.pem"),
        include_str!("../testdata/plain.key"),
    );
    let (_, told) = load_texts(chain, key, &["sha1.example.com"], NOW).warned();
    assert!(
        told.contains("CN=sha1.example.com is signed with SHA-1"),
        "{told}"
    );
}

#[test]
fn key_open_to_others_is_warned_of_and_used() {
    let (_, issuing, leaf) = three();
    let dir = tempfile::tempdir().unwrap();
    let location = Location::file(dir.path());
    let at = |name: &str| Located {
        value: dir.path().join(name),
        location: location.clone(),
    };
    fs::write(dir.path().join("chain"), [leaf.pem, issuing.pem].concat()).unwrap();
    fs::write(dir.path().join("key"), leaf.key.serialize_pem()).unwrap();
    fs::set_permissions(dir.path().join("key"), fs::Permissions::from_mode(0o604)).unwrap();
    let mut problems = Problems::default();
    let now = UNIX_EPOCH + Duration::from_secs(NOW);
    assert!(load(&at("chain"), &at("key"), &[], now, &mut problems).is_some());
    assert_eq!(problems.0.len(), 1);
    assert!(problems.0[0].diagnostic.what.contains("open to every user"));
}
