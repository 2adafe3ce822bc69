//! Servers below TLS, for upstreams that fail before there is a request.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};

/// Serves TCP connections for as long as the test process runs, each on a thread of its own.
pub fn serve(talk: impl Fn(TcpStream) + Send + Clone + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for tcp in listener.incoming() {
            let (talk, tcp) = (talk.clone(), tcp.unwrap());
            std::thread::spawn(move || talk(tcp));
        }
    });
    address
}

/// Responds to the first bytes that arrive with `bytes`, and closes the connection.
pub fn answering(bytes: &'static [u8]) -> SocketAddr {
    serve(move |mut tcp| {
        // Errors are ignored, because the proxy reports them.
        _ = tcp.read(&mut [0; 4_096]);
        _ = tcp.write_all(bytes);
        _ = tcp.shutdown(std::net::Shutdown::Write);
        while matches!(tcp.read(&mut [0; 4_096]), Ok(1..)) {}
    })
}

/// Returns an address on which nothing listens.
pub fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
}
