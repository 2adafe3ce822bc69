//! Vocabulary that every other module uses, and that depends on none of them.

pub mod buffers;
pub mod chunked;
pub mod client;
pub mod deadline;
pub mod hash;
pub mod head;
pub mod problem;
pub mod reason;
pub mod rejection;
pub mod shutdown;
pub mod sync;
pub mod text;
