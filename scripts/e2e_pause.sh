#!/usr/bin/env bash
# Does a conversation outlive the sleep of its host? chat_server is stopped (SIGSTOP) while a line
# is on its way to a client that lives on, and goes on after so many seconds: then that line counts,
# and the next ones arrive, both ways.
#
# usage: scripts/e2e_pause.sh SECONDS [VERDICT]
#
# Needs what scripts/e2e.sh needs, and its programs, built. Everything happens in a network namespace
# of its own that ends with the script. The file VERDICT gets the exit status, 0 if all went well.
set -euo pipefail
cd "$(dirname "$0")/.."

if [ -z "${PAUSE_INSIDE:-}" ]; then
    enter=(unshare --net)
    [ "$(id -u)" = 0 ] || enter=(unshare --user --map-root-user --net)
    PAUSE_INSIDE=1 exec "${enter[@]}" -- "$0" "$@"
fi

seconds=$1
verdict=${2:-}
nc=$(command -v nc.openbsd || command -v nc)
programs=${CARGO_TARGET_DIR:-target}/release
work=$(mktemp -d)
server=

main() {
    trap clean_up EXIT
    trap 'exit 1' INT TERM
    scripts/setup_tun.sh
    ip address add 10.0.0.3/32 dev tun0 # Bob's, so that rules can tell him from Alice.
    # Whatever ends this script ends the server, even one that is stopped.
    setpriv --pdeathsig KILL "$programs/chat_server" --tun tun0 --addr 10.0.0.2 --port 8080 \
        >"$work/server.log" 2>&1 &
    server=$!
    wait_until "$nc" -z -w 1 10.0.0.2 8080

    connect alice 10.0.0.1
    connect bob 10.0.0.3
    wait_until grep -qs "10.0.0.3:.* joined" "$work/server.log"
    say alice "good morning"
    wait_until hears bob "good morning"

    # Bob gets the next line, and what he says to it is lost.
    ip rule add from 10.0.0.3 to 10.0.0.2 blackhole
    say alice "are you there"
    wait_until hears bob "are you there"
    kill -STOP "$server"
    rest "$seconds"
    ip rule delete from 10.0.0.3 to 10.0.0.2 blackhole
    kill -CONT "$server"

    say alice "after all this time"
    wait_until hears bob "after all this time"
    say bob "always"
    wait_until hears alice "always"
    kill -0 "$server"
    echo "the conversation went on after $seconds s"
}

# A client that says what is written to its file descriptor, kept open here.
connect() {
    mkfifo "$work/$1.says"
    setpriv --pdeathsig KILL "$nc" -s "$2" 10.0.0.2 8080 <"$work/$1.says" >"$work/$1.hears" &
    case $1 in
        alice) exec 8>"$work/alice.says" ;;
        bob) exec 9>"$work/bob.says" ;;
    esac
}

say() {
    case $1 in
        alice) echo "$2" >&8 ;;
        bob) echo "$2" >&9 ;;
    esac
}

hears() { grep -qs "$2" "$work/$1.hears"; }

# As `sleep`, but a signal ends it at once.
rest() {
    sleep "$1" &
    wait $!
}

wait_until() {
    for _ in $(seq 300); do
        if "$@"; then return; fi
        rest 0.1
    done
    echo "in vain: $*"
    tail "$work"/*.hears "$work/server.log"
    return 1
}

clean_up() {
    local status=$?
    if [ -n "$server" ]; then
        kill -KILL "$server" || true
        wait "$server" || true
    fi 2>/dev/null
    jobs -p | xargs -r kill 2>/dev/null || true
    rm -rf "$work"
    [ -z "$verdict" ] || echo "$status" >"$verdict"
    exit "$status"
}

main "$@"
