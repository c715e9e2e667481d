#!/usr/bin/env bash
# Is this tree fit to be committed? Everything that CI does.
#
# usage: scripts/check.sh            everything
#        scripts/check.sh --fresh    only what a visitor does first, in a bare Debian: scripts/fresh.sh
#
# Each fuzz target runs for FUZZ_SECONDS, 60 unless told, and two at a time: two minutes in all,
# and one more in a clean clone to build them.
set -euo pipefail
cd "$(dirname "$0")/.."

case "$*" in
    '') ;;
    --fresh) exec scripts/fresh.sh ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac

step() {
    local began=$SECONDS
    echo "== $*" >&2
    "$@"
    echo "-- this took $((SECONDS - began)) s" >&2
}

features=minitcp-sockets/tokio,minitcp-sockets/futures-io,minitcp-sockets/capi

step scripts/test.sh --install
step cargo fmt --all --check
step cargo fmt --manifest-path fuzz/Cargo.toml --check
step cargo fmt --manifest-path scripts/conformance/Cargo.toml --check
step cargo fmt --manifest-path scripts/bench-peers/Cargo.toml --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
step cargo clippy --workspace --all-targets --features "$features" --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --features "$features" --locked
step cargo clippy --manifest-path fuzz/Cargo.toml --all-targets --locked \
    --target-dir "${CARGO_TARGET_DIR:-target}/fuzz-tests" -- -D warnings
step scripts/conformance.sh --check
step cargo clippy --manifest-path scripts/conformance/Cargo.toml --all-targets --locked \
    --target-dir "${CARGO_TARGET_DIR:-target}/conformance" -- -D warnings
step cargo clippy --manifest-path scripts/bench-peers/Cargo.toml --bin mini_loss --profile test --locked \
    --target-dir "${CARGO_TARGET_DIR:-target}/bench-peers" -- -D warnings
step cargo build -p minitcp-proto --no-default-features --locked
step scripts/targets.sh
step scripts/instructions.sh
step scripts/test.sh
step scripts/fuzz.sh "${FUZZ_SECONDS:-60}"
