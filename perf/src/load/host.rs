//! What the operating system tells of processes and of the machine (`proc(5)`; elsewhere than on Linux nothing is told).

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;

use crate::report::Machine;

/// Ticks a second of the times in `/proc`: `USER_HZ`, 100 on every Linux that this is built for.
const TICKS: f64 = 100.0;

/// A process at one moment.
#[derive(Debug, Clone, Default)]
pub(crate) struct Process {
    /// CPU time in user and in kernel mode, s.
    pub(crate) user: f64,
    pub(crate) kernel: f64,
    /// Resident memory, kB.
    pub(crate) memory_kb: u64,
    /// CPU time of all threads by name without number, s.
    pub(crate) threads: BTreeMap<String, f64>,
    pub(crate) switches: u64,
}

/// The machine at one moment, s of all cores together.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Cpu {
    pub(crate) idle: f64,
    pub(crate) all: f64,
}

impl Process {
    pub(crate) fn of(pid: u32) -> Option<Self> {
        let base = format!("/proc/{pid}");
        let (user, kernel) = times(&fs::read_to_string(format!("{base}/stat")).ok()?)?;
        let status = fs::read_to_string(format!("{base}/status")).ok()?;
        let mut process = Self { user, kernel, memory_kb: field(&status, "VmRSS:"), ..Self::default() };
        for task in fs::read_dir(format!("{base}/task")).ok()?.flatten() {
            let read = |name: &str| fs::read_to_string(task.path().join(name)).unwrap_or_default();
            let name = read("comm");
            let name = name.trim().trim_end_matches(|c: char| c.is_ascii_digit() || c == '-').to_owned();
            let (user, kernel) = times(&read("stat")).unwrap_or_default();
            *process.threads.entry(name).or_default() += user + kernel;
            let status = read("status");
            process.switches +=
                field(&status, "voluntary_ctxt_switches:") + field(&status, "nonvoluntary_ctxt_switches:");
        }
        Some(process)
    }

    pub(crate) fn cpu(&self) -> f64 {
        self.user + self.kernel
    }
}

impl Cpu {
    pub(crate) fn now() -> Self {
        let stat = fs::read_to_string("/proc/stat").unwrap_or_default();
        let ticks: Vec<f64> = stat
            .lines()
            .next()
            .unwrap_or_default()
            .split_whitespace()
            .skip(1)
            // Guest time is in user time already.
            .take(8)
            .filter_map(|word| word.parse().ok())
            .collect();
        let idle = ticks.get(3).unwrap_or(&0.0) + ticks.get(4).unwrap_or(&0.0);
        Self { idle: idle / TICKS, all: ticks.iter().sum::<f64>() / TICKS }
    }

    /// Percent of the machine that was idle since.
    pub(crate) fn idle_since(self, before: Self) -> f64 {
        100.0 * (self.idle - before.idle) / (self.all - before.all).max(1.0 / TICKS)
    }
}

/// Whether idle cores are kept from sleeping, by whomever: all who ask are heard through one device (kernel documentation
/// `power/pm_qos_interface`). `None` where it may not be read.
pub(crate) fn cores_awake() -> Option<bool> {
    let mut limit_us = [0; 4];
    File::open("/dev/cpu_dma_latency").ok()?.read_exact(&mut limit_us).ok()?;
    Some(i32::from_ne_bytes(limit_us) == 0)
}

/// User and kernel time in a `stat` line, s. The name in brackets may hold anything.
fn times(stat: &str) -> Option<(f64, f64)> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let mut next = || fields.next()?.parse::<f64>().ok().map(|ticks| ticks / TICKS);
    Some((next()?, next()?))
}

fn field(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

/// The machine as it calls itself.
pub(crate) fn machine() -> Machine {
    let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let cpu = cpuinfo.lines().find_map(|line| line.strip_prefix("model name")?.split_once(':'));
    let release = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    Machine {
        cpu: cpu.map_or_else(|| std::env::consts::ARCH.to_owned(), |(_, name)| name.trim().to_owned()),
        cores: std::thread::available_parallelism().map_or(1, usize::from),
        kernel: release.trim().to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stat_line_is_read_behind_its_name() {
        let line = "42 (a) b (c)) S 1 2 3 4 5 6 7 8 9 10 250 50 0 0 20 0 5 0 100 1000 200";
        assert_eq!(times(line), Some((2.5, 0.5)));
        assert_eq!(times("nonsense"), None);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn this_process_uses_memory_and_time() {
        let before = Process::of(std::process::id()).expect("this process is there");
        assert!(before.memory_kb > 1_000 && !before.threads.is_empty());
        let mut sum = 0_u64;
        while Process::of(std::process::id()).expect("it still is").cpu() <= before.cpu() {
            sum = std::hint::black_box((0..1_000_000).fold(sum, |a, b| a.wrapping_mul(31).wrapping_add(b)));
        }
        assert!(Cpu::now().all > 0.0);
    }
}
