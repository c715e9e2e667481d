#!/usr/bin/env bash
# Does the core take more instructions than it did?
#
# usage: scripts/instructions.sh [--update]
#
# Counts, with callgrind, the instructions of one side in small exchanges that are always the same
# (scripts/instructions/src/main.rs), and compares them with scripts/instructions/counts.txt: a
# difference of more than 3 % either way fails. --update writes the file anew, so that a change that
# is meant shows up in review.
#
# "own" is the code of the program itself, "libc" what memcpy and its like take, in the plain variant
# that every x86-64 has. Counts hold for one version of rustc and of glibc: with another compiler the
# table is shown and nothing fails, with another glibc only "own" counts. Needs an x86-64 and
# Debian's package valgrind, which it installs as root; where it cannot, it says so and succeeds.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

tolerance=3 # in percent
crate=scripts/instructions
counts=$crate/counts.txt
target=${CARGO_TARGET_DIR:-target}/instructions
# What glibc is not to use, even where the processor has it.
plain=-AVX2,-AVX2_Usable,-AVX_Fast_Unaligned_Load,-ERMS,-FSRM
scenarios=(
    bulk-in
    bulk-out
    bulk-in-offload
    bulk-out-offload
    request-response
    accept-close
    connect-close
)

skip() {
    echo "instructions.sh: SKIPPED, nothing was compared: $*" >&2
    exit 0
}

# Prints "SCENARIO UNIT OWN LIBC", the last two for one unit.
measure() {
    local scenario=$1 unit count
    local profile=$work/$scenario.out
    # An empty environment: its size moves the stack, and with it how copies are aligned.
    env -i GLIBC_TUNABLES=glibc.cpu.hwcaps="$plain" valgrind --tool=callgrind --callgrind-out-file="$profile" \
        --compress-strings=no --compress-pos=no \
        --collect-atstart=no --toggle-collect='*instructions::subject*' \
        "$program" "$scenario" >"$work/$scenario.done" 2>"$work/$scenario.log" \
        || { cat "$work/$scenario.log" >&2; exit 1; }
    read -r unit count <"$work/$scenario.done"
    # A line that begins with a number is a line of source and what it cost by itself, but for the
    # one after "calls=", which is what was called.
    awk -v scenario="$scenario" -v unit="$unit" -v count="$count" -v program="$program" '
        /^ob=/ { object = index($0, program) ? "own" : index($0, "/libc.so") ? "libc" : "other" }
        /^calls=/ { called = 1; next }
        /^[0-9]/ {
            if (!called) cost[object] += $2
            called = 0
        }
        END { printf "%s %s %.1f %.1f\n", scenario, unit, cost["own"] / count, cost["libc"] / count }
    ' "$profile"
}

# Compares $work/now with the counts; the exit status says whether they agree.
compare() {
    awk -v tolerance="$tolerance" -v same_libc="$(grep -cxF "# $libc" $counts)" '
        function change(now, before) { return before > 0 ? 100 * (now - before) / before : 0 }
        function verdict(percent) {
            return percent > tolerance ? " MORE" : percent < -tolerance ? " FEWER" : ""
        }
        BEGIN {
            row = "%-17s %-10s %9s %9s %8s %9s %9s %8s %s\n"
            printf row, "scenario", "for one", "own", "before", "", "libc", "before", "", ""
        }
        /^#/ { next }
        NR == FNR { own[$1] = $3; libc[$1] = $4; next }
        {
            known = $1 in own
            by_own = change($3, own[$1])
            by_libc = change($4, libc[$1])
            found = known ? verdict(by_own) (same_libc ? verdict(by_libc) : "") : " NEW"
            if (found != "") failed = 1
            printf row, $1, $2, $3, own[$1], sprintf("%+.1f %%", by_own), $4, libc[$1], \
                sprintf("%+.1f %%", by_libc), found
            delete own[$1]
        }
        END {
            for (scenario in own) { print scenario ": GONE"; failed = 1 }
            exit failed
        }
    ' "$counts" "$work/now"
}

update=
case ${1:-} in
    --update) update=1 ;;
    "") ;;
    *) sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2; exit 2 ;;
esac
[ "$(uname -m)" = x86_64 ] || skip "counts are for x86-64"
command -v valgrind >/dev/null || apt_install valgrind || skip "please install valgrind"
RUSTFLAGS='' cargo build --quiet --release --locked --manifest-path $crate/Cargo.toml --target-dir "$target"
program=$(realpath "$target/release/instructions")
compiler=$(rustc --version)
libc=$(getconf GNU_LIBC_VERSION)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
for scenario in "${scenarios[@]}"; do
    measure "$scenario"
done >"$work/now"

if [ -n "$update" ]; then
    {
        echo "# Instructions, own and of libc: made by scripts/instructions.sh --update"
        echo "# $compiler"
        echo "# $libc"
        cat "$work/now"
    } >$counts
    cat $counts
    exit
fi
if compare; then
    echo "instructions.sh: within $tolerance % of $counts"
elif ! grep -qxF "# $compiler" $counts; then
    echo "instructions.sh: counts.txt is not of $compiler: NOT COMPARED" >&2
else
    echo "instructions.sh: not what $counts says; if it is meant: scripts/instructions.sh --update" >&2
    exit 1
fi
