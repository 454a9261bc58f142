//! Numbers in a block of shared memory.

use std::io;
use std::marker::PhantomData;

use phalanx_shm::family::Family;

use super::Number;
use crate::sync::CreateError;
use crate::value::Block;

/// Some numbers of one type, one behind the other.
#[derive(Debug)]
pub(super) struct Cells<T> {
    block: Block,
    kind: PhantomData<fn() -> T>,
}

impl<T: Number> Cells<T> {
    const SIZE: usize = std::mem::size_of::<T>();

    pub(super) fn new(len: usize) -> Result<Self, CreateError> {
        let bytes = len.checked_mul(Self::SIZE).ok_or(CreateError::Value("an array that long"))?;
        Ok(Self { block: Block::new(bytes)?, kind: PhantomData })
    }

    pub(super) fn from_offset(offset: u64) -> Result<Self, CreateError> {
        let block = Block::from_offset(Family::get()?, offset)?;
        Ok(Self { block, kind: PhantomData })
    }

    pub(super) fn share(&self) -> u64 {
        self.block.share()
    }

    pub(super) fn len(&self) -> usize {
        self.block.len() / Self::SIZE
    }

    /// The numbers from `first` on, as many as `count` but not more than there are.
    pub(super) fn read(&self, first: usize, count: usize) -> Vec<T> {
        let mut numbers = vec![T::zeroed(); count.min(self.len().saturating_sub(first))];
        self.block.read(first * Self::SIZE, bytemuck::cast_slice_mut(&mut numbers));
        numbers
    }

    /// One number, if there is one.
    #[inline]
    pub(super) fn get(&self, index: usize) -> Option<T> {
        let mut number = T::zeroed();
        (index < self.len()).then(|| {
            self.block.read(index * Self::SIZE, bytemuck::bytes_of_mut(&mut number));
            number
        })
    }

    /// Writes numbers from `first` on; false, and nothing written, if they do not fit.
    #[inline]
    pub(super) fn write(&self, first: usize, numbers: &[T]) -> bool {
        let fits = first.checked_add(numbers.len()).is_some_and(|end| end <= self.len());
        if fits {
            self.block.write(first * Self::SIZE, bytemuck::cast_slice(numbers));
        }
        fits
    }
}

/// For `?` where an object is passed.
pub(super) fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> io::Error {
    io::Error::other(error)
}
