#!/usr/bin/env bash
# How fast is MiniTCP beside smoltcp, and beside a TCP that does nothing?
#
# usage: scripts/bench.sh tun|offload|plain|pingpong [--reps N] [--secs S] [--only TEXT[,TEXT]]
#        scripts/bench.sh http|queues [--reps N] [--secs S] [--only TEXT[,TEXT]] [--connections N]
#        scripts/bench.sh scale [--reps N] [--only TEXT[,TEXT]] [--quick] [--svg FILE] [--markdown]
#        scripts/bench.sh loss [--seeds N] [--only TEXT[,TEXT]] [--write]
#        scripts/bench.sh hostile [--only TEXT[,TEXT]] [--quick] [--markdown] [--drops] [--check]
#
# "scale" needs neither root nor a device: round trips beside up to a million idle connections,
# connections in a second, throughput and heap in memory; samples go to $OUT/scale.jsonl, and with
# --svg docs/performance/flat.svg a plot there. All the others but "loss" and "hostile" go over a TUN
# device.
#
# "loss" needs neither, too: goodput over bad and long links, and what flows that share one have of it,
# for each controller of MiniTCP and of smoltcp in virtual time. The tables are medians of 30 seeds
# unless told, on all CPUs; they also go to $OUT/loss.md, and with --write to docs/performance.md.
#
# "hostile" needs neither, too: four dozen attacks on a stack in virtual time, what each makes it hold
# and do, and how honest hosts fare beside it (docs/hostile.md). All but times are the same in each
# run; --drops says why packets were dropped, --check fails if a row is MISSED. The table also goes
# to $OUT/hostile.txt.
#
# "offload" are the rows with super-packets and checksum offload, "plain" those without, "tun" is
# both in one run. "pingpong" is one octet there and back, on two CPUs and on one, for the stack in
# its own loop, under blocking sockets with threads, smoltcp and the kernel. "http" is requests per
# second under wrk (Debian's packages wrk and nginx-light, installed if they are missing), beside
# smoltcp, and nginx over the kernel's TCP. "queues" is the same for one queue with one stack and
# for two with two, without pinning, as there is nothing to gain from a second queue on one CPU.
#
# They need root, two CPUs and Debian's packages iproute2, util-linux, procps and python3. All traffic
# stays in network namespaces that the run makes and removes. Samples go to $OUT/tun.jsonl
# (OUT=out/bench), the table to standard output. MINITCP is the command of our stack
# (target/release/minitcp bench-server --tun tun0 --addr 10.77.0.1), which also takes --offload
# on|off; without the program the peers run alone.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
target=${CARGO_TARGET_DIR:-$root/target}
peers_target=$target/bench-peers
out=${OUT:-$root/out/bench}
. "$root/scripts/apt.sh"

usage() {
    sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
    exit 2
}

need() {
    for tool in "$@"; do
        command -v "$tool" >/dev/null || { echo "bench.sh: $tool is missing" >&2; exit 1; }
    done
}

# Debian's package of a program, where that is not there.
install_missing() {
    local packages=()
    command -v wrk >/dev/null || packages+=(wrk)
    command -v nginx >/dev/null || packages+=(nginx-light)
    [ "${#packages[@]}" != 0 ] || return 0
    apt_install "${packages[@]}" ||
        { echo "bench.sh: please install ${packages[*]}" >&2; exit 1; }
}

build() {
    cargo build --quiet --release --locked --manifest-path "$root/scripts/bench-peers/Cargo.toml" \
        --target-dir "$peers_target"
    if cargo metadata --no-deps --format-version 1 --manifest-path "$root/Cargo.toml" \
        | grep -q '"crate_types":\["bin"\],"name":"minitcp"'; then
        cargo build --quiet --release --locked --manifest-path "$root/Cargo.toml" \
            --target-dir "$target" --bin minitcp
    fi
}

tun() {
    local stack=() program=$target/release/minitcp command=${MINITCP:-}
    if [ -z "$command" ] && [ -x "$program" ]; then
        command="$program bench-server --tun tun0 --addr 10.77.0.1"
    fi
    if [ -n "$command" ]; then
        stack=(--stack "minitcp plain=$command --offload off"
            --stack "minitcp vnet=$command --offload on")
        [ "$rows" != pingpong ] || stack+=(--stack "minitcp threads=$command --offload off --threads")
    else
        echo "bench.sh: no $program; measuring the peers alone" >&2
    fi
    local options=("${stack[@]}" --bin "$peers_target/release" --out "$out" "$@")
    local only=""
    case $rows in
        offload) only=vnet ;;
        plain) only="minitcp plain,smoltcp sock,toy ack" ;;
        pingpong)
            only="minitcp plain,minitcp threads,smoltcp sock=64K,linux"
            options+=(--dirs rr,rr1)
            ;;
    esac
    # The last --only counts: that of the caller, if there is one.
    python3 "$root/scripts/bench-peers/run_tun.py" --only "$only" "${options[@]}"
}

# Both stacks without a device, compared in one run.
scale() {
    need cargo python3
    cargo build --quiet --release --locked --manifest-path "$root/scripts/bench-peers/Cargo.toml" \
        --target-dir "$peers_target" --bin mini_mem --bin smol_mem
    python3 "$root/scripts/bench-peers/run_scale.py" --bin "$peers_target/release" --out "$out" "$@"
}

# Bad and long links, in virtual time.
loss() {
    need cargo
    cargo build --quiet --release --locked --manifest-path "$root/scripts/bench-peers/Cargo.toml" \
        --target-dir "$peers_target" --bin mini_loss
    local options=()
    for word in "$@"; do
        options+=("$word")
        [ "$word" != --write ] || options+=("$root/docs/performance.md")
    done
    mkdir -p "$out"
    "$peers_target/release/mini_loss" "${options[@]}" | tee "$out/loss.md"
}

# What hostile peers can do, in memory.
hostile() {
    need cargo
    cargo build --quiet --release --locked --manifest-path "$root/scripts/bench-peers/Cargo.toml" \
        --target-dir "$peers_target" --bin mini_hostile
    mkdir -p "$out"
    "$peers_target/release/mini_hostile" "$@" | tee "$out/hostile.txt"
}

http() {
    local command=${MINITCP:-$target/release/minitcp bench-server --tun tun0 --addr 10.77.0.1}
    python3 "$root/scripts/bench-peers/run_http.py" --bin "$peers_target/release" --out "$out" \
        --stack "minitcp plain=$command --offload off" \
        --stack "minitcp vnet=$command --offload on" \
        --stack "minitcp threads=$command --offload off --threads" "$@"
}

queues() {
    local command=${MINITCP:-$target/release/minitcp bench-server --tun tun0 --addr 10.77.0.1}
    python3 "$root/scripts/bench-peers/run_http.py" --bin "$peers_target/release" --out "$out" \
        --spread --only queue --stack "one queue=$command" \
        --stack "two queues=$command --queues 2" "$@"
}

rows=${1:-}
case $rows in scale | loss | hostile)
    shift
    "$rows" "$@"
    exit
    ;;
esac
case $rows in tun | offload | plain | pingpong | http | queues) shift ;; *) usage ;; esac
[ "$(id -u)" = 0 ] || { echo "bench.sh: must be root" >&2; exit 1; }
need cargo ip taskset sysctl python3
case $rows in http | queues) install_missing ;; esac
build
case $rows in http | queues) "$rows" "$@" ;; *) tun "$@" ;; esac
