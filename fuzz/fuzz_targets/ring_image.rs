//! See `phalanx_fuzz::ring_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| phalanx_fuzz::ring_image::run(data));
