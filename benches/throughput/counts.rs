//! `--counts`: what a request costs ndes-proxy in instructions and system calls, counted by callgrind. Unlike times they
//! hardly depend on what else the machine does, so that two builds can be compared anywhere.

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
use crate::proxies::{Proxy, Running};
use crate::scenarios::{self, Scenario};
use crate::{Result, load, preflight};

/// Rows, and how many requests on each connection are counted (on each stream of HTTP/2).
const ROWS: [(&str, usize); 5] = [
    ("get", 400),
    ("get-60k", 100),
    ("h2-get", 20),
    ("enrol", 200),
    ("new-ecdsa", 40),
];
/// As many that only fill caches and pools, or stand for all that is once per connection.
const FEW: usize = 20;
const CONNECTIONS: usize = 8;
/// For connections to close.
const SETTLE: Duration = Duration::from_millis(300);

/// What is counted. Valgrind does not know the instructions that a processor has for SHA-256 and the widest for AES, and
/// under it reading the clock is a system call: both stand apart.
#[derive(Clone, Copy)]
enum Column {
    Instructions,
    Cryptography,
    SystemCalls,
    ClockReadings,
}

/// A figure for each [`Column`].
type Count = [f64; 4];

/// Per request, by name of the row.
pub(crate) struct Counts(BTreeMap<String, Count>);

/// Runs `proxy` under callgrind with one worker.
///
/// # Errors
///
/// Valgrind is not installed, or an answer is not what it must be.
pub(crate) fn count(proxy: Proxy, dir: &Path, origin: &Origin, pki: &Pki) -> Result<Counts> {
    let files = dir.join("callgrind.out");
    let mut file_option = OsString::from("--callgrind-out-file=");
    file_option.push(&files);
    let tool = ["valgrind", "--tool=callgrind", "--collect-systime=yes"].map(OsString::from);
    let tool = tool.into_iter().chain([file_option]).collect();
    let running = proxy.under(tool).start(dir, origin.port, 1)?;
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
            ..scenario.ok_or("no such row")?
        };
        let count = callgrind
            .of_one(&scenario, requests, pki)
            .map_err(|e| format!("{name}: {e}\n{}", running.last_words()))?;
        counts.insert(name.to_owned(), count);
    }
    Ok(Counts(counts))
}

struct Callgrind<'a> {
    running: &'a Running,
    /// Where the dumps go, with `.1` and so on after it.
    files: &'a Path,
    dumps: usize,
}

impl Callgrind<'_> {
    /// One request more: many on each connection less few on as many, so that what comes once drops out.
    fn of_one(&mut self, scenario: &Scenario, requests: usize, pki: &Pki) -> Result<Count> {
        let mut send = |each: usize| {
            load::exactly(self.running.address, scenario, each, pki)?;
            thread::sleep(SETTLE);
            self.since_last()
        };
        send(FEW)?;
        let few = send(FEW)?;
        let many = send(FEW + requests)?;
        let requests = (requests * scenario.at_a_time()) as f64;
        Ok(std::array::from_fn(|i| (many[i] - few[i]) / requests))
    }

    /// All since the dump before, which sets the counters to zero.
    fn since_last(&mut self) -> Result<Count> {
        let vgdb = Command::new("vgdb")
            .arg(format!("--pid={}", self.running.pid()))
            .arg("dump")
            .output()?;
        if !vgdb.status.success() {
            let said = String::from_utf8_lossy(&vgdb.stderr);
            return Err(format!("vgdb: {said}").into());
        }
        self.dumps += 1;
        let path = self.files.with_extension(format!("out.{}", self.dumps));
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        fs::remove_file(&path)?;
        sum(&text).ok_or_else(|| "a dump of callgrind that cannot be read".into())
    }
}

/// Of all functions in a dump: <https://valgrind.org/docs/manual/cl-format.html>.
fn sum(dump: &str) -> Option<Count> {
    let mut sum = Count::default();
    let mut known = HashMap::new();
    let mut columns = [Column::Instructions, Column::SystemCalls];
    let mut lines = dump.lines();
    while let Some(line) = lines.next() {
        if let Some(function) = line.strip_prefix("fn=") {
            columns = columns_of(function, &mut known)?;
        } else if let Some(function) = line.strip_prefix("cfn=") {
            columns_of(function, &mut known)?;
        } else if line.starts_with("calls=") {
            // What the called function took: it stands with that function too.
            lines.next()?;
        } else if line.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)) {
            // Line of source, then the costs; zeros at the end may be left out.
            let costs = line.split_ascii_whitespace().skip(1);
            for (column, cost) in columns.into_iter().zip(costs) {
                sum[column as usize] += cost.parse::<f64>().ok()?;
            }
        }
    }
    Some(sum)
}

/// Where instructions and system calls of a function go. It is `(7) name` where it stands for the first time, then `(7)`.
fn columns_of<'a>(
    function: &'a str,
    known: &mut HashMap<&'a str, [Column; 2]>,
) -> Option<[Column; 2]> {
    let Some((number, name)) = function.split_once(' ') else {
        return known.get(function).copied();
    };
    let has = |part: &&str| name.contains(*part);
    let columns = if has(&"clock_gettime") {
        [Column::Instructions, Column::ClockReadings]
    } else if ["aws_lc_", "aesni", "ecp_nistz256"].iter().any(has) {
        [Column::Cryptography, Column::SystemCalls]
    } else {
        [Column::Instructions, Column::SystemCalls]
    };
    known.insert(number, columns);
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

    /// Instructions are many, calls are few.
    fn digits(self) -> usize {
        match self {
            Self::Instructions | Self::Cryptography => 0,
            Self::SystemCalls | Self::ClockReadings => 2,
        }
    }
}

impl Counts {
    /// As [`write`](Self::write) wrote them.
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
        let rows = rows.ok_or_else(|| format!("{}: not as --record writes it", path.display()))?;
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

    /// The table for people, with the ratio to `recorded` where it has the row.
    pub(crate) fn beside(&self, recorded: &Self) -> Result<String> {
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
                let beside = match then.map(|then| then[column as usize]) {
                    Some(then) => format!("{then:.digits$} ({:.3})", now / then),
                    None => "-".to_owned(),
                };
                write!(text, " {now:>12.digits$} {beside:<17}")?;
            }
        }
        Ok(text)
    }
}
