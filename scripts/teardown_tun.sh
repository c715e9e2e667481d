#!/usr/bin/env bash
# Removes what setup_tun.sh made, forwarding excepted: others may rely on it by now.
#
# usage: scripts/teardown_tun.sh
#
# Needs root. Safe to run twice.
set -euo pipefail

[ "$(id -u)" = 0 ] || { echo "teardown_tun.sh: must be root" >&2; exit 1; }
for device in tun0 tun1; do
    if ip link show "$device" >/dev/null 2>&1; then
        ip link delete "$device"
    fi
done
