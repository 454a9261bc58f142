//! A plain value as it is.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, SerializeMap, SerializeTuple, Serializer};

use super::BigInt;

/// A value that programs in different languages understand.
///
/// Compares as it is made: the list `[1]` is not the tuple `(1,)`, nor the integer 1 the float 1.0.
///
/// ```
/// use phalanx::plain::Plain;
///
/// let value = Plain::Dict(vec![
///     ("name".into(), "Ada".into()),
///     ("scores".into(), [7, 9].into_iter().collect()),
/// ]);
/// assert_eq!(value.get("name").and_then(Plain::as_str), Some("Ada"));
/// let scores = value.get("scores").map_or(&[][..], Plain::items);
/// assert_eq!(scores[1].as_int(), Some(9));
/// assert_eq!((value.kind(), value.get("age")), ("a dictionary", None));
/// ```
#[derive(Clone, Debug, PartialEq)]
pub enum Plain {
    /// Nothing.
    None,
    /// True or false.
    Bool(bool),
    /// An integer of 64 bits.
    Int(i64),
    /// An integer of any size; one that 64 bits hold is sent as an [`Plain::Int`].
    BigInt(BigInt),
    /// A float.
    Float(f64),
    /// A string.
    Str(String),
    /// Bytes.
    Bytes(Vec<u8>),
    /// A list.
    List(Vec<Plain>),
    /// A tuple.
    Tuple(Vec<Plain>),
    /// A dictionary, its entries in order. The keys are strings or integers, or another atom.
    Dict(Vec<(Plain, Plain)>),
}

impl Plain {
    /// The value that a dictionary has for a key that is a string; `None` for anything else than a
    /// dictionary.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// let person = Plain::Dict(vec![("name".into(), "Ada".into()), ("age".into(), 36.into())]);
    /// assert_eq!(person.get("age"), Some(&Plain::Int(36)));
    /// assert_eq!(Plain::from("Ada").get("age"), None);
    /// ```
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Self> {
        let Self::Dict(entries) = self else { return None };
        let is_it = |entry: &&(Self, Self)| matches!(&entry.0, Self::Str(name) if name == key);
        entries.iter().rev().find(is_it).map(|entry| &entry.1)
    }

    /// The items of a list or tuple; none for anything else.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// let scores: Plain = [7, 9].into_iter().collect();
    /// assert_eq!(scores.items().iter().filter_map(Plain::as_int).sum::<i64>(), 16);
    /// assert!(Plain::from(7).items().is_empty());
    /// ```
    #[must_use]
    pub fn items(&self) -> &[Self] {
        match self {
            Self::List(items) | Self::Tuple(items) => items,
            _ => &[],
        }
    }

    /// The integer, if it is one of 64 bits.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// assert_eq!(Plain::from(7).as_int(), Some(7));
    /// assert_eq!(Plain::from(7.0).as_int(), None);
    /// ```
    #[must_use]
    pub fn as_int(&self) -> Option<i64> {
        if let Self::Int(number) = self { Some(*number) } else { None }
    }

    /// The number as a float, if it is one of at most 64 bits.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// assert_eq!((Plain::from(1.5).as_float(), Plain::from(7).as_float()), (Some(1.5), Some(7.0)));
    /// ```
    #[must_use]
    pub fn as_float(&self) -> Option<f64> {
        match self {
            Self::Float(number) => Some(*number),
            Self::Int(number) => Some(*number as f64),
            _ => None,
        }
    }

    /// The string, if it is one.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// assert_eq!((Plain::from("Ada").as_str(), Plain::from(7).as_str()), (Some("Ada"), None));
    /// ```
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The bytes, if it is any.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// assert_eq!(Plain::from(&b"\0\x01"[..]).as_bytes(), Some(&b"\0\x01"[..]));
    /// assert_eq!(Plain::from("text").as_bytes(), None);
    /// ```
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// What kind of value it is, in a word.
    ///
    /// ```
    /// use phalanx::plain::Plain;
    ///
    /// assert_eq!(Plain::from(7).kind(), "an integer");
    /// assert_eq!(Plain::from(()).kind(), "nothing");
    /// ```
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Bool(_) => "a bool",
            Self::Int(_) | Self::BigInt(_) => "an integer",
            Self::Float(_) => "a float",
            Self::Str(_) => "a string",
            Self::Bytes(_) => "bytes",
            Self::List(_) => "a list",
            Self::Tuple(_) => "a tuple",
            Self::Dict(_) => "a dictionary",
        }
    }
}

macro_rules! from {
    ($($type:ty => |$value:ident| $plain:expr),* $(,)?) => {
        $(impl From<$type> for Plain {
            fn from($value: $type) -> Self {
                $plain
            }
        })*
    };
}

from! {
    () => |_nothing| Self::None,
    bool => |truth| Self::Bool(truth),
    i32 => |number| Self::Int(number.into()),
    u32 => |number| Self::Int(number.into()),
    i64 => |number| Self::Int(number),
    u64 => |number| {
        i64::try_from(number).map_or_else(|_| Self::BigInt(u128::from(number).into()), Self::Int)
    },
    i128 => |number| i64::try_from(number).map_or_else(|_| Self::BigInt(number.into()), Self::Int),
    BigInt => |number| Self::BigInt(number),
    f64 => |number| Self::Float(number),
    &str => |text| Self::Str(text.to_owned()),
    String => |text| Self::Str(text),
    &[u8] => |bytes| Self::Bytes(bytes.to_owned()),
}

impl<T: Into<Self>> From<Option<T>> for Plain {
    fn from(value: Option<T>) -> Self {
        value.map_or(Self::None, Into::into)
    }
}

/// A list.
impl<T: Into<Self>> FromIterator<T> for Plain {
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self::List(items.into_iter().map(Into::into).collect())
    }
}

/// As the notation of most languages has it, with strings quoted.
impl fmt::Display for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let several = |f: &mut fmt::Formatter<'_>, items: &[Self]| {
            for (index, item) in items.iter().enumerate() {
                let comma = if index == 0 { "" } else { ", " };
                write!(f, "{comma}{item}")?;
            }
            Ok(())
        };
        match self {
            Self::None => f.write_str("none"),
            Self::Bool(truth) => truth.fmt(f),
            Self::Int(number) => number.fmt(f),
            Self::BigInt(number) => number.fmt(f),
            Self::Float(number) => write!(f, "{number:?}"),
            Self::Str(text) => write!(f, "{text:?}"),
            Self::Bytes(bytes) => write!(f, "b\"{}\"", bytes.escape_ascii()),
            Self::List(items) => {
                f.write_str("[")?;
                several(f, items)?;
                f.write_str("]")
            }
            Self::Tuple(items) => {
                f.write_str("(")?;
                several(f, items)?;
                f.write_str(if items.len() == 1 { ",)" } else { ")" })
            }
            Self::Dict(entries) => {
                f.write_str("{")?;
                for (index, (key, value)) in entries.iter().enumerate() {
                    let comma = if index == 0 { "" } else { ", " };
                    write!(f, "{comma}{key}: {value}")?;
                }
                f.write_str("}")
            }
        }
    }
}

/// Tells our own deserializer that a plain value is wanted, whole and as it is.
pub(super) const WHOLE: &str = "$phalanx::plain::Plain";

impl Serialize for Plain {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::None => serializer.serialize_none(),
            Self::Bool(truth) => serializer.serialize_bool(*truth),
            Self::Int(number) => serializer.serialize_i64(*number),
            Self::BigInt(number) => match (number.to_i128(), number.to_u128()) {
                (Some(number), _) => serializer.serialize_i128(number),
                (None, Some(number)) => serializer.serialize_u128(number),
                (None, None) => Err(serde::ser::Error::custom(format!(
                    "the integer {number} has more than 128 bits"
                ))),
            },
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => serializer.serialize_bytes(bytes),
            Self::List(items) => serializer.collect_seq(items),
            Self::Tuple(items) => {
                let mut tuple = serializer.serialize_tuple(items.len())?;
                items.iter().try_for_each(|item| tuple.serialize_element(item))?;
                tuple.end()
            }
            Self::Dict(entries) => {
                let mut map = serializer.serialize_map(Some(entries.len()))?;
                entries.iter().try_for_each(|(key, value)| map.serialize_entry(key, value))?;
                map.end()
            }
        }
    }
}

impl<'de> Deserialize<'de> for Plain {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_newtype_struct(WHOLE, Seen { whole: true })
    }
}

/// What a deserializer shows. Ours answers the wish for [`WHOLE`] by the value's frame as bytes; any
/// other asks this visitor to read a newtype, and is asked for anything in turn.
struct Seen {
    whole: bool,
}

/// As [`Plain`], from a deserializer that is not ours.
struct Foreign(Plain);

impl<'de> Deserialize<'de> for Foreign {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Seen { whole: false }).map(Self)
    }
}

impl<'de> Visitor<'de> for Seen {
    type Value = Plain;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a plain value")
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, inner: D) -> Result<Plain, D::Error> {
        inner.deserialize_any(Self { whole: false })
    }
    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Plain, E> {
        if self.whole {
            return super::decode(bytes, &[]).map_err(E::custom);
        }
        Ok(bytes.into())
    }
    fn visit_unit<E: de::Error>(self) -> Result<Plain, E> {
        Ok(Plain::None)
    }
    fn visit_none<E: de::Error>(self) -> Result<Plain, E> {
        Ok(Plain::None)
    }
    fn visit_some<D: Deserializer<'de>>(self, inner: D) -> Result<Plain, D::Error> {
        Foreign::deserialize(inner).map(|foreign| foreign.0)
    }
    fn visit_bool<E: de::Error>(self, truth: bool) -> Result<Plain, E> {
        Ok(truth.into())
    }
    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Plain, E> {
        Ok(number.into())
    }
    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Plain, E> {
        Ok(number.into())
    }
    fn visit_i128<E: de::Error>(self, number: i128) -> Result<Plain, E> {
        Ok(number.into())
    }
    fn visit_u128<E: de::Error>(self, number: u128) -> Result<Plain, E> {
        Ok(i128::try_from(number).map_or_else(|_| Plain::BigInt(number.into()), Plain::from))
    }
    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Plain, E> {
        Ok(number.into())
    }
    fn visit_str<E: de::Error>(self, text: &str) -> Result<Plain, E> {
        Ok(text.into())
    }
    fn visit_seq<A: de::SeqAccess<'de>>(self, mut items: A) -> Result<Plain, A::Error> {
        let mut list = Vec::new();
        while let Some(Foreign(item)) = items.next_element()? {
            list.push(item);
        }
        Ok(Plain::List(list))
    }
    fn visit_map<A: de::MapAccess<'de>>(self, mut entries: A) -> Result<Plain, A::Error> {
        let mut dict = Vec::new();
        while let Some((Foreign(key), Foreign(value))) = entries.next_entry()? {
            dict.push((key, value));
        }
        Ok(Plain::Dict(dict))
    }
}
