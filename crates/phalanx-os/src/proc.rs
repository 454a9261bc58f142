//! What `/proc` says of a process and of the machine's memory.

use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};

use crate::per_process::PerProcess;

/// The start time of a process, in clock ticks since boot: with the pid it names a process
/// uniquely, although pids are used again. `None` if there is no such process.
///
/// Allocates nothing, so that it can be called between `fork` and `exec`.
#[must_use]
pub fn start_time(pid: u32) -> Option<u64> {
    stat_field(pid, 22)
}

/// The parent of a process; `None` if there is no such process, or its parent cannot be seen from here.
#[must_use]
pub fn parent(pid: u32) -> Option<u32> {
    u32::try_from(stat_field(pid, 4)?).ok().filter(|&parent| parent != 0)
}

/// A field of `/proc/PID/stat` that is a number, counted from 1; allocates nothing.
fn stat_field(pid: u32, number: usize) -> Option<u64> {
    let mut path = [0u8; 32];
    let len = {
        use std::io::Write;
        let mut cursor = &mut path[..];
        write!(cursor, "/proc/{pid}/stat").ok()?;
        32 - cursor.len()
    };
    let path = std::str::from_utf8(&path[..len]).ok()?;
    let mut stat = [0u8; 1024];
    let len = File::open(path).ok()?.read(&mut stat).ok()?;
    parse_field(&stat[..len], number)
}

/// Fields count from 1; the second, the program's name, may contain blanks and brackets.
fn parse_field(stat: &[u8], number: usize) -> Option<u64> {
    let after_name = stat.iter().rposition(|&b| b == b')')? + 2;
    let field = stat.get(after_name..)?.split(|&b| b == b' ').nth(number.checked_sub(3)?)?;
    std::str::from_utf8(field).ok()?.parse().ok()
}

/// Bytes of memory that the system could still hand out to this process without swapping: of the machine
/// (`MemAvailable`), or of its control groups, if that is less.
#[must_use]
pub fn memory_available() -> Option<u64> {
    let machine = meminfo("MemAvailable:");
    let rooms = LIMITED.get_or_make(|| {
        let groups = memory_groups().into_iter();
        groups.filter(|group| group.limit().is_some()).collect()
    });
    rooms.iter().filter_map(Group::room).chain(machine).min()
}

static LIMITED: PerProcess<Vec<Group>> = PerProcess::new();

/// A memory control group: the folder with its files, and their names.
struct Group {
    folder: PathBuf,
    is_old: bool,
}

impl Group {
    /// What it may use, if it is limited at all: version 1 says so with a very large number.
    fn limit(&self) -> Option<u64> {
        let file = if self.is_old { "memory.limit_in_bytes" } else { "memory.max" };
        self.number(file).filter(|limit| *limit < 1 << 60)
    }

    /// What it could still use: of what it uses, file pages that lie idle can be had back.
    fn room(&self) -> Option<u64> {
        let (file, idle) = match self.is_old {
            true => ("memory.usage_in_bytes", "total_inactive_file "),
            false => ("memory.current", "inactive_file "),
        };
        let stat = fs::read_to_string(self.folder.join("memory.stat")).ok()?;
        let idle = stat.lines().find_map(|line| line.strip_prefix(idle)?.parse().ok()).unwrap_or(0);
        Some((self.limit()? + idle).saturating_sub(self.number(file)?))
    }

    fn number(&self, file: &str) -> Option<u64> {
        fs::read_to_string(self.folder.join(file)).ok()?.trim().parse().ok()
    }
}

/// The memory control groups that the process is in, and all above them, as far as they can be seen.
fn memory_groups() -> Vec<Group> {
    let mut found = Vec::new();
    for line in fs::read_to_string("/proc/self/cgroup").unwrap_or_default().lines() {
        let mut fields = line.splitn(3, ':').skip(1);
        let (Some(controllers), Some(path)) = (fields.next(), fields.next()) else { continue };
        let is_old = controllers.split(',').any(|one| one == "memory");
        let root = match controllers {
            "" => "/sys/fs/cgroup",
            _ if is_old => "/sys/fs/cgroup/memory",
            _ => continue,
        };
        let leaf = Path::new(root).join(path.trim_start_matches('/'));
        let folders = leaf.ancestors().take_while(|folder| folder.starts_with(root));
        found.extend(folders.map(|folder| Group { folder: folder.to_owned(), is_old }));
    }
    found
}

/// Bytes of memory of the machine (`MemTotal`).
#[must_use]
pub fn memory_total() -> Option<u64> {
    meminfo("MemTotal:")
}

/// The lowest memory limit of the control groups that the process is in (v2 `memory.max` or v1
/// `memory.limit_in_bytes`, all ancestors included), in bytes.
#[must_use]
pub fn memory_cgroup_limit() -> Option<u64> {
    memory_groups().iter().filter_map(Group::limit).min()
}

/// Sends `signal` to the calling process itself.
pub fn raise(signal: i32) {
    if let Some(signal) = rustix::process::Signal::from_named_raw(signal) {
        let _ = rustix::process::kill_process(rustix::process::getpid(), signal);
    }
}

/// The number of the user whose rights the calling process has.
#[must_use]
pub fn effective_user() -> u32 {
    rustix::process::geteuid().as_raw()
}

/// Sends `signal` to the process `pid`. Only for a child that the caller has not reaped: another
/// process may have got the pid otherwise.
pub fn kill(pid: u32, signal: i32) {
    let signal = rustix::process::Signal::from_named_raw(signal);
    let pid = rustix::process::Pid::from_raw(pid.cast_signed());
    if let (Some(pid), Some(signal)) = (pid, signal) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// Sends `signal` to all processes of the group of `leader`, a child that the caller has not reaped: as
/// long as that is so the number is no other group's. Returns whether there was any.
#[must_use]
pub fn kill_group(leader: u32, signal: i32) -> bool {
    let signal = rustix::process::Signal::from_named_raw(signal);
    let leader = rustix::process::Pid::from_raw(leader.cast_signed());
    match (leader, signal) {
        (Some(leader), Some(signal)) => rustix::process::kill_process_group(leader, signal).is_ok(),
        _ => false,
    }
}

fn meminfo(key: &str) -> Option<u64> {
    let text = std::fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find(|l| l.starts_with(key))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_time_survives_names_with_brackets() {
        let stat = b"7 (a) b) S 1 7 7 0 -1 4194560 1 2 3 4 5 6 7 8 20 0 1 0 12345 99 1";
        assert_eq!(parse_field(stat, 22), Some(12345));
    }

    #[test]
    fn own_start_time_is_stable() {
        let pid = std::process::id();
        assert!(start_time(pid).is_some());
        assert_eq!(start_time(pid), start_time(pid));
        assert_eq!(start_time(u32::MAX - 1), None);
    }
}
