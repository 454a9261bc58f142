//! Removing what killed processes left behind.

use std::fs;

use super::layout::Layout;
use super::lock::{Attempt, KeyLock};

/// Removes lock files that nobody holds, and with them what was being written under them; returns how
/// many. Whatever cannot be removed stays for the next time.
pub(super) fn sweep(layout: &Layout) -> usize {
    let Ok(files) = fs::read_dir(layout.work()) else { return 0 };
    let mut swept = 0;
    for file in files.flatten() {
        // Who has the lock may write the part, so a part alone is taken by way of its lock as well. To
        // drop the lock removes both.
        let path = file.path().with_extension("lock");
        if let Ok(Attempt::Locked(_lock)) = KeyLock::attempt(&path) {
            swept += 1;
        }
    }
    swept
}
