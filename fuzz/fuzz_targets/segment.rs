//! `cargo fuzz run --features libfuzzer segment`: see `minitcp_fuzz::segment`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| minitcp_fuzz::segment(data));
