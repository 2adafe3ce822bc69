//! `--counts`: the instructions and system calls per request of ndes-proxy, counted by callgrind.
//! Unlike times, they hardly depend on the load of the machine, so two builds can be compared
//! anywhere.

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::fmt::Write;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::thread;
use std::time::Duration;

use crate::origin::Origin;
use crate::pki::Pki;
use crate::proxies::{Proxy, RunningProxy};
use crate::scenarios::{self, Scenario};
use crate::{Result, load, preflight};

/// The rows, each with the number of counted requests per connection (per stream for HTTP/2).
const ROWS: [(&str, usize); 5] = [
    ("get", 400),
    ("get-60k", 100),
    ("h2-get", 20),
    ("enrol", 200),
    ("new-ecdsa", 40),
];
/// Requests per connection that warm up caches and pools, and again in the measurement that is
/// subtracted because it contains the costs per connection.
const BASELINE: usize = 20;
const CONNECTIONS: usize = 8;
/// Time for connections to close.
const SETTLE: Duration = Duration::from_millis(300);

/// What is counted. Valgrind does not support the processor's instructions for SHA-256 and the
/// widest ones for AES, and under valgrind reading the clock is a system call: both have their own
/// column.
#[derive(Clone, Copy)]
enum Column {
    Instructions,
    Cryptography,
    SystemCalls,
    ClockReadings,
}

/// A figure for each [`Column`].
type Count = [f64; 4];

/// The counts per request, by name of the row.
pub(crate) struct Counts(BTreeMap<String, Count>);

/// Runs `proxy` under callgrind with one worker.
///
/// # Errors
///
/// Returns an error if valgrind is not installed or a response is not the expected one.
pub(crate) fn count(proxy: Proxy, dir: &Path, origin: &Origin, pki: &Pki) -> Result<Counts> {
    let files = dir.join("callgrind.out");
    let mut file_option = OsString::from("--callgrind-out-file=");
    file_option.push(&files);
    let tool = ["valgrind", "--tool=callgrind", "--collect-systime=yes"].map(OsString::from);
    let tool = tool.into_iter().chain([file_option]).collect();
    let running = proxy.run_by(tool).start(dir, origin.port, 1)?;
    let mut callgrind = Callgrind {
        running: &running,
        files: &files,
        dumps: 0,
    };
    preflight::check(&running, pki)?;
    let mut counts = BTreeMap::new();
    for (name, requests) in ROWS {
        let scenario = scenarios::all().into_iter().find(|s| s.name == name);
        let scenario = Scenario {
            connections: CONNECTIONS,
            ..scenario.ok_or("no scenario of this name")?
        };
        let count = callgrind
            .per_request(&scenario, requests, pki)
            .map_err(|e| format!("{name}: {e}\n{}", running.log_tail()))?;
        counts.insert(name.to_owned(), count);
    }
    Ok(Counts(counts))
}

struct Callgrind<'a> {
    running: &'a RunningProxy,
    /// The path of the dumps, to which callgrind appends `.1`, `.2` and so on.
    files: &'a Path,
    dumps: usize,
}

impl Callgrind<'_> {
    /// Returns the count of one request: the difference between many and few requests on the same
    /// number of connections, so that costs per connection cancel out.
    fn per_request(&mut self, scenario: &Scenario, requests: usize, pki: &Pki) -> Result<Count> {
        let mut send = |each: usize| {
            load::send_exactly(self.running.address, scenario, each, pki)?;
            thread::sleep(SETTLE);
            self.dump()
        };
        send(BASELINE)?;
        let few = send(BASELINE)?;
        let many = send(BASELINE + requests)?;
        let requests = (requests * scenario.concurrent_requests()) as f64;
        Ok(std::array::from_fn(|i| (many[i] - few[i]) / requests))
    }

    /// Returns the counts since the previous dump; each dump resets the counters.
    fn dump(&mut self) -> Result<Count> {
        let vgdb = Command::new("vgdb")
            .arg(format!("--pid={}", self.running.pid()))
            .arg("dump")
            .output()?;
        if !vgdb.status.success() {
            let stderr = String::from_utf8_lossy(&vgdb.stderr);
            return Err(format!("vgdb: {stderr}").into());
        }
        self.dumps += 1;
        let path = self.files.with_extension(format!("out.{}", self.dumps));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        fs::remove_file(&path)?;
        sum(&text).ok_or_else(|| "callgrind wrote an unreadable dump".into())
    }
}

/// Sums the costs of all functions in a dump. For the format see
/// <https://valgrind.org/docs/manual/cl-format.html>.
fn sum(dump: &str) -> Option<Count> {
    let mut sum = Count::default();
    let mut numbered = HashMap::new();
    let mut columns = [Column::Instructions, Column::SystemCalls];
    let mut lines = dump.lines();
    while let Some(line) = lines.next() {
        if let Some(function) = line.strip_prefix("fn=") {
            columns = columns_of(function, &mut numbered)?;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            columns_of(function, &mut numbered)?;
        } else if line.starts_with("calls=") {
            // The inclusive cost of the called function, which that function's entry has too.
            lines.next()?;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            // The source line, then the costs; trailing zeros may be omitted.
            let costs = line.split_ascii_whitespace().skip(1);
            for (column, cost) in columns.into_iter().zip(costs) {
                sum[column as usize] += cost.parse::<f64>().ok()?;
            }
        }
    }
    Some(sum)
}

/// Returns the columns to which the instructions and system calls of a function belong. A dump
/// names a function `(7) name` at its first occurrence and `(7)` after that.
fn columns_of<'a>(
    function: &'a str,
    numbered: &mut HashMap<&'a str, [Column; 2]>,
) -> Option<[Column; 2]> {
    let Some((number, name)) = function.split_once(' ') else {
        return numbered.get(function).copied();
    };
    let has = |part: &&str| name.contains(*part);
    let columns = if has(&"clock_gettime") {
        [Column::Instructions, Column::ClockReadings]
    } else if ["aws_lc_", "aesni", "ecp_nistz256"].iter().any(has) {
        [Column::Cryptography, Column::SystemCalls]
    } else {
        [Column::Instructions, Column::SystemCalls]
    };
    numbered.insert(number, columns);
    Some(columns)
}

impl Column {
    const ALL: [Self; 4] = [
        Self::Instructions,
        Self::Cryptography,
        Self::SystemCalls,
        Self::ClockReadings,
    ];

    fn title(self) -> &'static str {
        match self {
            Self::Instructions => "instructions",
            Self::Cryptography => "cryptography",
            Self::SystemCalls => "system calls",
            Self::ClockReadings => "clock",
        }
    }

    /// Decimal places: instructions are many, calls are few.
    fn digits(self) -> usize {
        match self {
            Self::Instructions | Self::Cryptography => 0,
            Self::SystemCalls | Self::ClockReadings => 2,
        }
    }
}

impl Counts {
    /// Reads counts that [`write`](Self::write) wrote.
    pub(crate) fn read(path: &Path) -> Result<Self> {
        let text = fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        let row = |line: &str| {
            let (name, figures) = line.split_once(' ')?;
            let figures = figures.split_ascii_whitespace().map(|f| f.parse().ok());
            let figures: Vec<f64> = figures.collect::<Option<_>>()?;
            Some((name.to_owned(), figures.try_into().ok()?))
        };
        let rows = text.lines().filter(|line| !line.starts_with('#'));
        let rows: Option<_> = rows.map(row).collect();
        let rows =
            rows.ok_or_else(|| format!("{}: not a file written by --record", path.display()))?;
        Ok(Self(rows))
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let titles = Column::ALL.map(Column::title).join(", ");
        let mut text = format!("# per request: {titles}\n");
        for (name, count) in &self.0 {
            text.push_str(name);
            for (column, figure) in Column::ALL.into_iter().zip(count) {
                write!(text, " {figure:.*}", column.digits())?;
            }
            text.push('\n');
        }
        fs::write(path, text).map_err(|e| format!("{}: {e}", path.display()).into())
    }

    /// Returns the table for the terminal, with the ratio to `recorded` if that has the row.
    pub(crate) fn table(&self, recorded: &Self) -> Result<String> {
        let mut text = format!("{:<10}", "request");
        for column in Column::ALL {
            write!(text, " {:>12} {:<17}", column.title(), "recorded (ratio)")?;
        }
        for (name, now) in &self.0 {
            write!(text, "\n{name:<10}")?;
            let then = recorded.0.get(name);
            for column in Column::ALL {
                let digits = column.digits();
                let now = now[column as usize];
                let table = match then.map(|then| then[column as usize]) {
                    Some(then) => format!("{then:.digits$} ({:.3})", now / then),
                    None => "-".to_owned(),
                };
                write!(text, " {now:>12.digits$} {table:<17}")?;
            }
        }
        Ok(text)
    }
}
