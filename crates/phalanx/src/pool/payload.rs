//! What can be sent to a worker and back: a little-endian encoding of plain values.
//!
//! Sender and receiver are the same program, so the encoding says nothing about types and is not for
//! files. It is the one place that a richer codec has to take.

/// A value that can travel between processes of one program.
///
/// Implemented for integers, floats, `bool`, `char`, `()`, `String`, `Vec`, `Option`, `Result` and
/// tuples of up to six. Implement it for a struct by encoding its fields one after another:
///
/// ```
/// use phalanx::pool::Payload;
///
/// #[derive(Debug, PartialEq)]
/// struct Point { x: f64, y: f64, name: String }
///
/// impl Payload for Point {
///     fn encode(&self, out: &mut Vec<u8>) {
///         self.x.encode(out);
///         self.y.encode(out);
///         self.name.encode(out);
///     }
///     fn decode(bytes: &mut &[u8]) -> Option<Self> {
///         Some(Point {
///             x: Payload::decode(bytes)?,
///             y: Payload::decode(bytes)?,
///             name: Payload::decode(bytes)?,
///         })
///     }
/// }
///
/// let point = Point { x: 1.5, y: -2.0, name: "here".to_owned() };
/// let mut bytes = Vec::new();
/// point.encode(&mut bytes);
/// assert_eq!(Point::decode(&mut &bytes[..]), Some(point));
/// ```
pub trait Payload: Sized {
    /// Appends the value's bytes.
    fn encode(&self, out: &mut Vec<u8>);

    /// Reads a value from the front of `bytes`, which is moved on behind it. `None` when the bytes
    /// are no such value.
    fn decode(bytes: &mut &[u8]) -> Option<Self>;

    /// Appends the bytes of several values; for types that can do better than one by one.
    fn encode_all(values: &[Self], out: &mut Vec<u8>) {
        for value in values {
            value.encode(out);
        }
    }

    /// Reads so many values.
    fn decode_all(count: usize, bytes: &mut &[u8]) -> Option<Vec<Self>> {
        // The count is read from bytes: do not believe it before there are as many values.
        let mut values = Vec::with_capacity(count.min(bytes.len()));
        for _ in 0..count {
            values.push(Self::decode(bytes)?);
        }
        Some(values)
    }
}

fn take<'a>(bytes: &mut &'a [u8], len: usize) -> Option<&'a [u8]> {
    let (front, rest) = bytes.split_at_checked(len)?;
    *bytes = rest;
    Some(front)
}

macro_rules! numbers {
    ($($t:ty),*) => { $(
        impl Payload for $t {
            #[inline]
            fn encode(&self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }

            #[inline]
            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                let front = take(bytes, size_of::<Self>())?;
                front.try_into().ok().map(Self::from_le_bytes)
            }
        }
    )* };
}
numbers!(i8, u16, i16, u32, i32, u64, i64, u128, i128, f32, f64);

impl Payload for u8 {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(*self);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        take(bytes, 1).map(|byte| byte[0])
    }

    fn encode_all(values: &[Self], out: &mut Vec<u8>) {
        out.extend_from_slice(values);
    }

    fn decode_all(count: usize, bytes: &mut &[u8]) -> Option<Vec<Self>> {
        take(bytes, count).map(<[u8]>::to_vec)
    }
}

impl Payload for usize {
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as u64).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        u64::decode(bytes).and_then(|n| n.try_into().ok())
    }
}

impl Payload for isize {
    fn encode(&self, out: &mut Vec<u8>) {
        (*self as i64).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        i64::decode(bytes).and_then(|n| n.try_into().ok())
    }
}

impl Payload for bool {
    fn encode(&self, out: &mut Vec<u8>) {
        out.push(u8::from(*self));
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        match u8::decode(bytes)? {
            0 => Some(false),
            1 => Some(true),
            _ => None,
        }
    }
}

impl Payload for char {
    fn encode(&self, out: &mut Vec<u8>) {
        u32::from(*self).encode(out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        u32::decode(bytes).and_then(Self::from_u32)
    }
}

impl Payload for String {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        out.extend_from_slice(self.as_bytes());
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        Self::from_utf8(Vec::decode(bytes)?).ok()
    }
}

impl<T: Payload> Payload for Vec<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.len().encode(out);
        T::encode_all(self, out);
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let count = usize::decode(bytes)?;
        T::decode_all(count, bytes)
    }
}

impl<T: Payload> Payload for Option<T> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_some().encode(out);
        if let Some(value) = self {
            value.encode(out);
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        if bool::decode(bytes)? { T::decode(bytes).map(Some) } else { Some(None) }
    }
}

impl<T: Payload, E: Payload> Payload for Result<T, E> {
    fn encode(&self, out: &mut Vec<u8>) {
        self.is_ok().encode(out);
        match self {
            Ok(value) => value.encode(out),
            Err(error) => error.encode(out),
        }
    }

    fn decode(bytes: &mut &[u8]) -> Option<Self> {
        if bool::decode(bytes)? { T::decode(bytes).map(Ok) } else { E::decode(bytes).map(Err) }
    }
}

impl Payload for () {
    fn encode(&self, _out: &mut Vec<u8>) {}

    fn decode(_bytes: &mut &[u8]) -> Option<Self> {
        Some(())
    }
}

macro_rules! tuples {
    ($(($($t:ident $n:tt),+))*) => { $(
        impl<$($t: Payload),+> Payload for ($($t,)+) {
            fn encode(&self, out: &mut Vec<u8>) {
                $(self.$n.encode(out);)+
            }

            fn decode(bytes: &mut &[u8]) -> Option<Self> {
                Some(($($t::decode(bytes)?,)+))
            }
        }
    )* };
}
tuples! {
    (A 0)
    (A 0, B 1)
    (A 0, B 1, C 2)
    (A 0, B 1, C 2, D 3)
    (A 0, B 1, C 2, D 3, E 4)
    (A 0, B 1, C 2, D 3, E 4, F 5)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn there_and_back<T: Payload + PartialEq + std::fmt::Debug>(value: T) {
        let mut bytes = Vec::new();
        value.encode(&mut bytes);
        for short in 0..bytes.len() {
            assert_eq!(T::decode(&mut &bytes[..short]), None, "{short} bytes of {value:?}");
        }
        let mut rest = &bytes[..];
        assert_eq!(T::decode(&mut rest).as_ref(), Some(&value));
        assert!(rest.is_empty());
    }

    #[test]
    fn values_survive_the_way_there_and_back() {
        there_and_back((1u8, -2i16, u32::MAX, i64::MIN, u128::MAX));
        there_and_back((1.5f32, f64::INFINITY, true, 'ß', usize::MAX, -1isize));
        there_and_back("grüße".to_owned());
        there_and_back(vec![vec![1u8, 2], vec![], vec![3; 1000]]);
        there_and_back((vec![(1i32, "a".to_owned())], Some(Some(7u64)), None::<u8>));
        there_and_back(Ok::<u32, String>(7));
        there_and_back(Err::<u32, String>("no".to_owned()));
        there_and_back(vec![(); 3]);
    }

    #[test]
    fn bytes_that_are_no_value_are_refused() {
        assert_eq!(bool::decode(&mut &[2u8][..]), None);
        assert_eq!(char::decode(&mut &u32::MAX.to_le_bytes()[..]), None);
        let mut bytes = u64::MAX.to_le_bytes().to_vec();
        assert_eq!(Vec::<u8>::decode(&mut &bytes[..]), None);
        assert_eq!(Vec::<u64>::decode(&mut &bytes[..]), None);
        bytes[..8].copy_from_slice(&1u64.to_le_bytes());
        bytes.push(0xff);
        assert_eq!(String::decode(&mut &bytes[..]), None);
    }
}
