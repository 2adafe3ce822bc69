//! CPU time and memory of processes, read from `/proc`. `measure` calls it before and after each
//! load.

use std::collections::HashMap;
use std::fs;
use std::time::Duration;

use crate::Result;

/// `USER_HZ`, the unit of times in `/proc`: 100 on every architecture of Debian's Linux.
const TICKS_PER_SECOND: u64 = 100;

/// Returns the user and system time of `pid` and of all its descendants.
pub(crate) fn cpu_of_tree(pid: u32) -> Result<Duration> {
    tree(pid)?.into_iter().map(cpu).sum()
}

/// Returns the user and system time of all threads of `pid`, without its descendants.
pub(crate) fn cpu(pid: u32) -> Result<Duration> {
    let stat = Stat::read(pid)?;
    Ok(ticks(stat.user + stat.system))
}

/// Returns the memory of `pid` and of all its descendants in KB. The unit is PSS: a page that n
/// processes share counts as 1/n in each.
pub(crate) fn memory_of_tree(pid: u32) -> Result<u64> {
    tree(pid)?.into_iter().map(memory).sum()
}

/// Returns the time since boot that all cores together were not idle.
pub(crate) fn machine_busy() -> Result<Duration> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().unwrap_or_default();
    let fields: Vec<u64> = line
        .split_ascii_whitespace()
        .skip(1)
        .map_while(|field| field.parse().ok())
        .collect();
    // proc_stat(5): user nice system idle iowait irq softirq steal, then guest times, which user
    // and nice already include.
    let [user, nice, system, _, _, irq, softirq, ..] = fields[..] else {
        return Err("the first line of /proc/stat has too few values".into());
    };
    Ok(ticks(user + nice + system + irq + softirq))
}

/// Returns processor model, number of cores and kernel version.
pub(crate) fn machine() -> Result<String> {
    let text = fs::read_to_string("/proc/cpuinfo")?;
    let model = text
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(": "))
        .map_or("processor unknown", |(_, model)| model);
    let cores = std::thread::available_parallelism()?;
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    Ok(format!("{model}, {cores} cores, Linux {}", kernel.trim()))
}

/// Returns `pid` and all its descendants.
pub(crate) fn tree(pid: u32) -> Result<Vec<u32>> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")? {
        let Some(other) = entry?.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        // A process may exit between the listing and the read.
        if let Ok(stat) = Stat::read(other) {
            children.entry(stat.parent).or_default().push(other);
        }
    }
    let mut found = vec![pid];
    let mut next = 0;
    while let Some(parent) = found.get(next) {
        found.extend(children.remove(parent).unwrap_or_default());
        next += 1;
    }
    Ok(found)
}

fn memory(pid: u32) -> Result<u64> {
    let path = format!("/proc/{pid}/smaps_rollup");
    let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
    text.lines()
        .find_map(|line| line.strip_prefix("Pss:")?.trim().strip_suffix("kB"))
        .and_then(|number| number.trim().parse().ok())
        .ok_or_else(|| format!("{path}: no line `Pss:`").into())
}

struct Stat {
    parent: u32,
    user: u64,
    system: u64,
}

impl Stat {
    /// Reads `/proc/PID/stat`, see proc_pid_stat(5).
    fn read(pid: u32) -> Result<Self> {
        let path = format!("/proc/{pid}/stat");
        let text = fs::read_to_string(&path).map_err(|e| format!("{path}: {e}"))?;
        Self::parse(&text).ok_or_else(|| format!("{path}: unexpected format").into())
    }

    fn parse(text: &str) -> Option<Self> {
        // The name in brackets may itself contain spaces and brackets. The third field follows the
        // last bracket.
        let (_, rest) = text.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
        Some(Self {
            parent: field(4)?.try_into().ok()?,
            user: field(14)?,
            system: field(15)?,
        })
    }
}

fn ticks(count: u64) -> Duration {
    Duration::from_millis(count * (1000 / TICKS_PER_SECOND))
}
