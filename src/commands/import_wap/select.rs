//! Selects the publications that can be SCEP, and explains why the others cannot.

use std::collections::HashMap;

use super::publication::{Publication, quoted};
use super::url::Url;
use crate::base::problem::Diagnostic;
use crate::config::types::{DnsName, Origin};

/// The publications of a file, divided into those that are imported and those that are not.
pub(super) struct Selection<'a> {
    /// One publication for each public name, in the order of the file.
    pub(super) selected: Vec<Selected<'a>>,
    pub(super) skipped: Vec<Skipped<'a>>,
}

/// A publication that becomes an application.
pub(super) struct Selected<'a> {
    pub(super) publication: &'a Publication,
    pub(super) public_name: DnsName,
    /// The ports, including those of other publications with the same name.
    pub(super) ports: Vec<u16>,
    pub(super) upstream: Origin,
    pub(super) scope: Scope,
    /// Whether path, name or host indicate that this is NDES.
    pub(super) is_certain: bool,
}

/// The paths that a publication exposes, narrowest first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// Only mscep.dll.
    Scep,
    /// All paths below /certsrv/.
    Certsrv,
    WholeSite,
}

/// A publication that is not imported, and the reason.
pub(super) struct Skipped<'a> {
    pub(super) publication: &'a Publication,
    pub(super) diagnostic: Diagnostic,
    /// Whether it is probably NDES, so that its devices cannot enrol until an admin acts.
    pub(super) is_scep: bool,
}

/// Selects the publications to import.
pub(super) fn select(publications: &[Publication]) -> Selection<'_> {
    let (mut selected, mut skipped) = (Vec::new(), Vec::new());
    for publication in publications {
        match try_select(publication) {
            Ok(application) => selected.push(application),
            Err(diagnostic) => skipped.push(Skipped {
                publication,
                diagnostic,
                is_scep: is_probably_scep(publication),
            }),
        }
    }
    if selected.iter().any(|selected| selected.is_certain) {
        let (certain, uncertain): (Vec<_>, Vec<_>) =
            selected.into_iter().partition(|one| one.is_certain);
        selected = certain;
        skipped.extend(uncertain.into_iter().map(|uncertain| Skipped {
            publication: uncertain.publication,
            diagnostic: Diagnostic::warning(
                "publishes a whole site, and nothing indicates that it is NDES",
                "if it is NDES, write an [[application]] for it like those below",
            ),
            is_scep: false,
        }));
    }
    Selection {
        selected: one_for_each_name(selected, &mut skipped),
        skipped,
    }
}

/// # Errors
/// The reason why the publication cannot be SCEP.
fn try_select(publication: &Publication) -> Result<Selected<'_>, Diagnostic> {
    let external = url("ExternalUrl", publication.external_url.as_ref())?;
    Ok(Selected {
        publication,
        scope: scope(&external.path)?,
        public_name: public_name(publication, &external)?,
        ports: vec![external.port],
        upstream: upstream(publication, &external)?,
        is_certain: is_probably_scep(publication),
    })
}

fn url(key: &str, url: Option<&String>) -> Result<Url, Diagnostic> {
    let parsed = match url {
        Some(url) => Url::parse(url),
        None => Err("is missing".to_owned()),
    };
    parsed.map_err(|what| Diagnostic::warning(format!("{key} {what}"), CORRECT))
}

/// Returns the scope of a published path, which WAP treats as a prefix.
fn scope(path: &str) -> Result<Scope, Diagnostic> {
    match path {
        "/" => Ok(Scope::WholeSite),
        "/certsrv/" => Ok(Scope::Certsrv),
        "/certsrv/mscep/"
        | "/certsrv/mscep/mscep.dll/"
        | "/certsrv/mscep/mscep.dll/pkiclient.exe/" => Ok(Scope::Scep),
        _ if path.starts_with("/certsrv/mscep_admin/") => Err(Diagnostic::warning(
            "exposes the challenge passwords of NDES, and requires a Windows account",
            "do not publish it; an MDM other than Intune should use its own connection to it",
        )),
        _ => Err(Diagnostic::warning(
            format!("{} is not a SCEP path", quoted(path)),
            "keep it in WAP: ndes-proxy publishes NDES only",
        )),
    }
}

fn public_name(publication: &Publication, external: &Url) -> Result<DnsName, Diagnostic> {
    let preauthentication = publication.external_preauthentication.as_ref();
    if let Some(other) = preauthentication.filter(|word| !word.is_first("PassThrough")) {
        return Err(Diagnostic::warning(
            format!(
                "ExternalPreauthentication is {other}: \
                 a device cannot sign in before it has its certificate"
            ),
            "if this is SCEP, publish it with pass-through",
        ));
    }
    if !external.https {
        return Err(Diagnostic::warning(
            "is published over plain HTTP",
            "configure an https:// URL on the devices, and publish it",
        ));
    }
    if external.host.contains('*') {
        return Err(Diagnostic::warning(
            format!("{} stands for many names", quoted(&external.host)),
            "write an [[application]] with the names that devices use in public_names",
        ));
    }
    DnsName::try_from(external.host.clone())
        .map_err(|what| Diagnostic::warning(format!("ExternalUrl: {what}"), CORRECT))
}

fn upstream(publication: &Publication, external: &Url) -> Result<Origin, Diagnostic> {
    let backend = url("BackendServerUrl", publication.backend_server_url.as_ref())?;
    if !backend.https {
        return Err(Diagnostic::warning(
            "BackendServerUrl is http: the proxy connects to NDES over TLS only",
            "in IIS, add an https binding with a certificate to the site; \
             then change the URL in the file to https",
        ));
    }
    if backend.path != external.path {
        return Err(Diagnostic::warning(
            "BackendServerUrl and ExternalUrl have different paths: \
             the proxy forwards paths unchanged",
            "configure the URL https://NAME/certsrv/mscep/mscep.dll on the devices",
        ));
    }
    Origin::try_from(format!("https://{}:{}", backend.host, backend.port))
        .map_err(|what| Diagnostic::warning(format!("BackendServerUrl: {what}"), CORRECT))
}

/// Whether the path indicates SCEP. For a whole site, or without a valid URL, the names decide.
fn is_probably_scep(publication: &Publication) -> bool {
    let external = url("ExternalUrl", publication.external_url.as_ref());
    match external.map(|external| scope(&external.path)) {
        Ok(Ok(Scope::Scep | Scope::Certsrv)) => true,
        Ok(Err(_)) => false,
        Ok(Ok(Scope::WholeSite)) | Err(_) => looks_like_ndes(publication),
    }
}

fn looks_like_ndes(publication: &Publication) -> bool {
    [
        Some(publication.name()),
        publication.external_url.as_deref(),
        publication.backend_server_url.as_deref(),
    ]
    .into_iter()
    .flatten()
    .map(str::to_ascii_lowercase)
    .any(|text| text.contains("ndes") || text.contains("scep"))
}

/// Keeps the narrowest publication of each public name, and adds the others to `skipped`.
fn one_for_each_name<'a>(
    selected: Vec<Selected<'a>>,
    skipped: &mut Vec<Skipped<'a>>,
) -> Vec<Selected<'a>> {
    let mut narrowest: HashMap<DnsName, Scope> = HashMap::new();
    for one in &selected {
        let scope = narrowest
            .entry(one.public_name.clone())
            .or_insert(one.scope);
        *scope = one.scope.min(*scope);
    }
    let (first, others): (Vec<_>, Vec<_>) = selected.into_iter().partition(|one| {
        // Removed, so that the first of two equally narrow publications is kept.
        narrowest.get(&one.public_name) == Some(&one.scope)
            && narrowest.remove(&one.public_name).is_some()
    });
    let mut kept = first;
    for other in others {
        let Some(first) = kept
            .iter_mut()
            .find(|kept| kept.public_name == other.public_name)
        else {
            continue;
        };
        let same = first.upstream == other.upstream;
        let diagnostic = if same {
            first.ports.extend(other.ports);
            Diagnostic::warning(
                format!("leads to the same NDES as {}", first.publication),
                "nothing to do: the other publication replaces it",
            )
        } else {
            Diagnostic::warning(
                format!(
                    "has the public name of {}, but leads to another server",
                    first.publication
                ),
                "give the second NDES a public name of its own",
            )
        };
        skipped.push(Skipped {
            publication: other.publication,
            diagnostic,
            is_scep: !same,
        });
    }
    kept
}

const CORRECT: &str = "correct the file, or run the command again";
