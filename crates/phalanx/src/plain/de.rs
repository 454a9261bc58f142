//! Frames into the program's own types.

use serde::de::value::{SeqDeserializer, StrDeserializer};
use serde::de::{self, DeserializeSeed, IntoDeserializer, Visitor};

use super::decode::{Item, Reader};
use super::encode::{self, deeper};
use super::format::tag;
use super::value::WHOLE;
use super::{BigInt, PlainError};

/// The next value of a frame.
pub(super) struct Value<'r, 'a> {
    reader: &'r mut Reader<'a>,
    depth: usize,
}

impl<'r, 'a> Value<'r, 'a> {
    pub(super) fn new(reader: &'r mut Reader<'a>) -> Self {
        Self { reader, depth: 0 }
    }
}

impl<'a> de::Deserializer<'a> for Value<'_, 'a> {
    type Error = PlainError;

    fn deserialize_any<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, PlainError> {
        let Self { reader, depth } = self;
        let (count, kind) = match reader.item()? {
            Item::None => return visitor.visit_unit(),
            Item::Bool(truth) => return visitor.visit_bool(truth),
            Item::Int(number) => return visitor.visit_i64(number),
            Item::Big(bytes) => return big(bytes, visitor),
            Item::Float(number) => return visitor.visit_f64(number),
            Item::Str(text) => return visitor.visit_borrowed_str(text),
            Item::Bytes(bytes) => return visitor.visit_borrowed_bytes(bytes),
            Item::Values(count, _) => (count, Kind::Values),
            Item::Ints(count, _) => (count, Kind::Ints),
            Item::Floats(count, _) => (count, Kind::Floats),
            Item::Entries(count) => (count, Kind::Entries),
        };
        let depth = deeper(depth)?;
        let is_map = matches!(kind, Kind::Entries);
        let mut several = Several { reader, left: count, kind, depth };
        let value = if is_map {
            visitor.visit_map(&mut several)?
        } else {
            visitor.visit_seq(&mut several)?
        };
        match several.left {
            0 => Ok(value),
            left => Err(de::Error::custom(format!("{left} of {count} items are not expected"))),
        }
    }

    fn deserialize_option<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, PlainError> {
        if self.reader.peek() == Some(tag::NONE) {
            self.reader.item()?;
            return visitor.visit_none();
        }
        visitor.visit_some(self)
    }

    fn deserialize_newtype_struct<V: Visitor<'a>>(
        self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value, PlainError> {
        if name != WHOLE {
            return visitor.visit_newtype_struct(self);
        }
        let mut frame = Vec::new();
        encode::value(&self.reader.value(self.depth)?, &mut frame, 0)?;
        visitor.visit_byte_buf(frame)
    }

    /// A name, or a dictionary with the name as its one key.
    fn deserialize_enum<V: Visitor<'a>>(
        self,
        _name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PlainError> {
        match self.reader.item()? {
            Item::Str(name) => visitor.visit_enum(name.into_deserializer()),
            Item::Entries(1) => match self.reader.item()? {
                Item::Str(name) => {
                    let depth = deeper(self.depth)?;
                    visitor
                        .visit_enum(Variant { name, value: Value { reader: self.reader, depth } })
                }
                _ => Err(no_variant(variants)),
            },
            _ => Err(no_variant(variants)),
        }
    }

    /// Bytes will do for a sequence of small integers.
    fn deserialize_seq<V: Visitor<'a>>(self, visitor: V) -> Result<V::Value, PlainError> {
        match self.reader.next_bytes()? {
            Some(bytes) => {
                let mut items = SeqDeserializer::new(bytes.iter().copied());
                let value = visitor.visit_seq(&mut items)?;
                items.end()?;
                Ok(value)
            }
            None => self.deserialize_any(visitor),
        }
    }

    fn deserialize_tuple<V: Visitor<'a>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, PlainError> {
        self.deserialize_seq(visitor)
    }

    serde::forward_to_deserialize_any! {
        <V: Visitor<'a>>
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf
        unit unit_struct tuple_struct map struct identifier ignored_any
    }
}

fn big<'a, V: Visitor<'a>>(bytes: &[u8], visitor: V) -> Result<V::Value, PlainError> {
    let number = BigInt::from_le_bytes(bytes);
    match (number.to_i128(), number.to_u128()) {
        (Some(number), _) => match u64::try_from(number) {
            Ok(number) => visitor.visit_u64(number),
            Err(_) => visitor.visit_i128(number),
        },
        (None, Some(number)) => visitor.visit_u128(number),
        (None, None) => {
            Err(de::Error::custom(format!("the integer {number} has more than 128 bits")))
        }
    }
}

#[cold]
fn no_variant(variants: &[&str]) -> PlainError {
    PlainError::Unsuited(format!(
        "a variant is a name, or a dictionary with a name as its one key, of {variants:?}"
    ))
}

enum Kind {
    Values,
    Ints,
    Floats,
    Entries,
}

/// What is left of a container.
struct Several<'r, 'a> {
    reader: &'r mut Reader<'a>,
    left: usize,
    kind: Kind,
    depth: usize,
}

impl<'a> Several<'_, 'a> {
    fn next<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, PlainError> {
        match self.kind {
            Kind::Ints => seed.deserialize(self.reader.int()?.into_deserializer()),
            Kind::Floats => seed.deserialize(self.reader.float()?.into_deserializer()),
            Kind::Values | Kind::Entries => {
                seed.deserialize(Value { reader: self.reader, depth: self.depth })
            }
        }
    }
}

impl<'a> de::SeqAccess<'a> for &mut Several<'_, 'a> {
    type Error = PlainError;

    fn next_element_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, PlainError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.next(seed).map(Some)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

impl<'a> de::MapAccess<'a> for &mut Several<'_, 'a> {
    type Error = PlainError;

    fn next_key_seed<T: DeserializeSeed<'a>>(
        &mut self,
        seed: T,
    ) -> Result<Option<T::Value>, PlainError> {
        if self.left == 0 {
            return Ok(None);
        }
        self.left -= 1;
        self.next(seed).map(Some)
    }

    fn next_value_seed<T: DeserializeSeed<'a>>(&mut self, seed: T) -> Result<T::Value, PlainError> {
        self.next(seed)
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.left)
    }
}

struct Variant<'n, 'r, 'a> {
    name: &'n str,
    value: Value<'r, 'a>,
}

impl<'r, 'a> de::EnumAccess<'a> for Variant<'_, 'r, 'a> {
    type Error = PlainError;
    type Variant = Value<'r, 'a>;

    fn variant_seed<V: DeserializeSeed<'a>>(
        self,
        seed: V,
    ) -> Result<(V::Value, Value<'r, 'a>), PlainError> {
        let name: StrDeserializer<'_, PlainError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self.value))
    }
}

impl<'a> de::VariantAccess<'a> for Value<'_, 'a> {
    type Error = PlainError;

    fn unit_variant(self) -> Result<(), PlainError> {
        de::Deserialize::deserialize(self)
    }
    fn newtype_variant_seed<T: DeserializeSeed<'a>>(self, seed: T) -> Result<T::Value, PlainError> {
        seed.deserialize(self)
    }
    fn tuple_variant<V: Visitor<'a>>(
        self,
        _len: usize,
        visitor: V,
    ) -> Result<V::Value, PlainError> {
        de::Deserializer::deserialize_any(self, visitor)
    }
    fn struct_variant<V: Visitor<'a>>(
        self,
        _fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, PlainError> {
        de::Deserializer::deserialize_any(self, visitor)
    }
}
