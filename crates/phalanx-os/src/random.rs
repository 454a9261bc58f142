//! Random bytes that nobody can foretell: `getrandom(2)`.

use std::io;

use rustix::rand::{GetRandomFlags, getrandom};

/// Fills a buffer with random bytes.
///
/// # Errors
/// The kernel's refusal.
pub fn fill(mut buffer: &mut [u8]) -> io::Result<()> {
    while !buffer.is_empty() {
        match getrandom(&mut *buffer, GetRandomFlags::empty()) {
            Ok(done) => buffer = &mut buffer[done..],
            Err(rustix::io::Errno::INTR) => {}
            Err(e) => return Err(e.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn two_fills_differ() -> std::io::Result<()> {
        let (mut one, mut other) = ([0; 32], [0; 32]);
        super::fill(&mut one)?;
        super::fill(&mut other)?;
        assert_ne!(one, other);
        Ok(())
    }
}
