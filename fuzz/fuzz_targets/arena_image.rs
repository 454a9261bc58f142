//! See `phalanx_fuzz::arena_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| phalanx_fuzz::arena_image::run(data));
