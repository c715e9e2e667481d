#!/usr/bin/env bash
# Is this tree fit to be committed? Everything that CI does.
#
# usage: scripts/check.sh
#
# Each fuzz target runs for FUZZ_SECONDS, 60 unless told, and two at a time: two minutes in all,
# and one more in a clean clone to build them.
set -euo pipefail
cd "$(dirname "$0")/.."

step() {
    echo "== $*" >&2
    "$@"
}

features=minitcp-sockets/tokio,minitcp-sockets/futures-io,minitcp-sockets/capi

step cargo fmt --all --check
step cargo clippy --workspace --all-targets --locked -- -D warnings
step cargo clippy --workspace --all-targets --features "$features" --locked -- -D warnings
RUSTDOCFLAGS="-D warnings" step cargo doc --workspace --no-deps --features "$features" --locked
step cargo build -p minitcp-proto --no-default-features --locked
step scripts/instructions.sh
step scripts/test.sh
step scripts/fuzz.sh "${FUZZ_SECONDS:-60}"
