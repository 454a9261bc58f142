//! The form of plain values as bytes.
//!
//! ```text
//! frame  := [ BUFFERS  count: u32  length: u64 * count ]  value
//! value  := NONE | FALSE | TRUE
//!         | INT i64 | FLOAT f64
//!         | BIG_INT len: u64 raw                 (two's complement, the low byte first)
//!         | SHORT_STR len: u8 utf8 | STR len: u64 utf8
//!         | SHORT_BYTES len: u8 raw | BYTES len: u64 raw | BYTE_ARRAY len: u64 raw
//!         | STR_BUFFER | BYTES_BUFFER | BYTE_ARRAY_BUFFER                    (the next buffer)
//!         | LIST n: u32 value*n | TUPLE n: u32 value*n
//!         | LIST_I64 n: u32 i64*n | LIST_F64 n: u32 f64*n
//!         | TUPLE_I64 n: u32 i64*n | TUPLE_F64 n: u32 f64*n
//!         | DICT n: u32 (key value)*n
//!         | OPAQUE raw-to-the-end | OPAQUE_BUFFER                            (the next buffer)
//! key    := INT i64 | SHORT_STR len: u8 utf8 | STR len: u64 utf8 | another atom
//! ```
//!
//! Each value begins with one byte, its [`tag`]. Numbers are little-endian; nothing is aligned.
//!
//! - A value is in the first frame of a message, from its first byte to its last; bytes left over are an
//!   error.
//! - A sender chooses between forms of the same value: a list of integers may be a `LIST` of `INT`s or a
//!   `LIST_I64`, a short string a `STR`. Receivers understand all of them.
//! - Strings and runs of bytes of 64 KiB and more may travel beside the frame, as *buffers* of the
//!   [message](crate::message). The frame begins with a table of their lengths then, and they are used
//!   up in the order in which the values that refer to them stand in the frame.
//! - Containers are nested at most [`MAX_DEPTH`] deep.
//! - A container may not hold an `OPAQUE` value: that is what a sender falls back to for a message as a
//!   whole, when a part of it is no plain value. What its bytes mean is known to programs in the
//!   sender's language only.
//! - A dictionary keeps the order of its entries. Of entries with the same key the last counts.
//! - No length is to be trusted: a receiver checks each against what is left of the frame.
//!
//! ```
//! use phalanx::plain::format::tag;
//! use phalanx::plain::{self, Plain};
//!
//! let mut frame = Vec::new();
//! plain::encode(&Plain::from(7), &mut frame)?;
//! assert_eq!(frame, [tag::INT, 7, 0, 0, 0, 0, 0, 0, 0]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

/// How deep containers may be nested: a container of atoms has depth 1.
pub const MAX_DEPTH: usize = 64;

/// From this many bytes on, a string or run of bytes may be sent as a buffer beside the frame.
pub const OUT_OF_BAND: usize = 64 * 1024;

/// The byte that opens each value.
pub mod tag {
    /// Nothing.
    pub const NONE: u8 = 0;
    /// False.
    pub const FALSE: u8 = 1;
    /// True.
    pub const TRUE: u8 = 2;
    /// An integer of 64 bits.
    pub const INT: u8 = 3;
    /// A float of 64 bits.
    pub const FLOAT: u8 = 4;
    /// A string of at most 255 bytes.
    pub const SHORT_STR: u8 = 5;
    /// A string.
    pub const STR: u8 = 6;
    /// At most 255 bytes.
    pub const SHORT_BYTES: u8 = 7;
    /// Bytes.
    pub const BYTES: u8 = 8;
    /// Bytes that their receiver is to be able to change in place, where its language makes that
    /// difference.
    pub const BYTE_ARRAY: u8 = 9;
    /// A string in a buffer.
    pub const STR_BUFFER: u8 = 10;
    /// Bytes in a buffer.
    pub const BYTES_BUFFER: u8 = 11;
    /// As [`BYTE_ARRAY`], in a buffer.
    pub const BYTE_ARRAY_BUFFER: u8 = 12;
    /// A list.
    pub const LIST: u8 = 13;
    /// A tuple.
    pub const TUPLE: u8 = 14;
    /// A list of integers.
    pub const LIST_I64: u8 = 15;
    /// A list of floats.
    pub const LIST_F64: u8 = 16;
    /// A tuple of integers.
    pub const TUPLE_I64: u8 = 17;
    /// A tuple of floats.
    pub const TUPLE_F64: u8 = 18;
    /// A dictionary.
    pub const DICT: u8 = 19;
    /// A value in a form of the sender's own.
    pub const OPAQUE: u8 = 20;
    /// As [`OPAQUE`], in a buffer.
    pub const OPAQUE_BUFFER: u8 = 21;
    /// Not a value: the table of buffers.
    pub const BUFFERS: u8 = 22;
    /// An integer that needs more than 64 bits.
    pub const BIG_INT: u8 = 23;
}
