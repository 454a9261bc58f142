//! Whether the kernel's out-of-memory killer has been at work.
//!
//! It leaves no mark on the process that it ends: to whoever waits for that, its `SIGKILL` looks like
//! anybody's. But the kernel counts, for each memory control group and for the machine. So the count is
//! looked at when workers are started and again when one was killed.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use crate::per_process::PerProcess;

/// Where the kernel counts for this process: a file and the word that comes before the number.
type Counter = (PathBuf, &'static str);

static COUNTER: PerProcess<Option<Counter>> = PerProcess::new();
/// 1 + the kills that were there at first or that some death has been put down to; 0: nobody has looked.
static KNOWN: AtomicU64 = AtomicU64::new(0);

/// Notes how many processes have been ended so far for want of memory. Later calls change nothing.
pub fn begin_watching() {
    if KNOWN.load(Ordering::Relaxed) == 0 {
        let kills = kills().unwrap_or(0);
        let _ = KNOWN.compare_exchange(0, kills + 1, Ordering::Relaxed, Ordering::Relaxed);
    }
}

/// Whether a process has been ended for want of memory since [`begin_watching`] that no earlier call
/// has said yes for. `None` if the kernel does not tell.
#[must_use]
pub fn has_killed() -> Option<bool> {
    let now = kills()? + 1;
    let one_more = |known: u64| (known != 0 && known < now).then_some(known + 1);
    Some(KNOWN.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok())
}

/// How many processes of this one's memory control group have been ended for want of memory, or
/// of the whole machine if the group does not tell.
#[must_use]
pub fn kills() -> Option<u64> {
    let find = || counter(Path::new("/proc/self/cgroup"), Path::new("/sys/fs/cgroup"));
    let (file, word) = COUNTER.get_or_make(find).as_ref()?;
    read(file, word)
}

fn counter(groups: &Path, mount: &Path) -> Option<Counter> {
    let groups = fs::read_to_string(groups).unwrap_or_default();
    let of_line = |line: &str| {
        let mut fields = line.splitn(3, ':').skip(1);
        let (controllers, path) = (fields.next()?, fields.next()?.trim_start_matches('/'));
        match controllers {
            "" => Some(mount.join(path).join("memory.events")),
            several if several.split(',').any(|one| one == "memory") => {
                Some(mount.join("memory").join(path).join("memory.oom_control"))
            }
            _ => None,
        }
    };
    let files = groups.lines().filter_map(of_line).map(|file| (file, "oom_kill"));
    let machine = (PathBuf::from("/proc/vmstat"), "oom_kill");
    files.chain([machine]).find(|(file, word)| read(file, word).is_some())
}

fn read(file: &Path, word: &str) -> Option<u64> {
    let text = fs::read_to_string(file).ok()?;
    let number = |line: &str| line.strip_prefix(word)?.strip_prefix(' ')?.trim().parse().ok();
    text.lines().find_map(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_counter_of_the_own_group_is_found() -> std::io::Result<()> {
        let base = std::env::temp_dir().join(format!("phalanx-oom-{}", std::process::id()));
        let (mount, groups) = (base.join("mount"), base.join("cgroup"));
        let group = mount.join("memory/box");
        fs::create_dir_all(&group)?;
        fs::create_dir_all(mount.join("new"))?;
        fs::write(
            group.join("memory.oom_control"),
            "oom_kill_disable 0\nunder_oom 0\noom_kill 3\n",
        )?;
        fs::write(mount.join("new/memory.events"), "low 0\noom 9\noom_kill 5\noom_group_kill 0\n")?;
        let found = |line: &str| -> std::io::Result<Option<u64>> {
            fs::write(&groups, line)?;
            Ok(counter(&groups, &mount)
                .filter(|(file, _)| file.starts_with(&mount))
                .and_then(|(file, word)| read(&file, word)))
        };
        let results =
            (found("4:cpu:/x\n3:memory:/box\n")?, found("0::/new\n")?, found("0::/none\n")?);
        fs::remove_dir_all(&base)?;
        assert_eq!(results, (Some(3), Some(5), None));
        Ok(())
    }

    #[test]
    fn each_kill_explains_one_death() {
        begin_watching();
        let Some(before) = kills() else { return };
        assert_eq!(has_killed(), Some(false), "nothing has happened since");
        // As if three had been ended since the first look.
        KNOWN.store((before + 1).saturating_sub(3).max(1), Ordering::Relaxed);
        let expected = before.min(3);
        let explained = (0..5).filter(|_| has_killed() == Some(true)).count() as u64;
        assert_eq!(explained, expected);
    }
}
