//! `[reload]`: how the proxy notices changed files.

use std::time::Duration;

use super::read::Section;
use super::types::Interval;

#[derive(Clone, Debug)]
pub struct Reload {
    /// How often the files are checked for changes. `None` if only SIGHUP triggers a reload.
    pub interval: Option<Duration>,
}

pub(super) fn reload(mut section: Section<'_, '_>) -> Reload {
    let default = Interval(Some(Duration::from_secs(5)));
    let reload = Reload {
        interval: section.value_or("interval", default).0,
    };
    section.finish();
    reload
}
