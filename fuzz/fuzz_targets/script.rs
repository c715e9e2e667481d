//! `cargo fuzz run --features libfuzzer script`: see `minitcp_fuzz::script`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| minitcp_fuzz::script(data));
