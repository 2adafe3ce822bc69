//! `[log]`: the format of log lines and which of them are written.

use serde::Deserialize;

use super::example::examples;
use super::read::Section;

#[derive(Clone, Debug)]
pub struct Log {
    pub format: LogFormat,
    pub level: LogLevel,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFormat {
    Text,
    Json,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogLevel {
    Error,
    Warn,
    Info,
    Debug,
}

examples! {
    LogFormat: "\"text\"",
    LogLevel: "\"info\"",
}

pub(super) fn log(mut section: Section<'_, '_>) -> Log {
    let log = Log {
        format: section.value_or("format", LogFormat::Text),
        level: section.value_or("level", LogLevel::Info),
    };
    section.finish();
    log
}
