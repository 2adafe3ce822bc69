//! One process follows another on sockets that outlive both, and systemd is notified of each step.
//! The test holds the sockets, as systemd does for a socket unit, or one process passes them to the
//! next.

mod handover;

use std::net::{SocketAddr, TcpListener};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::net::UnixDatagram;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use rustix::io::{FdFlags, fcntl_dupfd_cloexec, fcntl_setfd};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::support::binary::Binary;
use crate::support::origin::answer;
use crate::support::proxy::{SETTINGS, application, write_files};
use crate::support::{Connect, End, Gate, MAX_WAIT, MSCEP, Origin, PUBLIC, eventually};

/// The sockets, and a configuration that names their addresses.
struct Holder {
    https: TcpListener,
    admin: TcpListener,
    files: Arc<TempDir>,
}

impl Holder {
    fn new(upstream: SocketAddr) -> Self {
        let listen = || TcpListener::bind("127.0.0.1:0").unwrap();
        let (https, admin) = (listen(), listen());
        let files = tempfile::tempdir().unwrap();
        write_files(files.path());
        let settings = SETTINGS
            .replace(
                "https = [\"127.0.0.1:0\"]",
                &format!("https = [\"{}\"]", https.local_addr().unwrap()),
            )
            .replace(
                "admin = \"127.0.0.1:0\"",
                &format!("admin = \"{}\"", admin.local_addr().unwrap()),
            );
        let text = format!(
            "{settings}[log]\nformat = \"json\"\n{}",
            application(PUBLIC, "public", upstream)
        );
        std::fs::write(files.path().join("ndes-proxy.toml"), text).unwrap();
        Self {
            https,
            admin,
            files: Arc::new(files),
        }
    }

    fn address(&self) -> SocketAddr {
        self.https.local_addr().unwrap()
    }

    fn start(&self) -> Binary {
        // One process at a time, because inherited descriptors need consecutive numbers.
        static NUMBERS: Mutex<()> = Mutex::new(());
        let _one = NUMBERS.lock().unwrap();
        let passed = in_a_row([self.https.as_fd(), self.admin.as_fd()]);
        Binary::start(self.files.clone(), |command| pass(command, &passed))
    }
}

/// Returns duplicates with consecutive numbers, which a new process inherits.
fn in_a_row<const N: usize>(sockets: [std::os::fd::BorrowedFd<'_>; N]) -> Vec<OwnedFd> {
    let first = (500..).step_by(10).find_map(|first| {
        let at = |(index, socket): (i32, std::os::fd::BorrowedFd<'_>)| {
            let duplicate = fcntl_dupfd_cloexec(socket, first + index).unwrap();
            (duplicate.as_raw_fd() == first + index).then_some(duplicate)
        };
        (0..).zip(sockets).map(at).collect::<Option<Vec<_>>>()
    });
    let passed = first.unwrap();
    for socket in &passed {
        fcntl_setfd(socket, FdFlags::empty()).unwrap();
    }
    passed
}

fn pass(command: &mut Command, sockets: &[OwnedFd]) {
    command.env("LISTEN_FDS", sockets.len().to_string());
    // systemd always begins at 3, but 3 is in use here.
    command.env("LISTEN_FDS_FIRST_FD", sockets[0].as_raw_fd().to_string());
}

/// The counts of all clients.
#[derive(Default)]
struct Counts {
    stop: AtomicBool,
    responses: AtomicUsize,
    connections: AtomicUsize,
}

/// Starts clients that send requests without a pause, and fail at any incomplete response.
fn clients(https: SocketAddr, counts: &Arc<Counts>) -> Vec<std::thread::JoinHandle<()>> {
    let client = |number: usize| {
        let counts = counts.clone();
        // Some keep their connection, some open a new one for each request.
        let most = if number.is_multiple_of(2) {
            usize::MAX
        } else {
            1
        };
        std::thread::spawn(move || {
            while !counts.stop.load(Ordering::SeqCst) {
                let mut connection = Connect::to(https).open();
                counts.connections.fetch_add(1, Ordering::SeqCst);
                for _ in 0..most {
                    let response = connection.get(MSCEP);
                    assert_eq!((response.status, response.body.len()), (200, 20_000));
                    counts.responses.fetch_add(1, Ordering::SeqCst);
                    if response.field("connection") == Some("close") {
                        assert_eq!(connection.end(), End::CloseNotify);
                        break;
                    }
                    if counts.stop.load(Ordering::SeqCst) {
                        break;
                    }
                }
            }
        })
    };
    (0..6).map(client).collect()
}

#[expect(
    clippy::print_stdout,
    reason = "figures for the reader of the test output"
)]
/// Restarts `times`; `follow` stops one process and starts the next.
fn restarts(times: usize, mut follow: impl FnMut(&Holder, Binary) -> Binary) {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let holder = Holder::new(origin.address);
    let mut serving = holder.start();
    assert_eq!(serving.https, holder.address());
    let counts = Arc::new(Counts::default());
    let clients = clients(holder.address(), &counts);
    let more = |count: usize| {
        let before = counts.responses.load(Ordering::SeqCst);
        eventually("load", || {
            counts.responses.load(Ordering::SeqCst) > before + count
        });
    };
    for _ in 0..times {
        more(100);
        serving = follow(&holder, serving);
        more(100);
    }
    counts.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("nothing was refused, reset or lost");
    }
    println!(
        "{times} restarts, {} requests on {} connections: none refused, reset or lost",
        counts.responses.load(Ordering::SeqCst),
        counts.connections.load(Ordering::SeqCst),
    );
}

fn assert_clean_exit(old: Binary) {
    let (status, lines) = old.wait();
    assert_eq!(status.code(), Some(0));
    assert!(lines.iter().all(|line| line["incomplete"].is_null()));
}

#[test]
fn a_new_process_serves_before_the_old_one_has_drained() {
    restarts(5, |holder, old| {
        let new = holder.start();
        old.signal(Signal::TERM);
        assert_clean_exit(old);
        new
    });
}

#[test]
fn clients_wait_in_the_socket_while_there_is_no_process() {
    restarts(3, |holder, old| {
        old.signal(Signal::TERM);
        assert_clean_exit(old);
        holder.start()
    });
}

#[test]
fn a_passed_socket_without_a_listener_in_the_configuration_is_refused() {
    let origin = Origin::ok();
    let holder = Holder::new(origin.address);
    let unknown = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ndes-proxy"));
    command
        .arg("run")
        .arg("--config")
        .arg(holder.files.path().join("ndes-proxy.toml"));
    let passed = in_a_row([holder.https.as_fd(), holder.admin.as_fd(), unknown.as_fd()]);
    pass(&mut command, &passed);
    let ran = command.output().unwrap();
    assert_eq!(ran.status.code(), Some(1));
    let stderr = String::from_utf8(ran.stderr).unwrap();
    assert!(
        stderr.contains(&unknown.local_addr().unwrap().to_string()),
        "{stderr}"
    );
    assert!(stderr.contains("ListenStream="), "{stderr}");
}

#[test]
fn systemd_is_notified_of_start_reload_and_stop() {
    let gate = Gate::default();
    let held = gate.clone();
    let origin = Origin::start(move |_, wire| {
        held.pass();
        wire.send(answer(200, &[], b"late"));
    });
    let holder = Holder::new(origin.address);
    let path = holder.files.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let passed = in_a_row([holder.https.as_fd(), holder.admin.as_fd()]);
    let binary = Binary::start(holder.files.clone(), |command| {
        pass(command, &passed);
        command
            .env("NOTIFY_SOCKET", &path)
            .env("WATCHDOG_USEC", "200000");
    });
    let receive = || {
        let mut text = [0; 4_096];
        let length = systemd.recv(&mut text).expect("a notification");
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    let next = |start: &str| loop {
        let received = receive();
        if received.starts_with(start) {
            return received;
        }
        assert_eq!(received, "WATCHDOG=1");
    };
    assert_eq!(next("READY=1"), "READY=1\nSTATUS=serving");
    for _ in 0..4 {
        assert_eq!(receive(), "WATCHDOG=1");
    }
    binary.signal(Signal::HUP);
    let reloading = next("RELOADING=1");
    let (_, time) = reloading.split_once("\nMONOTONIC_USEC=").unwrap();
    assert!(time.parse::<u64>().unwrap() > 0);
    assert!(next("READY=1").contains("STATUS=configuration and certificates are in use"));
    std::fs::write(holder.files.path().join("public.key"), "no key").unwrap();
    binary.signal(Signal::HUP);
    next("RELOADING=1");
    assert!(next("READY=1").contains("STATUS=last reload refused"));
    let mut busy = Connect::to(binary.https).open();
    busy.send(format!("GET {MSCEP} HTTP/1.1\r\nHost: {PUBLIC}\r\n\r\n"));
    origin.await_requests(1);
    binary.signal(Signal::TERM);
    assert!(next("STOPPING=1").contains("STATUS=stopping"));
    // One worker has stopped by now, the other waits for its last response.
    for _ in 0..4 {
        assert_eq!(receive(), "WATCHDOG=1");
    }
    gate.open();
    assert_eq!(busy.response().status, 200);
    assert_eq!(binary.wait().0.code(), Some(0));
}
