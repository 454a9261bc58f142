//! Integers of any size.

use std::fmt;

/// An integer that 64 bits may not hold. phalanx carries it and does not calculate with it.
///
/// ```
/// use phalanx::plain::BigInt;
///
/// let big = BigInt::from(-(1i128 << 100));
/// assert_eq!(big.to_i128(), Some(-(1i128 << 100)));
/// assert_eq!(big.to_string(), "-0x10000000000000000000000000");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BigInt(Vec<u8>);

impl BigInt {
    /// The integer with these bytes: two's complement, the low byte first. No bytes are zero.
    ///
    /// ```
    /// use phalanx::plain::BigInt;
    ///
    /// assert_eq!(BigInt::from_le_bytes(&[0, 1]), BigInt::from(256i128));
    /// assert_eq!(BigInt::from_le_bytes(&[0xff, 0xff]), BigInt::from(-1i128));
    /// ```
    #[must_use]
    pub fn from_le_bytes(bytes: &[u8]) -> Self {
        let mut bytes = bytes.to_vec();
        // The shortest form that keeps the sign, so that equal integers are equal.
        while let [.., before, last] = bytes[..]
            && (last == 0 && before < 0x80 || last == 0xff && before >= 0x80)
        {
            bytes.pop();
        }
        if bytes == [0] {
            bytes.clear();
        }
        Self(bytes)
    }

    /// Its bytes: two's complement, the low byte first, as few as keep the sign.
    ///
    /// ```
    /// use phalanx::plain::BigInt;
    ///
    /// assert_eq!(BigInt::from(256i128).as_le_bytes(), [0, 1]);
    /// assert_eq!(BigInt::from(200i128).as_le_bytes(), [200, 0], "without the zero it were negative");
    /// ```
    #[must_use]
    pub fn as_le_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Whether it is below zero.
    ///
    /// ```
    /// use phalanx::plain::BigInt;
    ///
    /// assert!(BigInt::from(-1i128).is_negative() && !BigInt::from(0i128).is_negative());
    /// ```
    #[must_use]
    pub fn is_negative(&self) -> bool {
        self.0.last().is_some_and(|last| *last >= 0x80)
    }

    fn wide(&self) -> Option<[u8; 16]> {
        let mut bytes = [if self.is_negative() { 0xff } else { 0 }; 16];
        bytes.get_mut(..self.0.len())?.copy_from_slice(&self.0);
        Some(bytes)
    }

    /// The integer, if 128 bits with a sign hold it.
    ///
    /// ```
    /// use phalanx::plain::BigInt;
    ///
    /// assert_eq!(BigInt::from(-7i128).to_i128(), Some(-7));
    /// assert_eq!(BigInt::from(u128::MAX).to_i128(), None);
    /// ```
    #[must_use]
    pub fn to_i128(&self) -> Option<i128> {
        self.wide().map(i128::from_le_bytes)
    }

    /// The integer, if 128 bits without a sign hold it.
    ///
    /// ```
    /// use phalanx::plain::BigInt;
    ///
    /// assert_eq!(BigInt::from(u128::MAX).to_u128(), Some(u128::MAX));
    /// assert_eq!(BigInt::from(-7i128).to_u128(), None);
    /// ```
    #[must_use]
    pub fn to_u128(&self) -> Option<u128> {
        match self.0.split_last() {
            // A byte of zeros, for the sign.
            Some((0, low)) if low.len() == 16 => low.try_into().ok().map(u128::from_le_bytes),
            _ if self.is_negative() => None,
            _ => self.wide().map(u128::from_le_bytes),
        }
    }
}

impl From<i128> for BigInt {
    fn from(number: i128) -> Self {
        Self::from_le_bytes(&number.to_le_bytes())
    }
}

impl From<u128> for BigInt {
    fn from(number: u128) -> Self {
        let mut bytes = number.to_le_bytes().to_vec();
        bytes.push(0);
        Self::from_le_bytes(&bytes)
    }
}

/// In hexadecimal.
impl fmt::Display for BigInt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut magnitude = self.0.clone();
        if self.is_negative() {
            let mut carry = true;
            for byte in &mut magnitude {
                (*byte, carry) = (!*byte).overflowing_add(u8::from(carry));
            }
            f.write_str("-")?;
        }
        let text: String = magnitude.iter().rev().map(|byte| format!("{byte:02x}")).collect();
        let text = text.trim_start_matches('0');
        write!(f, "0x{}", if text.is_empty() { "0" } else { text })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_survive() {
        for number in [0, 1, -1, 127, 128, -128, -129, 1 << 64, -(1 << 64), i128::MAX, i128::MIN] {
            let big = BigInt::from(number);
            assert_eq!(big.to_i128(), Some(number));
            assert_eq!(big.to_u128(), u128::try_from(number).ok());
            assert_eq!(BigInt::from_le_bytes(big.as_le_bytes()), big);
        }
        assert_eq!(BigInt::from(u128::MAX).to_u128(), Some(u128::MAX));
        assert_eq!(BigInt::from(u128::MAX).to_i128(), None);
        assert_eq!(BigInt::from(-1i128).as_le_bytes(), [0xff]);
        assert_eq!(BigInt::from(0i128).as_le_bytes(), []);
        assert_eq!(BigInt::from_le_bytes(&[5, 0, 0]), BigInt::from(5i128));
    }

    #[test]
    fn they_are_shown_in_hexadecimal() {
        assert_eq!(BigInt::from(0i128).to_string(), "0x0");
        assert_eq!(BigInt::from(-256i128).to_string(), "-0x100");
        assert_eq!(BigInt::from(u128::MAX).to_string(), format!("0x{}", "f".repeat(32)));
    }
}
