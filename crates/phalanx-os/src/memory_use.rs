//! How much memory the calling process has in use.

use rustix::process::{Resource, getrlimit};

/// The memory of a process, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MemoryUse {
    /// Addresses that it has asked for, whether there is anything at them or not.
    pub mapped: u64,
    /// What is in memory of that, and nobody else's: neither shared memory nor files.
    pub own: u64,
}

/// The memory of the calling process (`/proc/self/statm`); `None` where the kernel does not tell.
#[must_use]
pub fn memory_use() -> Option<MemoryUse> {
    parse(&std::fs::read("/proc/self/statm").ok()?)
}

fn parse(statm: &[u8]) -> Option<MemoryUse> {
    let page = rustix::param::page_size() as u64;
    let mut pages = std::str::from_utf8(statm).ok()?.split_ascii_whitespace();
    let mut bytes = || pages.next()?.parse::<u64>().ok().map(|pages| pages * page);
    let (mapped, resident, shared) = (bytes()?, bytes()?, bytes()?);
    Some(MemoryUse { mapped, own: resident.saturating_sub(shared) })
}

/// How many addresses the process may ask for (`RLIMIT_AS`), in bytes; `None` if it is not limited.
#[must_use]
pub fn address_limit() -> Option<u64> {
    getrlimit(Resource::As).current
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_in_use_is_counted() {
        let before = memory_use().expect("the kernel tells");
        assert!(before.own > 0 && before.mapped >= before.own);
        let ballast = std::hint::black_box(vec![1u8; 64 << 20]);
        let after = memory_use().expect("the kernel tells");
        drop(ballast);
        assert!(after.own > before.own + (48 << 20), "{before:?} {after:?}");
        assert!(after.mapped > before.mapped + (48 << 20), "{before:?} {after:?}");
    }

    #[test]
    fn what_cannot_be_read_is_not_guessed() {
        assert_eq!(parse(b""), None);
        assert_eq!(parse(b"12"), None);
        assert_eq!(parse(b"12 4"), None);
        assert_eq!(parse(b"12 4 many"), None);
        let page = rustix::param::page_size() as u64;
        let expected = MemoryUse { mapped: 12 * page, own: 3 * page };
        assert_eq!(parse(b"12 4 1 5\n"), Some(expected));
    }
}
