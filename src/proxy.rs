//! One request, from its admission to the end of its answer, and the state that requests share.

pub mod body;
pub mod exchange;
pub mod gate;
pub mod generation;
pub mod process;
pub mod record;
pub mod site;
