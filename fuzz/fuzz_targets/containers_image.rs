//! See `phalanx_fuzz::containers_image`.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| phalanx_fuzz::containers_image::run(data));
