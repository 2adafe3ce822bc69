//! The subcommands of the command line, and how they write their output.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod healthcheck;
pub mod import_wap;
pub mod output;
pub mod run;
