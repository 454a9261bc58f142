//! Reading and writing the bytes of chunks.

use std::io;

use phalanx_os::memory::PrivateView;

use super::{Arena, Chunk};

/// Said of offsets and lengths from shared memory that cannot be.
const OUTSIDE: &str = "outside the arena or the chunk: some process has written over shared memory";

impl Arena {
    /// Copies bytes into a chunk. Panics when they do not fit.
    ///
    /// The caller must be the only one who uses that part of the chunk now: its owner, or who
    /// holds the lock of the structure it is a part of.
    pub fn write(&self, chunk: Chunk, at: usize, bytes: &[u8]) {
        assert!(
            at.checked_add(bytes.len()).is_some_and(|end| end <= chunk.capacity()),
            "{OUTSIDE}"
        );
        // SAFETY: in bounds of the chunk, hence of the region; by the caller's right nobody else
        // reads or writes these bytes now. If this process dies here they are garbage, and no
        // word that would publish them has been written.
        #[allow(unsafe_code)]
        unsafe {
            let to = self.region.base().add(chunk.offset() as usize + at);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to, bytes.len());
        }
    }

    /// Writes a word and, right behind it, bytes. The same right is needed as for
    /// [`Arena::write`].
    #[inline]
    pub fn write_record(&self, offset: u64, word: u64, bytes: &[u8]) {
        let at = offset as usize;
        assert!(
            at.checked_add(8 + bytes.len()).is_some_and(|end| end <= self.region.len()),
            "{OUTSIDE}"
        );
        // SAFETY: in bounds; nobody else uses these bytes now. If this process dies here they are
        // garbage that no word publishes.
        #[allow(unsafe_code)]
        unsafe {
            let to = self.region.base().add(at);
            to.cast::<u64>().write_unaligned(word);
            std::ptr::copy_nonoverlapping(bytes.as_ptr(), to.add(8), bytes.len());
        }
    }

    /// Reads a word. The same right is needed as for [`Arena::write`].
    #[inline]
    #[must_use]
    pub fn read_word(&self, offset: u64) -> u64 {
        let at = offset as usize;
        assert!(at.checked_add(8).is_some_and(|end| end <= self.region.len()), "{OUTSIDE}");
        // SAFETY: in bounds; every bit pattern is a word.
        #[allow(unsafe_code)]
        unsafe {
            self.region.base().add(at).cast::<u64>().read_unaligned()
        }
    }

    /// Appends bytes to `out`. The same right is needed as for [`Arena::write`].
    #[inline]
    pub fn read_bytes(&self, offset: u64, len: usize, out: &mut Vec<u8>) {
        let at = offset as usize;
        assert!(at.checked_add(len).is_some_and(|end| end <= self.region.len()), "{OUTSIDE}");
        out.reserve(len);
        // SAFETY: in bounds; the destination has been reserved.
        #[allow(unsafe_code)]
        unsafe {
            let from = self.region.base().add(at);
            std::ptr::copy_nonoverlapping(from, out.as_mut_ptr().add(out.len()), len);
            out.set_len(out.len() + len);
        }
    }

    /// Whether these bytes lie at `offset`. The same right is needed as for [`Arena::write`].
    #[inline]
    #[must_use]
    pub fn is_equal(&self, offset: u64, bytes: &[u8]) -> bool {
        let at = offset as usize;
        assert!(
            at.checked_add(bytes.len()).is_some_and(|end| end <= self.region.len()),
            "{OUTSIDE}"
        );
        // SAFETY: in bounds; by the caller's right nobody writes there now, and a process that died
        // has left some bytes there, any of which are valid.
        #[allow(unsafe_code)]
        let there = unsafe { std::slice::from_raw_parts(self.region.base().add(at), bytes.len()) };
        there == bytes
    }

    /// Copies `len` bytes from `from` into a chunk. Panics when they do not fit. The same right is
    /// needed as for [`Arena::write`], for both places.
    pub fn copy(&self, from: u64, chunk: Chunk, at: usize, len: usize) {
        let from = from as usize;
        assert!(from.checked_add(len).is_some_and(|end| end <= self.region.len()), "{OUTSIDE}");
        assert!(at.checked_add(len).is_some_and(|end| end <= chunk.capacity()), "{OUTSIDE}");
        // SAFETY: both in bounds; places that overlap are allowed here. If this process dies here
        // the chunk's bytes are garbage, and no word that would publish them has been written.
        #[allow(unsafe_code)]
        unsafe {
            let base = self.region.base();
            std::ptr::copy(base.add(from), base.add(chunk.offset() as usize + at), len);
        }
    }

    /// Tells the processor that bytes will be read soon. It may ignore that; nothing is read.
    #[inline]
    pub fn prefetch(&self, offset: u64, len: usize) {
        let at = offset as usize;
        if at.checked_add(len).is_none_or(|end| end > self.region.len()) {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        for line in (0..len).step_by(64) {
            use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
            // SAFETY: a prefetch has no effect on memory or on registers, and does not fault; the
            // address is in bounds besides. A death here leaves nothing.
            #[allow(unsafe_code)]
            unsafe {
                _mm_prefetch::<_MM_HINT_T0>(self.region.base().add(at + line).cast());
            }
        }
    }

    /// The same for a line that will be written.
    #[inline]
    pub fn prefetch_to_write(&self, offset: u64) {
        let at = offset as usize;
        if at >= self.region.len() {
            return;
        }
        #[cfg(target_arch = "x86_64")]
        // SAFETY: as above. Processors that do not know the instruction take it for none.
        #[allow(unsafe_code)]
        unsafe {
            std::arch::asm!("prefetchw [{}]", in(reg) self.region.base().add(at),
                options(nostack, preserves_flags, readonly));
        }
    }

    /// Fills the first `len` bytes of a chunk with zeros. The same right is needed as for
    /// [`Arena::write`].
    pub fn clear(&self, chunk: Chunk, len: usize) {
        assert!(len <= chunk.capacity(), "{OUTSIDE}");
        // SAFETY: in bounds of the chunk; the caller is the only one who uses it.
        #[allow(unsafe_code)]
        unsafe {
            self.region.base().add(chunk.offset() as usize).write_bytes(0, len);
        }
    }

    /// A private copy-on-write view of bytes that nobody writes any more; `offset` is a multiple of
    /// the page size.
    ///
    /// # Errors
    /// When the kernel refuses the address space.
    pub fn private_view(&self, offset: u64, len: usize) -> io::Result<PrivateView> {
        self.region.private_view(offset as usize, len)
    }

    /// The address of the byte at `offset` in this process.
    #[must_use]
    pub fn address_of(&self, offset: u64) -> *mut u8 {
        assert!((offset as usize) < self.region.len(), "{OUTSIDE}");
        self.region.base().wrapping_add(offset as usize)
    }

    /// The address of a chunk's bytes in this process.
    #[must_use]
    pub fn address(&self, chunk: Chunk) -> *mut u8 {
        self.region.base().wrapping_add(chunk.offset() as usize)
    }
}
