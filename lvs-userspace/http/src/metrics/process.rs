//! The daemon's process, by the names that every client library gives these.

use std::fmt;
use std::fs;

use nix::sys::resource::{Resource, UsageWho, getrlimit, getrusage};
use nix::unistd::{SysconfVar, sysconf};

use super::encoder::{Families, NONE};

pub(super) fn encode(families: &mut Families<'_>) -> fmt::Result {
    if let Ok(usage) = getrusage(UsageWho::RUSAGE_SELF) {
        let times = [usage.user_time(), usage.system_time()];
        let seconds = times.map(|time| seconds(time.tv_sec(), time.tv_usec()));
        families.counters(
            "process_cpu_seconds",
            "Total user and system CPU time spent in seconds.",
            [(NONE, seconds[0] + seconds[1])],
        )?;
    }
    let open = fs::read_dir("/proc/self/fd").map_or(0, Iterator::count);
    families.gauges(
        "process_open_fds",
        "Number of open file descriptors.",
        [(NONE, open)],
    )?;
    if let Ok((most, _)) = getrlimit(Resource::RLIMIT_NOFILE) {
        families.gauges(
            "process_max_fds",
            "Maximum number of open file descriptors.",
            [(NONE, most)],
        )?;
    }
    if let Some((size, resident)) = memory() {
        families.gauges(
            "process_virtual_memory_bytes",
            "Virtual memory size in bytes.",
            [(NONE, size)],
        )?;
        families.gauges(
            "process_resident_memory_bytes",
            "Resident memory size in bytes.",
            [(NONE, resident)],
        )?;
    }
    if let Some(start) = start_time() {
        families.gauges(
            "process_start_time_seconds",
            "Start time of the process since unix epoch in seconds.",
            [(NONE, start)],
        )?;
    }
    Ok(())
}

#[expect(clippy::cast_precision_loss, reason = "times of a process are short")]
fn seconds(seconds: i64, micros: i64) -> f64 {
    seconds as f64 + micros as f64 / 1e6
}

fn system(variable: SysconfVar) -> Option<u64> {
    u64::try_from(sysconf(variable).ok()??).ok()
}

/// Virtual and resident memory in bytes.
fn memory() -> Option<(u64, u64)> {
    let page = system(SysconfVar::PAGE_SIZE)?;
    let text = fs::read_to_string("/proc/self/statm").ok()?;
    let mut pages = text.split(' ').map_while(|pages| pages.parse::<u64>().ok());
    Some((pages.next()? * page, pages.next()? * page))
}

/// Seconds since 1970 at which the process began: field 22 of its stat (proc_pid_stat(5)), in ticks since the boot.
#[expect(
    clippy::cast_precision_loss,
    reason = "a hundredth of a second is enough"
)]
fn start_time() -> Option<f64> {
    let stat = fs::read_to_string("/proc/self/stat").ok()?;
    // The name of the program, in parentheses, may have blanks.
    let (_, fields) = stat.rsplit_once(") ")?;
    let ticks: u64 = fields.split(' ').nth(19)?.parse().ok()?;
    let system_stat = fs::read_to_string("/proc/stat").ok()?;
    let boot = system_stat
        .lines()
        .find_map(|line| line.strip_prefix("btime "))?;
    let boot: u64 = boot.trim().parse().ok()?;
    Some(boot as f64 + ticks as f64 / system(SysconfVar::CLK_TCK)? as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_process_began_a_moment_ago_and_uses_memory() {
        let now = std::time::SystemTime::now()
            .duration_since(std::time::UNIX_EPOCH)
            .unwrap();
        let age = now.as_secs_f64() - start_time().unwrap();
        assert!((-2.0..3600.0).contains(&age), "{age}");
        let (size, resident) = memory().unwrap();
        assert!(size > resident && resident > 100_000);
    }
}
