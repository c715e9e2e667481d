#!/usr/bin/env bash
# What breaks when anything may happen? Runs the fuzz targets.
#
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]      (60 seconds of each target)
#
# Needs a nightly toolchain; installs cargo-fuzz if it is missing. New inputs go to
# out/fuzz/corpus, findings to out/fuzz/artifacts: put a finding under fuzz/findings/TARGET, where
# tests/corpus.rs repeats it for ever.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift $(($# > 0))
targets=("$@")
[ "${#targets[@]}" != 0 ] || targets=(segment stack pair script)

if ! cargo +nightly --version >/dev/null 2>&1; then
    echo "fuzz.sh: no nightly toolchain (rustup toolchain install nightly); not fuzzing" >&2
    exit 0
fi
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz

# The release profile's fat LTO and single unit do not go with coverage instrumentation.
export CARGO_PROFILE_RELEASE_LTO=false CARGO_PROFILE_RELEASE_CODEGEN_UNITS=16
export CARGO_TARGET_DIR=${FUZZ_TARGET_DIR:-../target/fuzz}
out=${FUZZ_OUT:-../out/fuzz}

for target in "${targets[@]}"; do
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    echo "== fuzzing $target for $seconds s"
    dictionary=()
    [ ! -f "dictionaries/$target" ] || dictionary=("-dict=dictionaries/$target")
    folders=("$out/corpus/$target")
    for seeds in corpus findings; do
        [ ! -d "$seeds/$target" ] || folders+=("$seeds/$target")
    done
    cargo +nightly fuzz run --fuzz-dir . --features libfuzzer "$target" "${folders[@]}" -- \
        -max_total_time="$seconds" -max_len=4096 -timeout=10 -print_final_stats=1 \
        -artifact_prefix="$out/artifacts/$target/" "${dictionary[@]}" 2>&1 |
        grep -E "^(stat::|==|thread|SUMMARY|artifact|Done|assertion|  left|  right)|panicked"
done
