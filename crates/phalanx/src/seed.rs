//! Seeds for streams of random numbers that have nothing to do with each other.
//!
//! A [`SeedSequence`] stirs any number of seed words into a pool of 128 bits and draws from it as many
//! words as a generator wants for its state. A child of a sequence is another sequence, named by a number:
//! so each task of each call gets its own from one seed, wherever and in whatever order the tasks run.
//!
//! The algorithm is Melissa O'Neill's `seed_seq_fe128` ("Developing a seed_seq alternative", 2015), in the
//! form in which numpy's `SeedSequence` has made it known: the same seed and the same keys give the same
//! words as there.
//!
//! ```
//! use phalanx::seed::SeedSequence;
//!
//! /// The same numbers for a task, whichever worker runs it and however many there are.
//! fn state_of(task: u64) -> [u32; 4] {
//!     let mut state = [0; 4];
//!     SeedSequence::new(&[2024]).child(task).fill(&mut state);
//!     state
//! }
//!
//! assert_eq!(state_of(7), state_of(7));
//! assert_ne!(state_of(7), state_of(8));
//! ```

/// Words in the pool.
const POOL: usize = 4;

const INIT_A: u32 = 0x43b0_d7e5;
const MULT_A: u32 = 0x931e_8875;
const INIT_B: u32 = 0x8b51_f9dd;
const MULT_B: u32 = 0x58f3_8ded;
const MIX_LEFT: u32 = 0xca01_f9dd;
const MIX_RIGHT: u32 = 0x4973_f715;
const SHIFT: u32 = 16;

/// Seed words, stirred: what generators draw their first state from.
///
/// ```
/// use phalanx::seed::SeedSequence;
///
/// let root = SeedSequence::new(&[42]);
/// let (mut first, mut second) = ([0; 4], [0; 4]);
/// root.child(0).fill(&mut first);
/// root.child(1).fill(&mut second);
/// assert_ne!(first, second);
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SeedSequence {
    pool: [u32; POOL],
    hash: u32,
}

impl SeedSequence {
    /// A sequence of the words of a seed, the lowest first.
    ///
    /// ```
    /// use phalanx::seed::SeedSequence;
    ///
    /// assert_eq!(SeedSequence::new(&[2024]), SeedSequence::new(&[2024]));
    /// assert_ne!(SeedSequence::new(&[2024]), SeedSequence::new(&[2024, 1]));
    /// ```
    #[must_use]
    pub fn new(seed: &[u32]) -> Self {
        let mut hash = INIT_A;
        let mut pool = [0; POOL];
        for (index, word) in pool.iter_mut().enumerate() {
            *word = stir(seed.get(index).copied().unwrap_or(0), &mut hash);
        }
        for from in 0..POOL {
            for to in 0..POOL {
                if from != to {
                    pool[to] = mix(pool[to], stir(pool[from], &mut hash));
                }
            }
        }
        let mut sequence = Self { pool, hash };
        for word in seed.iter().skip(POOL) {
            sequence.add(*word);
        }
        sequence
    }

    /// The child with that number: numpy's sequence with the number added to its `spawn_key`.
    ///
    /// ```
    /// use phalanx::seed::SeedSequence;
    ///
    /// let root = SeedSequence::new(&[2024]);
    /// // The seventh task of the third call, wherever it runs:
    /// assert_eq!(root.child(3).child(7), root.child(3).child(7));
    /// assert_ne!(root.child(3).child(7), root.child(7).child(3));
    /// ```
    #[must_use]
    pub fn child(&self, number: u64) -> Self {
        let mut child = self.clone();
        child.add(number as u32);
        let high = (number >> 32) as u32;
        if high > 0 {
            child.add(high);
        }
        child
    }

    /// Fills `words` with the state that a generator is to begin with.
    ///
    /// ```
    /// use phalanx::seed::SeedSequence;
    ///
    /// let mut state = [0u32; 4]; // of a generator
    /// SeedSequence::new(&[2024]).fill(&mut state);
    /// assert!(state.iter().all(|word| *word != 0));
    /// ```
    pub fn fill(&self, words: &mut [u32]) {
        let mut hash = INIT_B;
        for (word, from) in words.iter_mut().zip(self.pool.iter().cycle()) {
            let value = from ^ hash;
            hash = hash.wrapping_mul(MULT_B);
            let value = value.wrapping_mul(hash);
            *word = value ^ (value >> SHIFT);
        }
    }

    fn add(&mut self, word: u32) {
        for to in &mut self.pool {
            *to = mix(*to, stir(word, &mut self.hash));
        }
    }
}

fn stir(value: u32, hash: &mut u32) -> u32 {
    let value = value ^ *hash;
    *hash = hash.wrapping_mul(MULT_A);
    let value = value.wrapping_mul(*hash);
    value ^ (value >> SHIFT)
}

fn mix(left: u32, right: u32) -> u32 {
    let value = MIX_LEFT.wrapping_mul(left).wrapping_sub(MIX_RIGHT.wrapping_mul(right));
    value ^ (value >> SHIFT)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words<const N: usize>(sequence: &SeedSequence) -> [u32; N] {
        let mut words = [0; N];
        sequence.fill(&mut words);
        words
    }

    /// The words that numpy 2.2 gives.
    #[test]
    fn the_words_are_those_of_numpy() {
        let root = SeedSequence::new(&[0]);
        assert_eq!(words(&root), [0xb0f4_78be, 0xdb2c_d7e7, 0x2c71_ba49, 0xabf4_641a]);
        let task = SeedSequence::new(&[42]).child(0).child(7);
        let expected = [
            0x0929_d7e7,
            0x24c4_6d8f,
            0x1467_03fe,
            0xb2f8_379e,
            0x0ca3_ca1d,
            0xa417_ad3c,
            0xf415_6dcc,
            0xc11f_bfe9,
        ];
        assert_eq!(words(&task), expected);
        let long = SeedSequence::new(&[1, 2, 3, 4, 5, 6]).child(9);
        assert_eq!(words(&long), [0x573c_8650, 0xafe1_1362, 0x53cf_fdef, 0x9b07_7660]);
    }

    #[test]
    fn numbers_of_more_than_a_word_count_in_full() {
        // 2 ** 200 + 12345
        let root = SeedSequence::new(&[12345, 0, 0, 0, 0, 0, 1 << 8]);
        let task = root.child(3).child((1 << 33) + 5);
        assert_eq!(words(&task), [0xc59e_d736, 0xcfd2_9d2a, 0x9775_b0ea, 0x0585_9e93]);
        assert_ne!(root.child(1 << 32), root.child(0));
    }
}
