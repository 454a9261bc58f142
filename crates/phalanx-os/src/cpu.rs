//! How many processors this process may use, and how many the machine has.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The number of processors that this process can keep busy: the smallest of its affinity mask
/// and the processor-time quotas of its control group and of every group above it, rounded up.
///
/// The environment variable `PHALANX_CPU_COUNT` takes the place of all of that.
#[must_use]
pub fn usable() -> usize {
    given().unwrap_or_else(|| {
        let quota = quota(Path::new("/proc/self")).unwrap_or(usize::MAX);
        affinity().len().min(quota).max(1)
    })
}

/// The number that the environment variable `PHALANX_CPU_COUNT` gives, if it gives one.
#[must_use]
pub fn given() -> Option<usize> {
    let text = std::env::var("PHALANX_CPU_COUNT").ok()?;
    text.trim().parse().ok().filter(|&count| count > 0)
}

/// The number of physical cores among the processors that this process may run on, limited by
/// the quota as [`usable`] is. Where the machine does not tell its topology, the same number.
#[must_use]
pub fn physical() -> usize {
    let mut cores = BTreeSet::new();
    for cpu in affinity() {
        let path = format!("/sys/devices/system/cpu/cpu{cpu}/topology/thread_siblings_list");
        match fs::read_to_string(path) {
            Ok(siblings) => cores.insert(siblings.trim().to_owned()),
            Err(_) => return usable(),
        };
    }
    cores.len().clamp(1, usable())
}

/// The numbers of the processors in the calling thread's affinity mask.
fn affinity() -> Vec<usize> {
    match rustix::thread::sched_getaffinity(None) {
        Ok(set) => (0..rustix::thread::CpuSet::MAX_CPU).filter(|&cpu| set.is_set(cpu)).collect(),
        Err(_) => {
            (0..std::thread::available_parallelism().map_or(1, std::num::NonZero::get)).collect()
        }
    }
}

/// The smallest quota along the path of the process's control groups, versions 1 and 2.
/// `process` is its folder in `/proc`.
fn quota(process: &Path) -> Option<usize> {
    let groups = fs::read_to_string(process.join("cgroup")).ok()?;
    let mounts = fs::read_to_string(process.join("mountinfo")).ok()?;
    let mut smallest: Option<f64> = None;
    for line in groups.lines() {
        let mut fields = line.splitn(3, ':');
        let (Some(_), Some(controllers), Some(path)) =
            (fields.next(), fields.next(), fields.next())
        else {
            continue;
        };
        let v2 = controllers.is_empty();
        if !v2 && !controllers.split(',').any(|c| c == "cpu") {
            continue;
        }
        let Some((mount, root)) = find_mount(&mounts, v2) else { continue };
        // Without a namespace of its own the process sees its path from the host's root, of
        // which the mount shows only the part below `root`.
        let below = path.strip_prefix(root.trim_end_matches('/')).unwrap_or("");
        let leaf = mount.join(below.trim_start_matches('/'));
        for folder in leaf.ancestors().take_while(|f| f.starts_with(&mount)) {
            let here = if v2 { quota_v2(folder) } else { quota_v1(folder) };
            smallest = match (smallest, here) {
                (Some(a), Some(b)) => Some(a.min(b)),
                (a, b) => a.or(b),
            };
        }
    }
    smallest.map(|q| (q.ceil() as usize).max(1))
}

/// Where the file system of control groups is mounted, and which part of it: fields 5 and 4.
fn find_mount(mountinfo: &str, v2: bool) -> Option<(PathBuf, &str)> {
    for line in mountinfo.lines() {
        let (left, right) = line.split_once(" - ")?;
        let mut left = left.split(' ').skip(3);
        let (root, point) = (left.next()?, left.next()?);
        let mut right = right.split(' ');
        let (kind, options) = (right.next()?, right.nth(1).unwrap_or(""));
        let found = if v2 {
            kind == "cgroup2"
        } else {
            kind == "cgroup" && options.split(',').any(|o| o == "cpu")
        };
        if found {
            return Some((PathBuf::from(point), root));
        }
    }
    None
}

fn quota_v2(folder: &Path) -> Option<f64> {
    let text = fs::read_to_string(folder.join("cpu.max")).ok()?;
    let mut words = text.split_whitespace();
    let quota: f64 = words.next()?.parse().ok()?;
    let period: f64 = words.next()?.parse().ok()?;
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

fn quota_v1(folder: &Path) -> Option<f64> {
    let read = |name: &str| -> Option<f64> {
        fs::read_to_string(folder.join(name)).ok()?.trim().parse().ok()
    };
    let (quota, period) = (read("cpu.cfs_quota_us")?, read("cpu.cfs_period_us")?);
    (quota > 0.0 && period > 0.0).then(|| quota / period)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lays out a folder that looks like `/proc/self` and a tree of groups beside it.
    fn machine(name: &str, cgroup: &str, mount: &str, files: &[(&str, &str)]) -> PathBuf {
        let base = std::env::temp_dir().join(format!("phalanx-cpu-{name}-{}", std::process::id()));
        let point = base.join("groups");
        let write = |path: PathBuf, text: &str| {
            let parent = path.parent().map_or(Ok(()), fs::create_dir_all);
            assert!(parent.and_then(|()| fs::write(&path, text)).is_ok(), "{}", path.display());
        };
        write(base.join("cgroup"), cgroup);
        write(base.join("mountinfo"), &mount.replace("POINT", &point.to_string_lossy()));
        for (path, text) in files {
            write(point.join(path), text);
        }
        base
    }

    fn quota_of(base: &Path) -> Option<usize> {
        let result = quota(base);
        let _ = fs::remove_dir_all(base);
        result
    }

    const V2: &str = "30 23 0:26 / POINT rw - cgroup2 cgroup2 rw\n";

    #[test]
    fn the_smallest_quota_above_a_group_counts() {
        let files = [
            ("cpu.max", "max 100000"),
            ("a/cpu.max", "150000 100000"),
            ("a/b/cpu.max", "800000 100000"),
        ];
        assert_eq!(quota_of(&machine("above", "0::/a/b\n", V2, &files)), Some(2));
    }

    #[test]
    fn no_limit_is_none() {
        assert_eq!(quota_of(&machine("none", "0::/a\n", V2, &[("a/cpu.max", "max 100000")])), None);
    }

    #[test]
    fn a_group_seen_from_the_host_is_found_below_the_mount() {
        let mount = V2.replace(" / ", " /docker/x ");
        let files = [("cpu.max", "300000 100000")];
        let base = machine("host", "0::/docker/x\n", &mount, &files);
        assert_eq!(quota_of(&base), Some(3));
    }

    #[test]
    fn version_one_counts_too() {
        let mount = "31 23 0:27 / POINT rw - cgroup cgroup rw,cpu,cpuacct\n";
        let files = [
            ("j/cpu.cfs_quota_us", "50000"),
            ("j/cpu.cfs_period_us", "100000"),
            ("cpu.cfs_quota_us", "-1"),
            ("cpu.cfs_period_us", "100000"),
        ];
        let base = machine("one", "4:cpu,cpuacct:/j\n3:memory:/k\n", mount, &files);
        assert_eq!(quota_of(&base), Some(1));
    }

    #[test]
    fn there_is_always_a_processor() {
        assert!(usable() >= 1);
        assert!((1..=usable()).contains(&physical()));
    }
}
