//! Turns Python objects into frames and back.
//!
//! A *frame* is a self-contained run of bytes. Four tiers, chosen by exact type:
//!
//! | tier | objects | form |
//! |---|---|---|
//! | 0 | `None`, `bool`, `int` of 128 bits, `float`, `str`, `bytes`, `bytearray` | a tag and the raw value |
//! | 1 | `list` and `tuple` of these, `dict` with `str` or `int` keys, nested or not | packed |
//! | 2 | everything else | pickle protocol 5 |
//! | 3 | what pickle refuses: lambdas, closures, classes made in a function | cloudpickle |
//!
//! Large buffers never pass through the frame: they come back from [`encode()`] as [`OutOfBand`]
//! payloads, which the transport copies once to where the receiver will look at them.
//!
//! Tiers 0 and 1 are the engine's [plain values](phalanx::plain), which programs in other languages
//! read too.
//!
//! The meaning is pickle's: value, type and inner sharing arrive as `pickle.loads(pickle.dumps(x))`
//! would give them, but for the identity of equal immutable values. Tier 1 stops where a mutable
//! container is referred to twice in a message, since copying it would break sharing.
//!
//! A decoder never trusts a frame's lengths: bytes that no encoder made give a `ValueError` (or
//! what unpickling them raises), never undefined behaviour.
mod budget;
mod decode;
mod encode;
mod exception;
mod frame;
mod function;
mod keys;
mod nesting;
mod pickler;
mod probe;
mod reducers;

pub(crate) use decode::decode;
pub(crate) use encode::{Main, OutOfBand, encode, encode_part, encode_with};
pub(crate) use exception::{decode_exception, encode_exception};
pub(crate) use frame::frame_buffers;
pub(crate) use function::{
    _adopts_main, FunctionCache, adopt_global, begin_adopting, begin_adopting_all, ship,
};
pub(crate) use pickler::{encode_whole, load_whole, set_main_by_value};
pub(crate) use probe::{
    _CodecFunctions, _codec_buffers, _codec_dump_exception, _codec_dumps, _codec_load_exception,
    _codec_loads, _codec_ship,
};
pub(crate) use reducers::{register_inherited, register_reducer, register_shared, sharing};
