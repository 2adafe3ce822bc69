//! The subcommands of the command line besides `run`.

pub mod check;
pub mod demo;
pub mod doctor;
pub mod explain;
pub mod healthcheck;
pub mod import_wap;
