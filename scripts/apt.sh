# shellcheck shell=bash
# To be sourced by the other scripts.

# Installs packages of Debian, and says so; fails where that cannot be: not root, no apt, no network.
apt_install() {
    [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null || return 1
    echo "== installing $*" >&2
    # A server that starts by itself is not wanted, nor a question.
    DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 apt-get update -qq >&2 &&
        DEBIAN_FRONTEND=noninteractive RUNLEVEL=1 \
            apt-get install -qq -y --no-install-recommends "$@" >/dev/null
}
