//! What systemd hands to a service, and what it wants to hear from it: sd_listen_fds(3),
//! sd_notify(3), sd_watchdog_enabled(3). Under another supervisor none of it is there, and nothing
//! happens.

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

/// All of it, taken from the environment once.
#[derive(Default)]
pub struct Systemd {
    pub manager: Manager,
    pub sockets: Sockets,
    /// How often it wants to hear that all is well, at least.
    pub watchdog: Option<Duration>,
    pub predecessor: Option<Predecessor>,
}

/// The process that this one takes over from; its end of standard input waits for a word.
pub struct Predecessor;

/// Set for a process that takes over from another one.
pub const HANDOVER: &str = "NDES_PROXY_HANDOVER";

impl Predecessor {
    /// Tells it that this process serves.
    pub fn dismiss(&self) -> io::Result<()> {
        Ok(rustix::io::write(io::stdin(), b"1").map(drop)?)
    }
}

/// Listening sockets that were opened before the process was started, and outlive it.
#[derive(Default)]
pub struct Sockets(Vec<(SocketAddr, TcpListener)>);

/// The service manager, where there is one. Clones share the socket.
#[derive(Clone, Default)]
pub struct Manager(Option<Arc<Notify>>);

/// How long a busy manager is waited for.
const MOST_WAIT: Duration = Duration::from_secs(2);

struct Notify {
    /// Another process speaks now.
    silent: AtomicBool,
    /// Waits a moment where the manager is busy: each of its words counts.
    words: UnixDatagram,
    /// Never waits. A manager that does not listen must not stop who serves.
    beats: UnixDatagram,
    address: std::os::unix::net::SocketAddr,
}

impl Systemd {
    /// To be called while the process has one thread: the variables of the sockets are removed from
    /// the environment, so that no child takes them for its own.
    ///
    /// # Errors
    /// A variable of systemd is there, but not what it stands for.
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

    /// The socket that listens on `address`, if it was passed. `[::]` listens on `0.0.0.0` too.
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

    /// One that nobody has taken.
    pub fn left(&self) -> Option<SocketAddr> {
        self.0.first().map(|(address, _)| *address)
    }
}

impl Manager {
    /// `address` as in NOTIFY_SOCKET: a path, or `@name` for one without a file.
    fn at(address: Option<OsString>) -> io::Result<Self> {
        use std::os::unix::net::SocketAddr;

        let Some(address) = address else {
            return Ok(Self(None));
        };
        let address = match address.as_bytes() {
            [b'@', name @ ..] => SocketAddr::from_abstract_name(name)?,
            _ => SocketAddr::from_pathname(&address)?,
        };
        let (words, beats) = (UnixDatagram::unbound()?, UnixDatagram::unbound()?);
        words.set_write_timeout(Some(MOST_WAIT))?;
        beats.set_nonblocking(true)?;
        Ok(Self(Some(Arc::new(Notify {
            silent: AtomicBool::new(false),
            words,
            beats,
            address,
        }))))
    }

    pub fn ready(&self, status: &str) {
        self.tell(&format!("READY=1\nSTATUS={}", one_line(status)));
    }

    /// `ready` comes next.
    pub fn reloading(&self) {
        let now = clock_gettime(ClockId::Monotonic);
        let microseconds = now.tv_sec * 1_000_000 + now.tv_nsec / 1_000;
        self.tell(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
    }

    pub fn stopping(&self, status: &str) {
        self.tell(&format!("STOPPING=1\nSTATUS={}", one_line(status)));
    }

    /// From now on that process is the service; nothing that this one says would be believed.
    pub fn hand_over_to(&self, pid: u32) {
        self.tell(&format!("MAINPID={pid}"));
        if let Some(notify) = &self.0 {
            notify.silent.store(true, Ordering::Relaxed);
        }
    }

    /// All is well.
    pub fn alive(&self) {
        self.tell_by(|notify| &notify.beats, "WATCHDOG=1");
    }

    fn tell(&self, state: &str) {
        self.tell_by(|notify| &notify.words, state);
    }

    fn tell_by(&self, socket: fn(&Notify) -> &UnixDatagram, state: &str) {
        let Some(notify) = &self.0 else { return };
        if notify.silent.load(Ordering::Relaxed) {
            return;
        }
        let told = socket(notify).send_to_addr(state.as_bytes(), &notify.address);
        if let Err(error) = told {
            warn!("systemd cannot be told {state:?}: {error}");
        }
    }
}

/// A status of several lines would be several assignments.
fn one_line(status: &str) -> String {
    status.replace(['\n', '\r'], " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_socket_without_a_file_hears_one_line_of_status() {
        let name = format!("ndes-proxy test {}", std::process::id());
        let address = std::os::unix::net::SocketAddr::from_abstract_name(&name).unwrap();
        let systemd = UnixDatagram::bind_addr(&address).unwrap();
        let manager = Manager::at(Some(format!("@{name}").into())).unwrap();
        manager.ready("refused:\nREADY=0");
        manager.hand_over_to(7);
        manager.stopping("nobody listens to this");
        systemd.set_nonblocking(true).unwrap();
        let hear = || {
            let mut text = [0; 256];
            let length = systemd.recv(&mut text).ok()?;
            Some(String::from_utf8(text[..length].to_vec()).unwrap())
        };
        assert_eq!(hear().unwrap(), "READY=1\nSTATUS=refused: READY=0");
        assert_eq!(hear().unwrap(), "MAINPID=7");
        assert_eq!(hear(), None);
    }

    #[test]
    fn no_socket_no_word() {
        let manager = Manager::at(None).unwrap();
        manager.ready("nobody listens to this");
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
