//! The types of numbers that shared values and arrays are made of.

use bytemuck::Pod;

/// A number whose bytes several processes can share.
///
/// Its *codes* are how other languages call it; several may mean the same bytes.
///
/// ```
/// use phalanx::program::Number;
///
/// assert_eq!((f64::NAME, f64::CODES), ("f64", "d"));
/// ```
pub trait Number: Pod {
    /// The type's name.
    const NAME: &'static str;
    /// Its codes, the usual one first.
    const CODES: &'static str;
}

macro_rules! numbers {
    ($($type:ident $codes:literal),*) => {
        $(impl Number for $type {
            const NAME: &'static str = stringify!($type);
            const CODES: &'static str = $codes;
        })*

        /// The type of a code, for messages.
        pub(super) fn name_of(code: char) -> &'static str {
            $(if $codes.contains(code) {
                return stringify!($type);
            })*
            "another type"
        }
    };
}

numbers! {
    i8 "b", u8 "Bc?", i16 "h", u16 "H", i32 "i", u32 "Iu", i64 "ql", u64 "QL", f32 "f", f64 "d"
}
