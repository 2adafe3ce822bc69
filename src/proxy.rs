//! One request, from its admission to the end of its response, and the state that requests share.
//! [`exchange`] shows the order of everything.

pub mod application;
pub mod body;
pub mod exchange;
pub mod files;
pub mod gate;
pub mod generation;
pub mod peer;
pub mod process;
pub mod record;
pub mod rules;
pub mod site;
