//! Changed files are detected, however they are replaced.

use std::fs;
use std::os::unix::fs::symlink;

use ndes_proxy::commands::demo::pki::Issued;

use super::*;

/// The shortest interval that the program allows, so that the tests need not wait long.
const WATCHED: &str = "[reload]\ninterval = \"20ms\"";

fn await_certificate(binary: &Binary, issued: &Issued) {
    eventually("the new certificate", || {
        presented(binary.https) == issued.certificate().to_vec()
    });
}

#[test]
fn an_overwritten_certificate_is_reloaded() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    let issued = renewed();
    put_certificate(&binary, &issued);
    await_certificate(&binary, &issued);
    eventually("the log line", || binary.messages("reloaded").len() == 1);
}

#[test]
fn a_certificate_replaced_by_rename_is_reloaded() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    let issued = renewed();
    let at = |name: &str| binary.directory().join(name);
    issued.write_to(binary.directory(), "new").unwrap();
    fs::rename(at("new.pem"), at("public.pem")).unwrap();
    fs::rename(at("new.key"), at("public.key")).unwrap();
    await_certificate(&binary, &issued);
}

#[test]
fn a_certificate_replaced_by_its_symlink_is_reloaded() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    let at = |name: &str| binary.directory().join(name);
    // public.pem -> ..data/public.pem, ..data -> ..2026_1: as Kubernetes mounts a secret.
    let put = |version: &str, issued: &Issued| {
        fs::create_dir(at(version)).unwrap();
        issued.write_to(&at(version), "public").unwrap();
        symlink(version, at("..data_tmp")).unwrap();
        fs::rename(at("..data_tmp"), at("..data")).unwrap();
    };
    let (first, second) = (renewed(), renewed());
    put("..2026_1", &first);
    for name in ["public.pem", "public.key"] {
        symlink(format!("..data/{name}"), at("link")).unwrap();
        fs::rename(at("link"), at(name)).unwrap();
    }
    await_certificate(&binary, &first);
    put("..2026_2", &second);
    fs::remove_dir_all(at("..2026_1")).unwrap();
    await_certificate(&binary, &second);
}

#[test]
fn a_certificate_without_its_new_key_does_not_take_effect() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    let before = presented(binary.https);
    let issued = renewed();
    let at = |name: &str| binary.directory().join(name);
    fs::write(at("public.pem"), &issued.chain_pem).unwrap();
    eventually("refused", || binary.metric(SUCCESSFUL, &[]) == 0.0);
    assert_eq!(presented(binary.https), before);
    // The same error again because of another file: nothing new to report.
    let roots = fs::read(at("internal-root.pem")).unwrap();
    fs::write(at("internal-root.pem"), [&roots[..], b"\n"].concat()).unwrap();
    let failures = [("result", "failure")];
    eventually("tried again", || {
        binary.metric("ndes_proxy_reloads_total", &failures) == 2.0
    });
    fs::write(at("public.key"), &issued.key_pem).unwrap();
    await_certificate(&binary, &issued);
    eventually("successful again", || binary.metric(SUCCESSFUL, &[]) == 1.0);
    assert_eq!(binary.messages("reload refused").len(), 1);
}

#[test]
fn a_missing_file_of_a_refused_configuration_is_watched() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    edit_config(&binary, "\"public.key\"", "\"later.key\"");
    eventually("refused", || binary.metric(SUCCESSFUL, &[]) == 0.0);
    let at = |name: &str| binary.directory().join(name);
    fs::rename(at("public.key"), at("later.key")).unwrap();
    eventually("fixed", || binary.metric(SUCCESSFUL, &[]) == 1.0);
}

#[test]
fn rewriting_a_file_without_changes_does_not_reload() {
    let origin = Origin::ok();
    let binary = Binary::run(origin.address, WATCHED);
    put_certificate(&binary, &pki().public);
    // This change is detected later, so the first one would have been detected too.
    let issued = renewed();
    put_certificate(&binary, &issued);
    await_certificate(&binary, &issued);
    assert_eq!(binary.metric("ndes_proxy_reloads_total", &[]), 1.0);
}
