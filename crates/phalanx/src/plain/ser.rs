//! The program's own types into frames.

use serde::ser::{self, Serialize};

use super::encode::{self, bad_key, deeper};
use super::format::tag;
use super::{BigInt, PlainError};

/// Writes one value.
pub(super) struct Writer<'o> {
    out: &'o mut Vec<u8>,
    depth: usize,
}

impl<'o> Writer<'o> {
    pub(super) fn new(out: &'o mut Vec<u8>) -> Self {
        Self { out, depth: 0 }
    }

    /// A dictionary with one entry, of which the value is yet to be written.
    fn variant(self, name: &str) -> Result<Self, PlainError> {
        let depth = deeper(self.depth)?;
        encode::header(self.out, tag::DICT, 1)?;
        encode::string(self.out, name);
        Ok(Self { out: self.out, depth })
    }

    fn container(self, tag: u8) -> Result<Container<'o>, PlainError> {
        let depth = deeper(self.depth)?;
        self.out.push(tag);
        let at = self.out.len();
        self.out.extend_from_slice(&[0; 4]);
        Ok(Container { out: self.out, at, count: 0, depth })
    }

    fn big(self, number: BigInt) {
        encode::big(self.out, number.as_le_bytes());
    }
}

/// Writes the items of a container, and their number when it is known.
pub(super) struct Container<'o> {
    out: &'o mut Vec<u8>,
    at: usize,
    count: u64,
    depth: usize,
}

impl Container<'_> {
    fn item<T: Serialize + ?Sized>(&mut self, item: &T) -> Result<(), PlainError> {
        self.count += 1;
        item.serialize(Writer { out: self.out, depth: self.depth })
    }

    fn entry<T: Serialize + ?Sized>(&mut self, name: &str, item: &T) -> Result<(), PlainError> {
        encode::string(self.out, name);
        self.item(item)
    }

    fn close(self) -> Result<(), PlainError> {
        let count = u32::try_from(self.count).map_err(|_| PlainError::TooLong)?;
        self.out[self.at..self.at + 4].copy_from_slice(&count.to_le_bytes());
        Ok(())
    }
}

type Done = Result<(), PlainError>;

impl<'o> ser::Serializer for Writer<'o> {
    type Ok = ();
    type Error = PlainError;
    type SerializeSeq = Container<'o>;
    type SerializeTuple = Container<'o>;
    type SerializeTupleStruct = Container<'o>;
    type SerializeTupleVariant = Container<'o>;
    type SerializeMap = Container<'o>;
    type SerializeStruct = Container<'o>;
    type SerializeStructVariant = Container<'o>;

    fn serialize_bool(self, v: bool) -> Done {
        self.out.push(if v { tag::TRUE } else { tag::FALSE });
        Ok(())
    }
    fn serialize_i8(self, v: i8) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i16(self, v: i16) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i32(self, v: i32) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_i64(self, v: i64) -> Done {
        encode::int(self.out, v);
        Ok(())
    }
    fn serialize_i128(self, v: i128) -> Done {
        self.big(v.into());
        Ok(())
    }
    fn serialize_u8(self, v: u8) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u16(self, v: u16) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u32(self, v: u32) -> Done {
        self.serialize_i64(v.into())
    }
    fn serialize_u64(self, v: u64) -> Done {
        match i64::try_from(v) {
            Ok(v) => self.serialize_i64(v),
            Err(_) => self.serialize_u128(v.into()),
        }
    }
    fn serialize_u128(self, v: u128) -> Done {
        self.big(v.into());
        Ok(())
    }
    fn serialize_f32(self, v: f32) -> Done {
        self.serialize_f64(v.into())
    }
    fn serialize_f64(self, v: f64) -> Done {
        encode::float(self.out, v);
        Ok(())
    }
    fn serialize_char(self, v: char) -> Done {
        self.serialize_str(v.encode_utf8(&mut [0; 4]))
    }
    fn serialize_str(self, v: &str) -> Done {
        encode::string(self.out, v);
        Ok(())
    }
    fn serialize_bytes(self, v: &[u8]) -> Done {
        encode::bytes(self.out, v);
        Ok(())
    }
    fn serialize_none(self) -> Done {
        self.out.push(tag::NONE);
        Ok(())
    }
    fn serialize_some<T: Serialize + ?Sized>(self, v: &T) -> Done {
        v.serialize(self)
    }
    fn serialize_unit(self) -> Done {
        self.serialize_none()
    }
    fn serialize_unit_struct(self, _name: &'static str) -> Done {
        self.serialize_none()
    }
    fn serialize_unit_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
    ) -> Done {
        self.serialize_str(variant)
    }
    fn serialize_newtype_struct<T: Serialize + ?Sized>(self, _name: &'static str, v: &T) -> Done {
        v.serialize(self)
    }
    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        v: &T,
    ) -> Done {
        v.serialize(self.variant(variant)?)
    }
    fn serialize_seq(self, _len: Option<usize>) -> Result<Container<'o>, PlainError> {
        self.container(tag::LIST)
    }
    fn serialize_tuple(self, _len: usize) -> Result<Container<'o>, PlainError> {
        self.container(tag::TUPLE)
    }
    fn serialize_tuple_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Container<'o>, PlainError> {
        self.container(tag::TUPLE)
    }
    fn serialize_tuple_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Container<'o>, PlainError> {
        self.variant(variant)?.container(tag::TUPLE)
    }
    fn serialize_map(self, _len: Option<usize>) -> Result<Container<'o>, PlainError> {
        self.container(tag::DICT)
    }
    fn serialize_struct(
        self,
        _name: &'static str,
        _len: usize,
    ) -> Result<Container<'o>, PlainError> {
        self.container(tag::DICT)
    }
    fn serialize_struct_variant(
        self,
        _name: &'static str,
        _index: u32,
        variant: &'static str,
        _len: usize,
    ) -> Result<Container<'o>, PlainError> {
        self.variant(variant)?.container(tag::DICT)
    }
}

macro_rules! items {
    ($($which:ident: $method:ident),*) => {
        $(impl ser::$which for Container<'_> {
            type Ok = ();
            type Error = PlainError;
            fn $method<T: Serialize + ?Sized>(&mut self, item: &T) -> Done {
                self.item(item)
            }
            fn end(self) -> Done {
                self.close()
            }
        })*
    };
}

items! {
    SerializeSeq: serialize_element,
    SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field,
    SerializeTupleVariant: serialize_field
}

macro_rules! fields {
    ($($which:ident),*) => {
        $(impl ser::$which for Container<'_> {
            type Ok = ();
            type Error = PlainError;
            fn serialize_field<T: Serialize + ?Sized>(&mut self, name: &'static str, item: &T) -> Done {
                self.entry(name, item)
            }
            fn end(self) -> Done {
                self.close()
            }
        })*
    };
}

fields!(SerializeStruct, SerializeStructVariant);

impl ser::SerializeMap for Container<'_> {
    type Ok = ();
    type Error = PlainError;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Done {
        let start = self.out.len();
        key.serialize(Writer { out: self.out, depth: self.depth })?;
        match self.out[start] {
            tag::LIST | tag::TUPLE | tag::DICT => Err(bad_key("a container")),
            _ => Ok(()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Done {
        self.item(value)
    }

    fn end(self) -> Done {
        self.close()
    }
}
