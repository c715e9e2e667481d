#!/usr/bin/env bash
# Does it work? All tests, and the conversations with unmodified programs.
#
# usage: scripts/test.sh              all of it
#        scripts/test.sh --install    only installs what the tests need
#
# As root on Debian it installs what the tests need and is not there; otherwise it names what is
# missing. Everything that touches a network happens in namespaces of its own. On two cores that do
# nothing else it takes 9 minutes, and the first time as many more to build everything: each step
# says what it takes.
#
# The last line counts all tests: "N passed, N failed, N skipped". What was skipped is named above it.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

# A program that is needed, and Debian's package for it; of perl a module, of gcc what it links.
needed=(
    ip:iproute2
    unshare:util-linux
    sysctl:procps
    perl_json:perl
    cc_libc:libc6-dev
    setpriv:util-linux
    script:bsdutils
    nm:binutils
    ping:iputils-ping
    nc.openbsd:netcat-openbsd
    curl:curl
    tcpdump:tcpdump
    tshark:tshark
    gcc:gcc
    g++:g++
    valgrind:valgrind
)

is_there() {
    case $1 in
        perl_json) perl -MJSON::PP -e 1 2>/dev/null ;;
        cc_libc) [ -e /usr/include/stdio.h ] ;;
        *) command -v "$1" >/dev/null ;;
    esac
}

install_missing() {
    local packages=() entry
    for entry in "${needed[@]}"; do
        is_there "${entry%%:*}" || packages+=("${entry##*:}")
    done
    [ "${#packages[@]}" != 0 ] || return 0
    apt_install "${packages[@]}" ||
        echo "test.sh: please install ${packages[*]}: what needs them will be skipped" >&2
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

# Tests that cannot be run write that into a file, as the test harness takes them for passed; those
# that are not run unless asked for it calls ignored.
name_skipped() {
    sort -u "$MINITCP_SKIPPED" -o "$MINITCP_SKIPPED"
    passed=$((passed - $(grep -c '^test ' "$MINITCP_SKIPPED" || true)))
    skipped=$(wc -l <"$MINITCP_SKIPPED")
    [ "$skipped" = 0 ] || { echo "== skipped"; sed 's/^/    /' "$MINITCP_SKIPPED"; }
}
ignored() { sed -nE 's/^test (.*) \.\.\. ignored,? *(.*)/ignored \1: \2/p' "$log" >>"$MINITCP_SKIPPED"; }

began() { started=$SECONDS; }
took() { echo "-- this took $((SECONDS - started)) s"; }

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
[ "$*" != --install ] || exit 0
work=$(mktemp -d)
log=$work/test.log
pause=
export MINITCP_SKIPPED=$work/skipped
: >"$MINITCP_SKIPPED"
trap clean_up EXIT
trap 'exit 1' INT TERM
passed=0
failed=0
skipped=0
status=0

echo "== the programs, and a long pause in the background (the first time, some 2 minutes)"
began
start_pause
took

echo "== cargo test (some 4 minutes; the first time, 3 more to build)"
began
cargo test --workspace --features "$features" --locked --no-fail-fast 2>&1 | tee "$log" || status=1
count '^test result: '
ignored
took

echo "== what the fuzzer found, once more"
began
cargo test --manifest-path fuzz/Cargo.toml --target-dir "${CARGO_TARGET_DIR:-target}/fuzz-tests" \
    --locked --no-fail-fast 2>&1 | tee "$log" || status=1
count '^test result: '
took

echo "== what measures MiniTCP beside others"
began
cargo test --manifest-path scripts/bench-peers/Cargo.toml \
    --target-dir "${CARGO_TARGET_DIR:-target}/bench-peers" --locked --no-fail-fast 2>&1 |
    tee "$log" || status=1
count '^test result: '
took

echo "== end to end (some 3 minutes, and until the pause of five minutes is over)"
began
scripts/e2e.sh 2>&1 | tee "$log" || status=1
count '^[0-9]+ passed, [0-9]+ failed, [0-9]+ skipped$'
sed -n 's/^SKIP: /end to end: /p' "$log" >>"$MINITCP_SKIPPED"
took

# What fails without being counted, such as a build, is a failure too.
[ "$status" = 0 ] || [ "$failed" != 0 ] || failed=1
name_skipped
echo "$passed passed, $failed failed, $skipped skipped"
exit "$status"
