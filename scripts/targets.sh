#!/usr/bin/env bash
# Does it build elsewhere, and do the same seeds give the same packets there?
#
#   thumbv7em-none-eabihf      the core, without and with `alloc`; scripts/firmware, an image whose
#                              memory must be in .bss, and which may panic only in the files that
#                              docs/embedding.md names
#   wasm32-unknown-unknown     the core and the simulator
#   i686-unknown-linux-gnu     both, and their tests, run on 32 bits; examples/hashes.rs of the
#                              simulator must print there what it prints on this machine
#
# usage: scripts/targets.sh [--from rustup|debian]
#
# Standard libraries come from rustup, where it has or can fetch them; else they are built from
# Debian's packages rustc-web and rust-web-src, installed as root if they are missing. Tests on 32
# bits need gcc-multilib, likewise. About 5 minutes, 3 of which are tests. The last line counts:
# "N passed, N failed, N skipped", and what was skipped has its reason above.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

from=any
case "$*" in
    '') ;;
    '--from rustup' | '--from debian') from=$2 ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
passed=0
failed=0
skipped=()
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-target}/targets
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

main() {
    check thumbv7em-none-eabihf "core" build_for build -p minitcp-proto --no-default-features
    check thumbv7em-none-eabihf "core with alloc" build_for build -p minitcp-proto
    check thumbv7em-none-eabihf "an image" looks_right
    check wasm32-unknown-unknown "core and simulator" build_for build -p minitcp-proto -p minitcp-driver-sim
    check i686-unknown-linux-gnu "core and simulator" build_for build -p minitcp-proto -p minitcp-driver-sim
    if links_32_bits; then
        check i686-unknown-linux-gnu "tests on 32 bits, some 3 minutes" \
            build_for test -p minitcp-proto -p minitcp-driver-sim
        check i686-unknown-linux-gnu "the hashes of this machine" same_hashes
    else
        skip "i686-unknown-linux-gnu: tests" "please install gcc-multilib"
        skip "i686-unknown-linux-gnu: hashes" "please install gcc-multilib"
    fi
    echo "$passed passed, $failed failed, ${#skipped[@]} skipped$(list)"
    [ "$failed" = 0 ]
}

# Runs a function for a target, whose name is its first argument.
check() {
    local target=$1 name="$1: $2" what=$3
    shift 3
    echo "== $name"
    if ! provide "$target"; then
        skip "$name" "rustup cannot provide it, nor Debian's rustc-web and rust-web-src"
        return
    fi
    verdict "$name" "$what" "$target" "$@"
}

# The hosts of examples/bare.rs as an image.
looks_right() {
    local image=$CARGO_TARGET_DIR/$1/release/firmware linked linker=
    if [ "$source" = debian ]; then
        image=$CARGO_TARGET_DIR/debian/$1/release/firmware
        linker="-C linker=ld.lld" # Rust's own is not in Debian's package.
        command -v ld.lld >/dev/null || apt_install lld || return 1
    fi
    RUSTFLAGS="-C link-arg=-Tlink.x -L$PWD/scripts/firmware $linker" \
        build_for "$1" build --release --manifest-path scripts/firmware/Cargo.toml || return 1
    section() { readelf -SW "$image" | awk -v name="$1" '{ sub(/^ *\[ *[0-9]+\] /, "") }
        $1 == name { print $5 }'; }
    size() { echo $((16#$(section "$1"))); }
    echo "code $(size .text), constants $(size .rodata), .data $(size .data), .bss $(size .bss)"
    [ "$(size .data)" -lt 256 ] && [ "$(size .bss)" -gt 65536 ] ||
        { echo "the memory of the two hosts is not in .bss" >&2; return 1; }
    # Where a panic can come from is in the image as the name of a file.
    linked=$(strings "$image" | grep -oE '[A-Za-z0-9_./-]+\.rs' |
        sed -E 's#^.*/([^/]+/src/)#\1#; s/-[0-9]+(\.[0-9]+)+//' | sort -u)
    [ -n "$linked" ] || { echo "the image names no place: does its handler keep them?" >&2; return 1; }
    while read -r file; do
        grep -qF "\`$file\`" docs/embedding.md ||
            { echo "$file can panic, which docs/embedding.md does not say" >&2; return 1; }
    done <<<"$linked"
}

# The same seeds here and there.
same_hashes() {
    local run=(run --quiet -p minitcp-driver-sim --example hashes)
    cargo "${run[@]}" --locked >"$work/here" &&
        build_for "$1" "${run[@]}" >"$work/there" &&
        diff "$work/here" "$work/there" &&
        [ "$(wc -l <"$work/here")" -ge 100 ] &&
        echo "$(wc -l <"$work/here") lines are the same"
}

# Whether the standard library of a target can be had, and from where.
provide() {
    source=
    if [ "$from" != debian ] && by_rustup "$1"; then
        source=rustup
    elif [ "$from" != rustup ] && by_debian; then
        source=debian
    fi
    [ -n "$source" ]
}

by_rustup() {
    command -v rustup >/dev/null || return 1
    rustup target list --installed 2>/dev/null | grep -qxF "$1" ||
        timeout 120 rustup target add "$1" >/dev/null 2>&1
}

by_debian() {
    if [ ! -f "$debian_source" ] || [ ! -x /usr/bin/rustc ]; then
        apt_install rustc-web rust-web-src
    fi
    [ -f "$debian_source" ] && [ -x /usr/bin/rustc ]
}
debian_source=/usr/lib/rustlib/src/rust/library/Cargo.lock

build_for() {
    local target=$1 crates=std,panic_abort
    shift
    if [ "$source" = rustup ]; then
        cargo "$@" --locked --target "$target"
        return
    fi
    # -Zbuild-std is for nightly toolchains, unless the compiler is told otherwise.
    [ "$target" != thumbv7em-none-eabihf ] || crates=core,alloc
    RUSTC=/usr/bin/rustc RUSTDOC=/usr/bin/rustdoc RUSTC_BOOTSTRAP=1 \
        CARGO_TARGET_DIR=$CARGO_TARGET_DIR/debian \
        cargo "$@" --locked --target "$target" "-Zbuild-std=$crates"
}

links_32_bits() {
    echo 'int main(void) { return 0; }' >"$work/probe.c"
    can_link || { apt_install gcc-multilib && can_link; }
}
can_link() { gcc -m32 -o "$work/probe" "$work/probe.c" 2>/dev/null && "$work/probe"; }

verdict() {
    local name=$1 began=$SECONDS
    shift
    if "$@"; then
        echo "ok      $name (from $source, $((SECONDS - began)) s)"
        passed=$((passed + 1))
    else
        echo "FAILED  $name"
        failed=$((failed + 1))
    fi
}

skip() {
    echo "SKIP: $1: $2"
    skipped+=("$1")
}

# The names of what was skipped.
list() {
    [ "${#skipped[@]}" = 0 ] || printf ': %s' "$(printf '%s; ' "${skipped[@]}" | sed 's/; $//')"
}

main
