#!/usr/bin/env bash
# Which devices do the examples use? Makes them, in the network namespace it is run in.
#
#   tun0   kernel 10.0.0.1 <-> 10.0.0.2 MiniTCP
#   tun1   kernel 10.0.1.1 <-> 10.0.1.2 MiniTCP
#
# usage: scripts/setup_tun.sh [--forward]
#
# --forward lets the kernel route between them (for the whole namespace). Needs root; run through
# sudo, the devices belong to the caller, whose programs then need no privilege. Safe to run twice.
set -euo pipefail

fail() {
    echo "setup_tun.sh: $1" >&2
    exit 1
}

forward=
case "${1:-}" in
    '') ;;
    --forward) forward=1 ;;
    *) fail "unknown option $1; usage: scripts/setup_tun.sh [--forward]" ;;
esac
[ "$#" -le 1 ] || fail "too many arguments; usage: scripts/setup_tun.sh [--forward]"
[ "$(id -u)" = 0 ] || fail "must be root: sudo scripts/setup_tun.sh"
command -v ip >/dev/null || fail "ip is missing: apt-get install iproute2"
if [ ! -e /dev/net/tun ]; then
    mkdir -p /dev/net && mknod /dev/net/tun c 10 200 2>/dev/null \
        || fail "no /dev/net/tun, and it cannot be made: is the tun module there?"
fi

for number in 0 1; do
    device=tun$number
    if ! ip link show "$device" >/dev/null 2>&1; then
        ip tuntap add dev "$device" mode tun ${SUDO_UID:+user "$SUDO_UID"}
    fi
    # These links speak IPv4 only; the kernel's router solicitations would be noise in traces.
    echo 1 2>/dev/null >"/proc/sys/net/ipv6/conf/$device/disable_ipv6" || true
    ip address replace "10.0.$number.1" peer "10.0.$number.2" dev "$device"
    ip link set "$device" up
done
if [ -n "$forward" ]; then
    echo 1 >/proc/sys/net/ipv4/ip_forward || fail "cannot turn on forwarding"
fi
