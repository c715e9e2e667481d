#!/usr/bin/env bash
# Does it work? All tests, and the conversations with unmodified programs.
#
# usage: scripts/test.sh
#
# As root on Debian it installs what the end-to-end tests need and is not there. Everything that
# touches a network happens in namespaces of its own. The last line counts all tests:
# "N passed, N failed".
set -euo pipefail
cd "$(dirname "$0")/.."

# A program that is needed, and Debian's package for it.
needed=(
    ip:iproute2
    unshare:util-linux
    ping:iputils-ping
    nc.openbsd:netcat-openbsd
    curl:curl
    tcpdump:tcpdump
    tshark:tshark
    gcc:gcc
    g++:g++
    valgrind:valgrind
)

install_missing() {
    local packages=() entry
    for entry in "${needed[@]}"; do
        command -v "${entry%%:*}" >/dev/null || packages+=("${entry##*:}")
    done
    [ "${#packages[@]}" != 0 ] || return 0
    if [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
        echo "test.sh: please install: ${packages[*]}" >&2
        return 0
    fi
    echo "== installing ${packages[*]}"
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    apt-get install -qq -y --no-install-recommends "${packages[@]}" >/dev/null
}

# Adds up the lines that match $1, of which the first two numbers are passed and failed.
count() {
    local line numbers
    while read -r line; do
        read -r -a numbers <<<"$(tr -c '0-9\n' ' ' <<<"$line")"
        passed=$((passed + numbers[0]))
        failed=$((failed + numbers[1]))
    done < <(grep -E "$1" "$log" || true)
}

# What is off unless asked for, and tested all the same.
features=minitcp-sockets/tokio,minitcp-sockets/futures-io,minitcp-sockets/capi

# A pause of more than five minutes goes on beside everything else. scripts/e2e.sh waits for its
# verdict at the end, and counts it.
start_pause() {
    cargo build --release --locked --package minitcp-apps --bins || return 0 # e2e.sh says so, too.
    scripts/e2e_pause.sh 305 "$work/verdict" >"$work/log" 2>&1 &
    pause=$!
    echo "$pause" >"$work/pid"
    export E2E_PAUSE=$work
}

clean_up() {
    [ -z "$pause" ] || kill "$pause" 2>/dev/null || true
    rm -rf "$work"
}

install_missing
work=$(mktemp -d)
log=$work/test.log
pause=
trap clean_up EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
status=0

echo "== a long pause, in the background"
start_pause

echo "== cargo test"
cargo test --workspace --features "$features" --locked --no-fail-fast 2>&1 | tee "$log" || status=1
count '^test result: '

echo "== end to end"
scripts/e2e.sh 2>&1 | tee "$log" || status=1
count '^[0-9]+ passed, [0-9]+ failed$'

# What fails without being counted, such as a build, is a failure too.
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
echo "$passed passed, $failed failed"
exit "$status"
