#!/usr/bin/env bash
# Which line of code meets which requirement of the RFCs, and which test shows it?
#
# usage: scripts/conformance.sh [--check | --write]
#
#   --check   (the default) fails on a requirement in scope that no test shows and nothing is stated
#             of, on an open one that a test shows, on an id that does not exist, and on a page that
#             is out of date; first come the tests of the program that looks
#   --write   writes docs/conformance.md
#
# docs/conformance/ has the requirements, the scope, and what is stated; how to cite is said in
# CONTRIBUTING.md. Either way target/conformance/duvet.json is the report in the form of
# `duvet report --json`.
set -euo pipefail
cd "$(dirname "$0")/.."

crate=scripts/conformance/Cargo.toml
target=${CARGO_TARGET_DIR:-target}/conformance
case ${1:---check} in
    --check) cargo test --quiet --locked --manifest-path $crate --target-dir "$target" >&2 ;;
    --write) ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
mkdir -p "$target"
DUVET_REPORT=$target/duvet.json cargo run --quiet --locked --manifest-path $crate --target-dir "$target" \
    -- "${1:---check}"
