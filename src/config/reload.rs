//! `[reload]`: how changed files are noticed.

use std::time::Duration;

use serde::Deserialize;

use super::read::Section;
use super::types::Period;

#[derive(Clone, Debug)]
pub struct Reload {
    /// How often the files are looked at; none where only SIGHUP makes the proxy read them.
    pub interval: Option<Duration>,
}

/// A period, or `off`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct Interval(pub(super) Option<Duration>);

impl TryFrom<String> for Interval {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        match &text[..] {
            "off" => Ok(Self(None)),
            _ => Period::try_from(text)
                .map(|period| Self(Some(period.0)))
                .map_err(|error| error + ", or \"off\""),
        }
    }
}

pub(super) fn reload(mut section: Section<'_, '_>) -> Reload {
    let default = Interval(Some(Duration::from_secs(5)));
    let reload = Reload {
        interval: section.value_or("interval", default).0,
    };
    section.finish();
    reload
}
