//! Which publications can be SCEP, and what each of them loses.

use std::collections::HashMap;

use super::publication::{Publication, quoted};
use super::url::Url;
use crate::base::problem::Diagnostic;
use crate::config::types::{DnsName, Origin};

pub(super) struct Selection<'a> {
    /// One for each public name, in the order of the file.
    pub(super) taken: Vec<Selected<'a>>,
    pub(super) left: Vec<Skipped<'a>>,
}

/// A publication that becomes an application.
pub(super) struct Selected<'a> {
    pub(super) publication: &'a Publication,
    pub(super) public_name: DnsName,
    /// Those of other publications of the same name included.
    pub(super) ports: Vec<u16>,
    pub(super) upstream: Origin,
    pub(super) width: Scope,
    /// Whether path, name or host say that this is NDES.
    pub(super) sure: bool,
}

/// How much a publication lets in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Scope {
    /// mscep.dll.
    Scep,
    /// All below /certsrv/.
    Certsrv,
    WholeSite,
}

/// A publication that does not, and why.
pub(super) struct Skipped<'a> {
    pub(super) publication: &'a Publication,
    pub(super) diagnostic: Diagnostic,
    /// Its devices are without NDES until somebody acts.
    pub(super) meant_for_scep: bool,
}

pub(super) fn select(publications: &[Publication]) -> Selection<'_> {
    let (mut taken, mut left) = (Vec::new(), Vec::new());
    for publication in publications {
        match take(publication) {
            Ok(one) => taken.push(one),
            Err(diagnostic) => left.push(Skipped {
                publication,
                diagnostic,
                meant_for_scep: is_meant_for_scep(publication),
            }),
        }
    }
    if taken.iter().any(|taken| taken.sure) {
        let (sure, unsure): (Vec<_>, Vec<_>) = taken.into_iter().partition(|taken| taken.sure);
        taken = sure;
        left.extend(unsure.into_iter().map(|unsure| Skipped {
            publication: unsure.publication,
            diagnostic: Diagnostic::warning(
                "publishes a whole site, and nothing says that it is NDES",
                "if it is, write an [[application]] for it as those below",
            ),
            meant_for_scep: false,
        }));
    }
    Selection {
        taken: one_for_each_name(taken, &mut left),
        left,
    }
}

/// An error is why it cannot be SCEP.
fn take(publication: &Publication) -> Result<Selected<'_>, Diagnostic> {
    let external = url("ExternalUrl", publication.external_url.as_ref())?;
    Ok(Selected {
        publication,
        width: width(&external.path)?,
        public_name: public_name(publication, &external)?,
        ports: vec![external.port],
        upstream: upstream(publication, &external)?,
        sure: is_meant_for_scep(publication),
    })
}

fn url(key: &str, url: Option<&String>) -> Result<Url, Diagnostic> {
    let parsed = match url {
        Some(url) => Url::parse(url),
        None => Err("is missing".to_owned()),
    };
    parsed.map_err(|what| Diagnostic::warning(format!("{key} {what}"), CORRECT))
}

/// How much a published path, which WAP takes as a prefix, lets in.
fn width(path: &str) -> Result<Scope, Diagnostic> {
    match path {
        "/" => Ok(Scope::WholeSite),
        "/certsrv/" => Ok(Scope::Certsrv),
        "/certsrv/mscep/"
        | "/certsrv/mscep/mscep.dll/"
        | "/certsrv/mscep/mscep.dll/pkiclient.exe/" => Ok(Scope::Scep),
        _ if path.starts_with("/certsrv/mscep_admin/") => Err(Diagnostic::warning(
            "shows the challenge passwords of NDES to strangers, and asks for a Windows account",
            "do not publish it; an MDM other than Intune should reach it by a way of its own",
        )),
        _ => Err(Diagnostic::warning(
            format!("{} is no path of SCEP", quoted(path)),
            "leave it where it is: ndes-proxy publishes NDES only",
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
            "where this is SCEP, publish it by pass-through",
        ));
    }
    if !external.https {
        return Err(Diagnostic::warning(
            "is published over plain HTTP",
            "give the devices an https:// URL, and publish that",
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
            "BackendServerUrl is http: the proxy asks NDES over TLS only",
            "in IIS, add an https binding with a certificate to the site; \
             then change the URL in the file to https",
        ));
    }
    if backend.path != external.path {
        return Err(Diagnostic::warning(
            "BackendServerUrl and ExternalUrl have different paths: \
             the proxy passes on paths as they are",
            "give the devices the URL https://NAME/certsrv/mscep/mscep.dll",
        ));
    }
    Origin::try_from(format!("https://{}:{}", backend.host, backend.port))
        .map_err(|what| Diagnostic::warning(format!("BackendServerUrl: {what}"), CORRECT))
}

/// Selection by its path; a whole site, or no URL at all, by its names.
fn is_meant_for_scep(publication: &Publication) -> bool {
    let external = url("ExternalUrl", publication.external_url.as_ref());
    match external.map(|external| width(&external.path)) {
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

/// The narrowest publication of each name; the others of that name are left.
fn one_for_each_name<'a>(
    taken: Vec<Selected<'a>>,
    left: &mut Vec<Skipped<'a>>,
) -> Vec<Selected<'a>> {
    let mut narrowest: HashMap<DnsName, Scope> = HashMap::new();
    for one in &taken {
        let width = narrowest
            .entry(one.public_name.clone())
            .or_insert(one.width);
        *width = one.width.min(*width);
    }
    let (first, others): (Vec<_>, Vec<_>) = taken.into_iter().partition(|one| {
        // Removed, so that of two as narrow as each other the first counts.
        narrowest.get(&one.public_name) == Some(&one.width)
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
                "nothing is missing without it",
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
        left.push(Skipped {
            publication: other.publication,
            diagnostic,
            meant_for_scep: !same,
        });
    }
    kept
}

const CORRECT: &str = "correct the file, or run the command again";
