//! The Python door to the phalanx engine: the private module `phalanx._core`.
#![deny(unsafe_code)]

mod codec;
mod ffi;

use pyo3::prelude::*;

/// The private extension module of the `phalanx` package.
#[pymodule]
mod _core {
    #[pymodule_export]
    use crate::codec::{
        _CodecFunctions, _adopts_main, _codec_buffers, _codec_dump_exception, _codec_dumps,
        _codec_load_exception, _codec_loads, _codec_ship, register_reducer, set_main_by_value,
    };
}
