//! Writes the configuration as text. The only parts of the input in it are DNS names, ports,
//! hexadecimal digits and text that `quoted` has escaped.

use std::collections::HashMap;
use std::path::Path;

use super::notes::notes;
use super::publication::{Publication, quoted};
use super::select::{Selected, Skipped};
use super::toml_writer::TomlWriter;

/// Returns the configuration for the selected publications.
pub(super) fn configuration(
    file: &Path,
    selected: &[Selected<'_>],
    skipped: &[Skipped<'_>],
) -> String {
    let mut configuration = Configuration::default();
    configuration.introduction(file, selected, skipped);
    configuration.listen(selected);
    configuration.timeouts(selected);
    for site in selected {
        configuration.application(site);
        configuration.upstream(site);
    }
    configuration.lines.into_text()
}

/// The configuration while it is written.
#[derive(Default)]
struct Configuration {
    lines: TomlWriter,
    /// The names of the applications written so far.
    names: Vec<String>,
    /// Maps a thumbprint to the stem of its files, because publications may share a certificate.
    exported: HashMap<String, String>,
    /// Whether the command that exports the root was written.
    root_explained: bool,
}

impl Configuration {
    fn introduction(&mut self, file: &Path, selected: &[Selected<'_>], skipped: &[Skipped<'_>]) {
        let lines = &mut self.lines;
        let from = quoted(&file.display().to_string());
        let (some, all) = (selected.len(), selected.len() + skipped.len());
        lines.comment(&format!(
            "Written by `ndes-proxy import-wap` from {from}: {some} of {all} publications of Web Application Proxy."
        ));
        lines.comment("To do: put the files named below next to this one, then run");
        lines.command("ndes-proxy check --config ndes-proxy.toml");
        for site in selected {
            for diagnostic in site.diagnostics() {
                lines.comment("");
                lines.comment(&format!(
                    "WARNING, {}: {}.",
                    site.publication, diagnostic.what
                ));
                lines.comment(&sentence(&diagnostic.cure));
            }
        }
        if !skipped.is_empty() {
            lines.comment("");
            lines.comment("Not imported:");
        }
        for Skipped {
            publication,
            diagnostic,
            ..
        } in skipped
        {
            let url = url(&publication.external_url);
            let cure = sentence(&diagnostic.cure);
            lines.item(&format!(
                "{publication} ({url}): {}. {cure}",
                diagnostic.what
            ));
        }
    }

    fn listen(&mut self, selected: &[Selected<'_>]) {
        let mut ports: Vec<u16> = selected
            .iter()
            .flat_map(|site| site.ports.clone())
            .collect();
        ports.sort_unstable();
        ports.dedup();
        if ports == [443] {
            return;
        }
        let listeners: Vec<_> = ports
            .iter()
            .map(|port| format!("\"0.0.0.0:{port}\""))
            .collect();
        self.lines.line("\n[listen]");
        self.lines
            .comment("The ports of the published URLs. Each serves every application.");
        self.lines
            .line(&format!("https = [{}]", listeners.join(", ")));
    }

    fn timeouts(&mut self, selected: &[Selected<'_>]) {
        let seconds = |publication: &Publication| publication.inactive_transactions_timeout_sec;
        let all = selected.iter().filter_map(|site| seconds(site.publication));
        let Some(longest) = all.filter(|seconds| *seconds != WAP_TIMEOUT).max() else {
            return;
        };
        self.lines.line("\n[timeouts]");
        self.lines.comment(&format!(
            "InactiveTransactionsTimeoutSec was {longest}. This value applies to all applications; the default is 180 s."
        ));
        let seconds = longest.clamp(1, MAX_SECONDS);
        self.lines
            .line(&format!("upstream_pki_operation = \"{seconds}s\""));
    }

    fn application(&mut self, site: &Selected<'_>) {
        let publication = site.publication;
        let (from, to) = (
            url(&publication.external_url),
            url(&publication.backend_server_url),
        );
        self.lines.line("");
        self.lines
            .comment(&format!("{publication}: {from} -> {to}"));
        for note in notes(publication) {
            self.lines.comment(&note);
        }
        let name = self.name(site);
        self.lines.line("[[application]]");
        self.lines.line(&format!("name = \"{name}\""));
        self.lines
            .line(&format!("public_names = [\"{}\"]", site.public_name));
        let stem = self.export(site);
        self.lines.line(&format!(
            "certificate = {{ chain = \"{stem}.pem\", key = \"{stem}.key\" }}"
        ));
    }

    fn upstream(&mut self, site: &Selected<'_>) {
        let lines = &mut self.lines;
        let port = match site.upstream.port {
            443 => String::new(),
            port => format!(":{port}"),
        };
        lines.line("\n[[application.upstream]]");
        lines.line(&format!("url = \"https://{}{port}\"", site.upstream.host));
        if !self.root_explained {
            lines.comment(
                "WAP trusted the roots of Windows, the proxy trusts only these. \
                 On the CA that issued the certificate of NDES:",
            );
            lines.command("certutil -ca.cert corp-root.cer");
            self.root_explained = true;
        }
        lines.line("ca_roots = [\"corp-root.cer\"]");
    }

    /// Writes the commands that export the public certificate from Windows. Returns the stem of its
    /// files.
    fn export(&mut self, site: &Selected<'_>) -> String {
        let lines = &mut self.lines;
        let stem = site.public_name.to_string();
        let Some(thumbprint) = thumbprint(site.publication) else {
            lines.comment(
                "The certificate for this name with its intermediates, and its key, as PEM:",
            );
            return stem;
        };
        if let Some(known) = self.exported.get(&thumbprint) {
            return known.clone();
        }
        lines.comment("On the WAP server:");
        lines.command(&format!(
            "certutil -p PASSWORD -exportPFX My {thumbprint} {stem}.pfx"
        ));
        lines.comment("On Linux, with -legacy if openssl reports that RC2 is unsupported:");
        lines.command(&format!(
            "openssl pkcs12 -in {stem}.pfx -nokeys -out {stem}.pem"
        ));
        lines.command(&format!(
            "openssl pkcs12 -in {stem}.pfx -nocerts -nodes -out {stem}.key"
        ));
        lines.command(&format!("chmod 600 {stem}.key"));
        self.exported.insert(thumbprint, stem.clone());
        stem
    }

    /// Returns a unique application name that is valid as a metric label.
    fn name(&mut self, site: &Selected<'_>) -> String {
        let is_valid = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
        let words = site.publication.name().split(|c| !is_valid(c));
        let words: Vec<_> = words.filter(|word| !word.is_empty()).collect();
        let mut base = match words.as_slice() {
            [] => site.public_name.to_string(),
            words => words.join("-"),
        };
        // The text is ASCII. This leaves room for a number.
        base.truncate(56);
        let mut name = base.clone();
        let mut number = 2;
        while self.names.contains(&name) {
            name = format!("{base}-{number}");
            number += 1;
        }
        self.names.push(name.clone());
        name
    }
}

fn url(url: &Option<String>) -> String {
    quoted(url.as_deref().unwrap_or_default())
}

/// Returns the thumbprint (SHA-1) of the certificate in capitals. Ignores spaces between the
/// digits. Returns `None` if it is missing or malformed.
fn thumbprint(publication: &Publication) -> Option<String> {
    let text = publication.external_certificate_thumbprint.as_ref()?;
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    let whole = digits.len() == 40 && digits.bytes().all(|b| b.is_ascii_hexdigit());
    whole.then(|| digits.to_ascii_uppercase())
}

fn sentence(text: &str) -> String {
    let mut chars = text.chars();
    let first = chars.next().map(|first| first.to_ascii_uppercase());
    first.into_iter().chain(chars).chain(['.']).collect()
}

/// The default of InactiveTransactionsTimeoutSec, in seconds.
const WAP_TIMEOUT: u32 = 300;

/// The maximum in the configuration: 24 hours.
const MAX_SECONDS: u32 = 86_400;
