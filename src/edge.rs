//! The public side: accepts connections, performs the TLS handshake, and reads requests from and
//! writes responses to HTTP/1 and HTTP/2 connections.

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
mod linger;
pub mod proxy_protocol;
mod return_on_drop;
mod writer;

pub use accept::{Edge, Worker};
pub use dispatcher::{Dispatched, Dispatcher};
pub use heartbeat::Heartbeat;
pub use limit::ConnectionLimit;
