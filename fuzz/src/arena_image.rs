//! A file that claims to be an arena: it is refused, or used without leaving its bounds.

use std::fs::File;
use std::io::Write as _;
use std::os::fd::{FromRawFd, OwnedFd};

use phalanx_shm::arena::Arena;
use phalanx_shm::family::Family;

use crate::Bytes;
use crate::tolerant::tolerant;

/// How much of a sound arena's beginning is kept; the fuzzer's bytes are laid over it.
const BEGINNING: usize = 4096;

/// A sealed file with these bytes at its beginning.
fn file(bytes: &[u8], len: u64) -> Option<OwnedFd> {
    // SAFETY: a name that ends in zero, and flags.
    let raw = unsafe {
        libc::memfd_create(c"fuzz".as_ptr(), libc::MFD_CLOEXEC | libc::MFD_ALLOW_SEALING)
    };
    assert!(raw >= 0, "no file for the image");
    // SAFETY: just made, and nobody else's.
    let mut file = unsafe { File::from_raw_fd(raw) };
    file.write_all(bytes).ok()?;
    file.set_len(len).ok()?;
    // SAFETY: an open descriptor and flags.
    unsafe { libc::fcntl(raw, libc::F_ADD_SEALS, libc::F_SEAL_SHRINK | libc::F_SEAL_GROW) };
    Some(file.into())
}

/// Takes the bytes for: the length of the file, whether it begins as a sound arena does, and what is laid
/// over that.
pub fn run(data: &[u8]) {
    let mut bytes = Bytes(data);
    let family = Family::get().expect("an arena");
    let sound = family.arena();
    let mut image = vec![0; BEGINNING];
    let is_sound = bytes.byte() % 4 != 0;
    let fd = family.arena_fd().try_clone_to_owned().expect("a descriptor");
    let whole = File::from(fd).metadata().expect("a length").len();
    if is_sound {
        for (n, word) in image.chunks_exact_mut(8).enumerate() {
            word.copy_from_slice(&sound.read_word(n as u64 * 8).to_le_bytes());
        }
    }
    let len = match bytes.byte() % 4 {
        0 => u64::from(bytes.short()),
        1 => bytes.word() >> 20,
        _ => whole,
    };
    while !bytes.is_empty() {
        let at = usize::from(bytes.short()) % (BEGINNING / 8) * 8;
        let old = u64::from_le_bytes(std::array::from_fn(|n| image[at + n]));
        image[at..at + 8].copy_from_slice(&bytes.damage(old).to_le_bytes());
    }
    image.truncate(len.min(BEGINNING as u64) as usize);
    let Some(fd) = file(&image, len) else { return };
    let Ok(arena) = Arena::attach(fd) else { return };
    tolerant(|| _ = arena.committed_bytes());
    // What looks at every chunk takes as long as there are chunks: with a damaged count of them, as long
    // as the arena is large.
    for offset in [0, 64, 4096, u64::MAX, whole, whole / 2, 1 << 40] {
        tolerant(|| {
            if let Some(chunk) = arena.chunk_at(offset) {
                let _ = arena.state_of(chunk);
                assert!(chunk.offset() + chunk.capacity() as u64 <= len, "a chunk outside");
            }
        });
    }
    tolerant(|| arena.table().ids().for_each(|id| _ = arena.table().life(id)));
}
