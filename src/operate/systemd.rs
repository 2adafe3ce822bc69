//! The protocol between systemd and a service: passed sockets (sd_listen_fds(3)), notifications
//! (sd_notify(3)) and the watchdog (sd_watchdog_enabled(3)). Under another supervisor none of it is
//! in the environment, and this module does nothing.
//!
//! The listenfd crate takes the sockets. The notifications are our own: sd-notify 0.5 opens a
//! socket for each notification, which may block without limit if the manager is busy, and takes
//! `@name`, an abstract socket, for a path. A stalled manager must not stop the heartbeat of a
//! process that serves, and after a hand-over nothing may be sent any more. Apart from sending, the
//! crate would only format five assignments.

use std::env;
use std::ffi::OsString;
use std::io;
use std::net::{IpAddr, SocketAddr, TcpListener};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use listenfd::ListenFd;
use rustix::time::{ClockId, clock_gettime};
use tracing::warn;

/// What systemd passes, taken from the environment once.
#[derive(Default)]
pub struct Systemd {
    pub manager: Manager,
    pub sockets: Sockets,
    /// The longest time between two [`Manager::alive`] that the watchdog tolerates.
    pub watchdog: Option<Duration>,
    pub predecessor: Option<Predecessor>,
}

/// The process that this one takes over from. It waits at the other end of standard input.
pub struct Predecessor;

/// Set for a process that takes over from another one.
pub const HANDOVER: &str = "NDES_PROXY_HANDOVER";

impl Predecessor {
    /// Reports to the predecessor that this process serves, so that it can shut down.
    pub fn dismiss(&self) -> io::Result<()> {
        Ok(rustix::io::write(io::stdin(), b"1").map(drop)?)
    }
}

/// Listening sockets that were opened before the process was started, and outlive it.
#[derive(Default)]
pub struct Sockets(Vec<(SocketAddr, TcpListener)>);

/// The service manager, if there is one. Clones share the sockets.
#[derive(Clone, Default)]
pub struct Manager(Option<Arc<Notify>>);

/// How long a notification waits for a busy manager.
const MOST_WAIT: Duration = Duration::from_secs(2);

struct Notify {
    /// Another process is the service now.
    handed_over: AtomicBool,
    /// Waits up to [`MOST_WAIT`] if the manager is busy, because no change of state may be lost.
    states: UnixDatagram,
    /// Does not block: a stalled manager must not stop the admin thread.
    watchdog: UnixDatagram,
    address: std::os::unix::net::SocketAddr,
}

impl Systemd {
    /// Reads the environment. Must be called while the process has one thread, because it removes
    /// the variables of the sockets, so that no child takes them for its own.
    ///
    /// # Errors
    /// Returns an error if a variable names a socket that is not there or of another type.
    pub fn from_env() -> io::Result<Self> {
        let ours = |pid: &str| pid.parse() == Ok(std::process::id());
        let watchdog = env::var("WATCHDOG_USEC").ok();
        let watchdog = watchdog.filter(|_| env::var("WATCHDOG_PID").map_or(true, |pid| ours(&pid)));
        let watchdog = watchdog.and_then(|text| text.parse().ok());
        Ok(Self {
            manager: Manager::at(env::var_os("NOTIFY_SOCKET"))?,
            sockets: Sockets::from_env()?,
            predecessor: env::var_os(HANDOVER).map(|_| Predecessor),
            watchdog: watchdog
                .map(Duration::from_micros)
                .filter(|time| !time.is_zero()),
        })
    }
}

impl Sockets {
    fn from_env() -> io::Result<Self> {
        let mut passed = ListenFd::from_env();
        let mut sockets = Vec::new();
        for index in 0..passed.len() {
            let Some(socket) = passed.take_tcp_listener(index)? else {
                continue;
            };
            socket.set_nonblocking(true)?;
            sockets.push((socket.local_addr()?, socket));
        }
        Ok(Self(sockets))
    }

    /// Removes and returns the socket that listens on `address`, or returns `None` if it was not
    /// passed. `[::]` listens on `0.0.0.0` too.
    pub fn take(&mut self, address: SocketAddr) -> Option<TcpListener> {
        let covers = |passed: &SocketAddr| match (passed.ip(), address.ip()) {
            (IpAddr::V6(passed), IpAddr::V4(wanted)) => {
                passed.is_unspecified() && wanted.is_unspecified()
            }
            (passed, wanted) => passed == wanted,
        };
        let found =
            |(passed, _): &(SocketAddr, _)| passed.port() == address.port() && covers(passed);
        let at = self.0.iter().position(found)?;
        Some(self.0.swap_remove(at).1)
    }

    /// Returns the address of a socket that was not taken, or `None` if all were.
    pub fn left(&self) -> Option<SocketAddr> {
        self.0.first().map(|(address, _)| *address)
    }
}

impl Manager {
    /// `address` is the value of NOTIFY_SOCKET: a path, or `@name` for an abstract socket.
    fn at(address: Option<OsString>) -> io::Result<Self> {
        use std::os::unix::net::SocketAddr;

        let Some(address) = address else {
            return Ok(Self(None));
        };
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&address)?,
        };
        let (states, watchdog) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        states.set_write_timeout(Some(MOST_WAIT))?;
        watchdog.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Notify {
            handed_over: AtomicBool::new(false),
            states,
            watchdog,
            address,
        }))))
    }

    /// Reports that the process serves, or that a reload is complete.
    pub fn ready(&self, status: &str) {
        self.send(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// Reports the start of a reload. [`Manager::ready`] must follow.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.send(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    /// Reports the start of the shutdown.
    pub fn stopping(&self, status: &str) {
        self.send(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// Reports that process `pid` is the service from now on. The manager would ignore any further
    /// notification of this process, so none is sent.
    pub fn hand_over_to(&self, pid: u32) {
        self.send(&format!("MAINPID={pid}"));
        if let Some(notify) = &self.0 {
            notify.handed_over.store(true, Ordering::Relaxed);
        }
    }

    /// Resets the watchdog.
    pub fn alive(&self) {
        self.send_on(|notify| &notify.watchdog, "WATCHDOG=1");
    }

    fn send(&self, state: &str) {
        self.send_on(|notify| &notify.states, state);
    }

    fn send_on(&self, socket: fn(&Notify) -> &UnixDatagram, state: &str) {
        let Some(notify) = &self.0 else { return };
        if notify.handed_over.load(Ordering::Relaxed) {
            return;
        }
        let sent = socket(notify).send_to_addr(state.as_bytes(), &notify.address);
        if let Err(error) = sent {
            warn!("cannot send {state:?} to systemd: {error}");
        }
    }
}

/// Joins the lines of `status`: each further line would be an assignment of its own.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_abstract_socket_receives_one_line_of_status() {
        let name = format!("ndes-proxy test {}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::at(Some(format!("@{name}").into())).unwrap();
        manager.ready("refused:\nREADY=0");
        manager.hand_over_to(7);
        manager.stopping("not sent");
        systemd.set_nonblocking(true).unwrap();
        let receive = || {
            let mut text = [0; 256];
            let length = systemd.recv(&mut text).ok()?;
            Some(String::from_utf8(text[..length].to_vec()).unwrap())
        };
        assert_eq!(receive().unwrap(), "READY=1\nSTATUS=refused: READY=0");
        assert_eq!(receive().unwrap(), "MAINPID=7");
        assert_eq!(receive(), None);
    }

    #[test]
    fn without_a_socket_nothing_is_sent() {
        assert!(Manager::at(None).unwrap().0.is_none());
    }

    #[test]
    fn sockets_are_found_by_their_addresses() {
        let listen = |address: &str| {
            let socket = TcpListener::bind(address).unwrap();
            (socket.local_addr().unwrap(), socket)
        };
        let (v4, v6) = (listen("127.0.0.1:0"), listen("[::]:0"));
        let (v4_port, v6_port) = (v4.0.port(), v6.0.port());
        let mut sockets = Sockets(vec![v4, v6]);
        for wrong in [
            ([127, 0, 0, 2], v4_port),
            ([0; 4], v4_port),
            ([127, 0, 0, 1], v6_port),
        ] {
            assert!(sockets.take(wrong.into()).is_none(), "{wrong:?}");
        }
        assert!(sockets.take(([127, 0, 0, 1], v4_port).into()).is_some());
        assert!(
            sockets.take(([127, 0, 0, 1], v4_port).into()).is_none(),
            "once"
        );
        assert_eq!(sockets.left().unwrap().port(), v6_port);
        assert!(
            sockets.take(([0; 4], v6_port).into()).is_some(),
            "both families"
        );
        assert_eq!(sockets.left(), None);
    }
}
