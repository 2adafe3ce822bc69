//! SIGUSR2: a process starts its successor and passes it the sockets.

use std::sync::Arc;

use rustix::process::{Pid, kill_process};

use super::*;

/// Kills the processes that the program started itself, when dropped.
#[derive(Default)]
struct Successors(Vec<Pid>);

impl Drop for Successors {
    fn drop(&mut self) {
        for pid in &self.0 {
            _ = kill_process(*pid, Signal::KILL);
        }
    }
}

impl Successors {
    /// Waits for the next line that reports a successor, and returns its process id.
    fn await_next(&mut self, log: &Binary) -> Pid {
        let handed_over = || {
            let lines = log.lines();
            let pids = lines.iter().filter(|line| line["message"] == HANDED_OVER);
            pids.map(|line| line["pid"].as_i64().unwrap())
                .nth(self.0.len())
        };
        eventually("handed over", || handed_over().is_some());
        let pid = Pid::from_raw(handed_over().unwrap().try_into().unwrap()).unwrap();
        self.0.push(pid);
        pid
    }
}

const HANDED_OVER: &str = "handed over: another process serves";

/// Uses an address of its own, so that no other process can take the free port.
fn own_ports(upstream: SocketAddr) -> Holder {
    let mut holder = Holder::new(upstream);
    let file = holder.files.path().join("ndes-proxy.toml");
    let mut text = std::fs::read_to_string(&file).unwrap();
    for socket in [&mut holder.https, &mut holder.admin] {
        let before = socket.local_addr().unwrap();
        *socket = TcpListener::bind("127.77.0.1:0").unwrap();
        let after = socket.local_addr().unwrap();
        text = text.replace(&before.to_string(), &after.to_string());
    }
    std::fs::write(&file, text).unwrap();
    holder
}

#[test]
fn a_successor_serves_before_the_process_ends() {
    let origin = Origin::answering(answer(200, &[], &[b'x'; 20_000]));
    let Holder {
        https,
        admin,
        files,
    } = own_ports(origin.address);
    let address = https.local_addr().unwrap();
    drop((https, admin));
    let mut first = Binary::start(files, |_| {});
    let mut successors = Successors::default();
    let counts = Arc::new(Counts::default());
    let clients = clients(address, &counts);
    let more = || {
        let before = counts.responses.load(Ordering::SeqCst);
        eventually("load", || {
            counts.responses.load(Ordering::SeqCst) > before + 100
        });
    };
    more();
    first.signal(Signal::USR2);
    let second = successors.await_next(&first);
    assert_eq!(first.wait_alone().code(), Some(0));
    more();
    // The successor can have a successor, too.
    kill_process(second, Signal::USR2).unwrap();
    let third = successors.await_next(&first);
    let stopped = |lines: Vec<serde_json::Value>, count| {
        lines
            .iter()
            .filter(|line| line["message"] == "stopped")
            .count()
            == count
    };
    eventually("the second has stopped", || stopped(first.lines(), 2));
    more();
    counts.stop.store(true, Ordering::SeqCst);
    for client in clients {
        client.join().expect("nothing was refused, reset or lost");
    }
    kill_process(third, Signal::TERM).unwrap();
    let (_, lines) = first.wait();
    assert!(stopped(lines.clone(), 3), "{lines:?}");
    assert!(lines.iter().all(|line| line["incomplete"].is_null()));
    successors.0.clear();
}

#[test]
fn a_successor_that_does_not_start_changes_nothing() {
    let origin = Origin::ok();
    let holder = Holder::new(origin.address);
    let binary = holder.start();
    let mut kept = Connect::to(binary.https).open();
    assert_eq!(kept.get(MSCEP).status, 200);
    let file = holder.files.path().join("ndes-proxy.toml");
    std::fs::write(file, "not a configuration").unwrap();
    binary.signal(Signal::USR2);
    let failed = "the new process does not take over, this one keeps serving";
    eventually("the log line", || !binary.messages(failed).is_empty());
    assert!(binary.messages(failed)[0].contains("78"), "the exit code");
    assert_eq!(kept.get(MSCEP).field("connection"), None);
    assert_eq!(Connect::to(binary.https).open().get(MSCEP).status, 200);
}

#[test]
fn systemd_is_notified_of_the_new_main_process() {
    let origin = Origin::ok();
    let holder = Holder::new(origin.address);
    let path = holder.files.path().join("notify");
    let systemd = UnixDatagram::bind(&path).unwrap();
    systemd.set_read_timeout(Some(MAX_WAIT)).unwrap();
    let mut successors = Successors::default();
    let passed = in_a_row([holder.https.as_fd(), holder.admin.as_fd()]);
    let mut binary = Binary::start(holder.files.clone(), |command| {
        pass(command, &passed);
        command.env("NOTIFY_SOCKET", &path);
    });
    let receive = || {
        let mut text = [0; 4_096];
        let length = systemd.recv(&mut text).expect("a notification");
        String::from_utf8(text[..length].to_vec()).unwrap()
    };
    assert!(receive().starts_with("READY=1"));
    binary.signal(Signal::USR2);
    let pid = successors.await_next(&binary);
    assert_eq!(binary.wait_alone().code(), Some(0));
    // From the new process and the old one, in any order, and no notification of a stop.
    let mut received = [receive(), receive()];
    received.sort();
    assert_eq!(received[0], format!("MAINPID={}", pid.as_raw_nonzero()));
    assert!(received[1].starts_with("READY=1"), "{}", received[1]);
    kill_process(pid, Signal::TERM).unwrap();
    assert!(receive().starts_with("STOPPING=1"));
    _ = binary.wait();
    successors.0.clear();
}
