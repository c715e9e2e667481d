#!/usr/bin/env bash
# Builds MiniTCP as a library for C: libminitcp_sockets.so and libminitcp_sockets.a, for
# minitcp-sockets/include/minitcp.h. Prints the folder they are in.
#
# usage: scripts/build-capi.sh [--debug]
#
# A panic unwinds in this profile, so that it ends as EIO and does not take the C program with it.
set -euo pipefail

case "${1:-}" in
    '') profile=capi folder=capi ;;
    --debug) profile=dev folder=debug ;;
    *) echo "usage: scripts/build-capi.sh [--debug]" >&2; exit 2 ;;
esac
target=$(realpath -m "${CARGO_TARGET_DIR:-"$(dirname "$0")/../target"}")
cd "$(dirname "$0")/.."
"${CARGO:-cargo}" rustc --quiet --locked --package minitcp-sockets --lib --features capi \
    --profile "$profile" --target-dir "$target" --crate-type cdylib,staticlib
echo "$target/${CARGO_BUILD_TARGET:+$CARGO_BUILD_TARGET/}$folder"
