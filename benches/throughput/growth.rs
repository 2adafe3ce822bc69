//! `--growth`: ndes-proxy with many open connections and with many applications: CPU time, memory,
//! time of start and reload.

use std::fmt;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::measure::{Bench, SETTLE, with_log};
use crate::pki::public_name;
use crate::proxies::{Kind, Proxy, RunningProxy};
use crate::row::Spread;
use crate::scenarios::{Handshake, KEEP_ALIVE, Scenario, Tls, short_gets};
use crate::{Result, load, procfs};

const CONNECTIONS: [usize; 4] = [100, 1000, 3000, 9000];
const APPLICATIONS: [usize; 3] = [1, 100, 1000];
/// The number of connections that have a request at the same time.
const BUSY: usize = 32;
/// One connection for each name of the largest configuration.
const CONNECTIONS_OVER_NAMES: usize = 1000;

#[derive(Serialize)]
pub(crate) struct Growth {
    machine: String,
    date: String,
    connections: Vec<ByConnections>,
    applications: Vec<ByApplications>,
}

/// The figures with this number of open connections, of which all but [`BUSY`] are idle.
#[derive(Serialize)]
struct ByConnections {
    connections: usize,
    cpu_us_per_get: Spread,
    /// Measured after the load.
    memory_mb: f64,
}

/// The figures with this number of applications. Each has one name, and the connections are spread
/// evenly over the names.
#[derive(Serialize)]
struct ByApplications {
    applications: usize,
    /// Until the port listens.
    start_ms: f64,
    memory_at_start_mb: f64,
    cpu_us_per_get: Spread,
    cpu_us_per_new_connection: Spread,
    /// From SIGHUP to the log line of the reload.
    reload_ms: Spread,
    memory_after_mb: f64,
}

impl Bench {
    pub(crate) fn growth(&self, proxy: Proxy) -> Result<Growth> {
        let mut proxy = proxy.with_template(template(1)?);
        let by_connections = |connections: usize| {
            let running = proxy.start(&self.dir, self.origin.port, self.workers)?;
            self.by_connections(&running, connections)
                .map_err(|e| with_log(e, &running))
        };
        let connections = CONNECTIONS.into_iter().map(by_connections);
        let connections = connections.collect::<Result<_>>()?;
        let mut applications = Vec::new();
        for count in APPLICATIONS {
            proxy = proxy.with_template(template(count)?);
            let running = proxy.start(&self.dir, self.origin.port, self.workers)?;
            let row = self.by_applications(&running, count);
            applications.push(row.map_err(|e| with_log(e, &running))?);
        }
        Ok(Growth {
            machine: procfs::machine()?,
            date: time::OffsetDateTime::now_utc().date().to_string(),
            connections,
            applications,
        })
    }

    fn by_connections(&self, proxy: &RunningProxy, connections: usize) -> Result<ByConnections> {
        let idle = connections - BUSY;
        let scenario = short_gets(KEEP_ALIVE, BUSY, 1);
        load::with_idle_connections(proxy.address, idle, KEEP_ALIVE, &self.pki, || {
            Ok(ByConnections {
                connections,
                cpu_us_per_get: self.cpu(proxy, &scenario)?,
                memory_mb: memory_mb(proxy)?,
            })
        })
    }

    fn by_applications(&self, proxy: &RunningProxy, applications: usize) -> Result<ByApplications> {
        thread::sleep(SETTLE);
        let memory_at_start_mb = memory_mb(proxy)?;
        let over_names = |handshake| {
            let tls = Tls {
                handshake,
                ..KEEP_ALIVE
            };
            let scenario = Scenario {
                max_concurrent: Some(BUSY),
                ..short_gets(tls, CONNECTIONS_OVER_NAMES, applications)
            };
            self.cpu(proxy, &scenario)
        };
        let cpu_us_per_get = over_names(Handshake::Once)?;
        let cpu_us_per_new_connection = over_names(Handshake::FullEach)?;
        let reloads = (0..self.rounds).map(|_| reload_ms(proxy));
        Ok(ByApplications {
            applications,
            start_ms: milliseconds(proxy.startup),
            memory_at_start_mb,
            cpu_us_per_get,
            cpu_us_per_new_connection,
            reload_ms: Spread::of(reloads.collect::<Result<Vec<_>>>()?),
            memory_after_mb: memory_mb(proxy)?,
        })
    }

    fn cpu(&self, proxy: &RunningProxy, scenario: &Scenario) -> Result<Spread> {
        let cells = (0..self.rounds).map(|_| self.cell(proxy, scenario));
        let cells: Vec<_> = cells.collect::<Result<_>>()?;
        Ok(Spread::of(cells.iter().map(|cell| cell.cpu_us_per_request)))
    }
}

/// Returns the configuration of the other rows with this number of applications, which all use the
/// same certificates.
fn template(applications: usize) -> Result<String> {
    let template = Kind::NdesProxy.template();
    let at = template.find("[[application]]").ok_or("no application")?;
    // The proxy closes idle connections when nine tenths of the limit are in use.
    let mut text = template[..at].replace("9000", "12000");
    for number in 0..applications {
        let application = template[at..]
            .replace("\"ndes\"", &format!("\"ndes-{number}\""))
            .replace(&public_name(0), &public_name(number));
        text.push_str(&application);
    }
    Ok(text)
}

fn memory_mb(proxy: &RunningProxy) -> Result<f64> {
    Ok(procfs::memory_of_tree(proxy.pid())? as f64 / 1024.0)
}

fn reload_ms(proxy: &RunningProxy) -> Result<f64> {
    proxy.truncate_log()?;
    let began = Instant::now();
    proxy.reload();
    while !proxy.log_tail().contains("reloaded") {
        if began.elapsed() > Duration::from_secs(60) {
            return Err("no reload within a minute".into());
        }
        thread::sleep(Duration::from_millis(1));
    }
    Ok(milliseconds(began.elapsed()))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// The two tables for the terminal.
impl fmt::Display for Growth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}, {}, ndes-proxy", self.machine, self.date)?;
        writeln!(
            f,
            "{:>12} {:>22} {:>10}",
            "connections", "CPU us of a GET", "memory MB"
        )?;
        for row in &self.connections {
            let cpu = row.cpu_us_per_get.to_string();
            writeln!(
                f,
                "{:>12} {cpu:>22} {:>10.1}",
                row.connections, row.memory_mb
            )?;
        }
        write!(
            f,
            "\n{:>12} {:>9} {:>10} {:>22} {:>22} {:>22} {:>10}",
            "applications",
            "start ms",
            "memory MB",
            "CPU us of a GET",
            "of a new connection",
            "reload ms",
            "MB after"
        )?;
        for row in &self.applications {
            write!(
                f,
                "\n{:>12} {:>9.0} {:>10.1} {:>22} {:>22} {:>22} {:>10.1}",
                row.applications,
                row.start_ms,
                row.memory_at_start_mb,
                row.cpu_us_per_get.to_string(),
                row.cpu_us_per_new_connection.to_string(),
                row.reload_ms.to_string(),
                row.memory_after_mb,
            )?;
        }
        Ok(())
    }
}
