#!/usr/bin/env bash
# What breaks when anything may happen? Runs the fuzz targets.
#
# usage: scripts/fuzz.sh [SECONDS [TARGET...]]      (60 seconds of each target, two at a time)
#
# Needs a nightly toolchain; installs cargo-fuzz if it is missing, and says so and skips where
# neither can be had. New inputs go to out/fuzz/corpus, findings to out/fuzz/artifacts, the whole
# log of each target to out/fuzz/TARGET.log: put a finding under fuzz/findings/TARGET, where
# tests/corpus.rs repeats it for ever. An input that takes more than FUZZ_UNIT_SECONDS (10) is a
# finding, too: more, where the machine has other things to do. The exit status is 1 if anything
# was found.
set -euo pipefail
cd "$(dirname "$0")/../fuzz"

seconds=${1:-60}
shift $(($# > 0))
targets=("$@")
[ "${#targets[@]}" != 0 ] || targets=(segment stack pair script)

skip() {
    echo "fuzz.sh: $*; NOT FUZZING" >&2
    exit 0
}
cargo +nightly --version >/dev/null 2>&1 ||
    skip "no nightly toolchain (rustup toolchain install nightly)"
command -v cargo-fuzz >/dev/null || cargo install --locked --quiet cargo-fuzz ||
    skip "cargo-fuzz cannot be installed"

# No address sanitizer: the code under test forbids unsafe, and without it runs three times as often.
mkdir -p ../out/fuzz ../target/fuzz
CARGO_TARGET_DIR=$(realpath "${FUZZ_TARGET_DIR:-../target/fuzz}")
export CARGO_TARGET_DIR
out=$(realpath "${FUZZ_OUT:-../out/fuzz}")
# Nor are comparisons traced, which costs half of the rest: dictionaries and seeds know the numbers.
build=(--fuzz-dir . --sanitizer none --debug-assertions --no-trace-compares)

# Everything is built before anything is timed.
for target in "${targets[@]}"; do
    cargo +nightly fuzz build "${build[@]}" "$target"
done

fuzz() {
    local target=$1 most=512 dictionary=() folders seeds status=0
    [ "$target" != script ] || most=4096
    mkdir -p "$out/corpus/$target" "$out/artifacts/$target"
    [ ! -f "dictionaries/$target" ] || dictionary=("-dict=dictionaries/$target")
    folders=("$out/corpus/$target")
    for seeds in corpus findings; do
        [ ! -d "$seeds/$target" ] || folders+=("$seeds/$target")
    done
    cargo +nightly fuzz run "${build[@]}" "$target" "${folders[@]}" -- \
        -max_total_time="$seconds" -max_len="$most" -timeout="${FUZZ_UNIT_SECONDS:-10}" -rss_limit_mb=2048 \
        -print_final_stats=1 -artifact_prefix="$out/artifacts/$target/" "${dictionary[@]}" \
        >"$out/$target.log" 2>&1 || status=$?
    echo "== $target, $seconds s: exit status $status"
    grep -aE "^(stat::|SUMMARY|artifact|Done|assertion|  left|  right|Test unit)|panicked|^error" \
        "$out/$target.log" || tail -n 20 "$out/$target.log"
    return "$status"
}

failed=()
for ((at = 0; at < ${#targets[@]}; at += 2)); do
    jobs=()
    for target in "${targets[@]:at:2}"; do
        fuzz "$target" &
        jobs+=("$!:$target")
    done
    for job in "${jobs[@]}"; do
        wait "${job%%:*}" || failed+=("${job##*:}")
    done
done
if [ "${#failed[@]}" != 0 ]; then
    echo "fuzz.sh: findings in ${failed[*]}: see $out/artifacts" >&2
    exit 1
fi
