//! `cargo +nightly fuzz run script`: see `minitcp_fuzz::script`. Built without the fuzzer, it
//! takes the files that are named to it, which repeats a finding with any toolchain.

#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| {
    minitcp_fuzz::script(data);
});

#[cfg(not(fuzzing))]
fn main() -> std::io::Result<()> {
    minitcp_fuzz::repeat(minitcp_fuzz::script)
}
