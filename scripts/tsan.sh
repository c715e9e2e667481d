#!/usr/bin/env bash
# Do the threads of minitcp-sockets race? Its tests with threads and tasks under ThreadSanitizer, the
# stress of 64 threads and 10,000 connections among them.
#
# usage: scripts/tsan.sh [CONNECTIONS]
#
# Needs a nightly toolchain with rust-src, since the standard library must be built with the
# sanitizer too, and has rustup add the latter; without one it skips everything, and says so. Exit
# status 0: no race, or skipped.
set -euo pipefail
cd "$(dirname "$0")/.."

source=$(rustc +nightly --print sysroot 2>/dev/null || true)/lib/rustlib/src/rust/library/Cargo.lock
[ -f "$source" ] || timeout 300 rustup component add --toolchain nightly rust-src >/dev/null 2>&1 || true
if [ ! -f "$source" ]; then
    echo "tsan.sh: SKIPPED, nothing was checked: there is no nightly toolchain with rust-src." >&2
    echo "tsan.sh: rustup toolchain install nightly --component rust-src" >&2
    exit 0
fi

target=$(rustc +nightly --print host-tuple)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# A sanitizer that finds nothing here would prove nothing below.
cat >"$work/racy.rs" <<'RUST'
use std::cell::UnsafeCell;

struct Racy(UnsafeCell<u64>);
unsafe impl Sync for Racy {}
static COUNTER: Racy = Racy(UnsafeCell::new(0));

#[inline(never)]
fn count() {
    for _ in 0..1000 {
        unsafe { *COUNTER.0.get() += 1 }
    }
}

fn main() {
    let threads: Vec<_> = (0..4).map(|_| std::thread::spawn(count)).collect();
    threads.into_iter().for_each(|thread| thread.join().unwrap());
    println!("{}", unsafe { *COUNTER.0.get() });
}
RUST
rustc +nightly -O -Zsanitizer=thread -Cunsafe-allow-abi-mismatch=sanitizer -o "$work/racy" \
    "$work/racy.rs"
if "$work/racy" >/dev/null 2>"$work/report" || ! grep -q "data race" "$work/report"; then
    echo "tsan.sh: the sanitizer does not find a race where there is one" >&2
    exit 1
fi

# Tests unwind; a second standard library for the profile's `panic = "abort"` would be in the way.
export RUSTFLAGS=-Zsanitizer=thread CARGO_TARGET_DIR=target/tsan
export CARGO_PROFILE_RELEASE_LTO=off CARGO_PROFILE_RELEASE_PANIC=unwind
export STRESS_CONNECTIONS=${1:-10000}
cargo +nightly test -Zbuild-std --target "$target" --release --locked -p minitcp-sockets \
    --features tokio,futures-io --test threaded --test tasks --test std_net -- --nocapture
echo "no data race found with $STRESS_CONNECTIONS connections"
