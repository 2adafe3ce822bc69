//! The public side: connections, TLS, and requests off the wire.

mod accept;
mod body;
mod connection;
mod dispatcher;
mod h1;
pub mod h2;
mod handshake;
pub mod head;
mod heartbeat;
mod limit;
pub mod proxy_protocol;
mod return_on_drop;
mod writer;

pub use accept::{Edge, Worker};
pub use dispatcher::{Dispatched, Dispatcher};
pub use heartbeat::Heartbeat;
pub use limit::ConnectionLimit;
