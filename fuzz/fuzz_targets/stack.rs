//! `cargo fuzz run --features libfuzzer stack`: see `minitcp_fuzz::stack`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    minitcp_fuzz::stack(data);
});
