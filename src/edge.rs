//! The public side: connections, TLS, and requests off the wire.

mod accept;
mod body;
mod connection;
mod h1;
pub mod h2;
mod handshake;
pub mod head;
mod lent;
pub mod proxy_protocol;
mod pulse;
mod share;
mod slots;
mod writer;

pub use accept::{Edge, Worker};
pub use pulse::Pulse;
pub use share::{Handed, Shares};
pub use slots::Slots;
