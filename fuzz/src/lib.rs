//! What reads bytes that another process wrote, given arbitrary ones.
//!
//! Each module is a target: a function that takes any bytes and must return, in time, with everything else
//! as it was. Errors are what is expected. A panic is allowed only where the module says so, with the words
//! by which phalanx reports damaged shared memory.
//!
//! `scripts/fuzz` runs all targets, with libFuzzer or with the plain driver in `main.rs`.

pub mod arena_image;
pub mod containers_image;
pub mod frame;
pub mod heap;
pub mod manager;
pub mod ring_image;
pub mod tolerant;
pub mod wire;

/// All targets by name.
pub const TARGETS: [(&str, fn(&[u8])); 6] = [
    ("frame", frame::run),
    ("wire", wire::run),
    ("ring_image", ring_image::run),
    ("containers_image", containers_image::run),
    ("arena_image", arena_image::run),
    ("manager", manager::run),
];

/// Numbers out of the fuzzer's bytes, zeros when they are used up.
pub struct Bytes<'a>(pub &'a [u8]);

impl Bytes<'_> {
    /// Whether any are left.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next byte.
    pub fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// The next number of two bytes.
    pub fn short(&mut self) -> u16 {
        u16::from_le_bytes([self.byte(), self.byte()])
    }

    /// The next number of eight bytes.
    pub fn word(&mut self) -> u64 {
        u64::from_le_bytes(std::array::from_fn(|_| self.byte()))
    }

    /// A word as damage may leave it: anything, something small, nearly what was there, or nothing.
    pub fn damage(&mut self, old: u64) -> u64 {
        match self.byte() % 4 {
            0 => self.word(),
            1 => u64::from(self.short()),
            2 => old ^ (1 << (self.byte() % 64)),
            _ => 0,
        }
    }
}
