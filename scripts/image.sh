#!/usr/bin/env bash
# What is done for the container image (docker/Dockerfile), one stage after the other; each also
# works without a container engine, as scripts/fresh.sh shows.
#
# usage: scripts/image.sh packages|build|demo|test|install DIR
#
#   packages   Debian's packages that a build needs (root)
#   build      the programs, stripped
#   demo       `minitcp demo`, which shows its table
#   test       scripts/test.sh
#   install    the programs into DIR/usr/local/bin
set -euo pipefail
cd "$(dirname "$0")/.."

programs=(minitcp chat_server chat_client)
release=${CARGO_TARGET_DIR:-target}/release

case "${1:-}" in
    packages)
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq
        apt-get install -qq -y --no-install-recommends ca-certificates curl gcc git libc6-dev >/dev/null
        rm -rf /var/lib/apt/lists/*
        ;;
    build)
        cargo build --release --locked --package minitcp-apps --bins
        ;;
    demo)
        "$release/minitcp" demo
        ;;
    test)
        exec scripts/test.sh
        ;;
    install)
        mkdir -p "${2:?the folder to install below}/usr/local/bin"
        for program in "${programs[@]}"; do
            install -s -m 755 "$release/$program" "$2/usr/local/bin/"
        done
        ;;
    *)
        sed -n '2,/^set/s/^# \{0,1\}//p' "$0" >&2
        exit 2
        ;;
esac
