//! `cargo fuzz run --features libfuzzer pair`: see `minitcp_fuzz::pair`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    minitcp_fuzz::pair(data);
});
