#!/usr/bin/env bash
# Do unmodified programs converse with MiniTCP? ping, nc, curl and the kernel on one side of a TUN
# device, chat_server, chat_client and a program in C on the other, tshark as the judge of every
# packet.
#
# usage: scripts/e2e.sh
#
# Needs /dev/net/tun, and root or a user namespace; where they cannot be had it says SKIP, which is
# a failure if CI is set. Everything happens in a network namespace that ends with the script. The
# last line counts: "N passed, N failed, N skipped". E2E_KEEP=DIR keeps logs and captures there. E2E_PAUSE=DIR is
# where scripts/test.sh has begun the pause of five minutes, whose verdict is waited for at the end.
set -euo pipefail
cd "$(dirname "$0")/.."

# Ends the script where its conditions are not met.
skip() {
    if [ -n "${CI:-}" ]; then
        echo "FAILED: $1"
        echo "0 passed, 1 failed, 0 skipped"
        exit 1
    fi
    echo "SKIP: everything: $1"
    echo "0 passed, 0 failed, 1 skipped"
    exit 0
}

# What a TUN device without root depends on.
conditions() {
    echo "user.max_user_namespaces is $(cat /proc/sys/user/max_user_namespaces 2>/dev/null || echo unknown)," \
        "/dev/net/tun is $(stat -c %A /dev/net/tun 2>/dev/null || echo missing)"
}

if [ -z "${E2E_INSIDE:-}" ]; then
    for tool in ip unshare setpriv ping nc curl tshark perl gcc; do
        command -v "$tool" >/dev/null || skip "$tool is not installed"
    done
    enter=(unshare --net)
    [ "$(id -u)" = 0 ] || enter=(unshare --user --map-root-user --net)
    obstacle=$("${enter[@]}" ip tuntap add dev probe mode tun 2>&1) || skip "no TUN device: $obstacle ($(conditions))"
    cargo build --release --locked --package minitcp-apps --bins
    E2E_LIBRARY=$(scripts/build-capi.sh)
    export E2E_LIBRARY
    E2E_INSIDE=1 exec "${enter[@]}" -- "$0" "$@"
fi

# What is begun so ends with the shell that began it, whatever ends that one: a program left behind
# would keep the output of this script open.
guarded=(setpriv --pdeathsig KILL)
nc=$(command -v nc.openbsd || command -v nc)
programs=${CARGO_TARGET_DIR:-target}/release
work=${E2E_KEEP:-$(mktemp -d)}
mkdir -p "$work"
url=http://10.0.0.2:8080
megabytes=100
passed=0
failed=0
skipped=0

main() {
    trap clean_up EXIT
    scripts/setup_tun.sh --forward
    head -c "${megabytes}M" /dev/urandom >"$work/file"

    echo "== conversations, each packet captured"
    start_server --trace --pcap "$work/server.pcap"
    check "ping -c 4: four answers" ping_small
    check "ping -s 1400: answered" ping_large
    check "ping -s 1472: the largest packet" ping_largest
    check "ping: any size, and with options" ping_any
    check "nc -u: a datagram comes back" udp_echo
    check "nc: a line comes back, and is told to the others" chat
    check "ss: the kernel knows timestamps, SACK and window scaling of a connection" options
    check "curl: 200 and hello" page
    check "chat_client to chat_server across two devices" forwarded
    check "curl: 5 MB down, equal SHA-256" download 5
    check "curl: 5 MB up, equal SHA-256" upload 5
    check "curl: 200 runs, 50 at a time" crowd
    check "curl killed while it downloads and uploads" killed
    check "a port where nobody listens refuses" refused
    check "SIGINT: the server ends with status 0" interrupted
    check "no connection was left behind" nothing_left
    check "the trace shows the handshake" traced
    check "tshark: nothing malformed, no bad checksum" judged

    echo "== a simulated run with faults, captured and repeated"
    check "minitcp sim: a lossy transfer, recorded" simulated
    check "minitcp replay: the same packets" replayed
    check "tshark: reads it without complaint, each fault has its comment" commented

    echo "== bulk, ${megabytes} MB each"
    start_server
    check "curl: down, equal SHA-256" download "$megabytes"
    check "curl: up, equal SHA-256" upload "$megabytes"
    check "nc: down, equal SHA-256" netcat_download "$megabytes"
    check "SIGTERM: the server ends with status 0" terminated
    check "no connection was left behind" nothing_left

    echo "== what happens to machines"
    start_server
    check "the link goes down and comes back: what was said meanwhile arrives" link_flaps
    check "the device is deleted: the server ends with another status than 0" device_deleted
    check "a pause of 3 s with a line on its way: the conversation goes on" scripts/e2e_pause.sh 3

    echo "== a program in C"
    check "the program builds" c_program
    start_c_server
    check "nc: lines come back" c_tcp
    check "nc -u: a datagram comes back" c_udp
    check "signals are for the program's own threads" c_signals
    check "SIGTERM: it ends with status 0" c_server_ends
    use_memcheck
    start_c_server
    check "nc: lines come back" c_tcp
    check "nc -u: a datagram comes back" c_udp
    check "SIGTERM: it ends with status 0" c_server_ends
    check "nc listens: its line is received" c_asks_tcp
    check "nc -u listens: its datagram is received" c_asks_udp
    check "misuse: errors, and the device is removed" c_misuse

    echo "== bench"
    start_bench_server
    check "TCP to it, the kernel's client" measured sent --bytes 20M -P 2
    check "TCP from it" measured received --bytes 20M -R
    check "both at once" measured received --bytes 5M --both
    check "messages there and back" measured echo --echo --bytes 200
    check "UDP both ways" measured datagrams --udp --both --bytes 500K --rate 20M
    check "nc: discard is counted" netcat_discard
    check "nc: source has its length" netcat_source
    check "its client over a device, the kernel's server" measured_other_way
    check "nobody there: one line" fails_in_one_line refused minitcp bench client --kernel \
        --to 10.0.0.2 --port 81 --interval 0
    check "SIGTERM: the server ends with status 0" terminated

    echo "== IPv6"
    launch chat_server --tun tun6 --addr fd00:6::2 --kernel-addr fd00:6::1 --trace --pcap "$work/v6.pcap"
    check "ping: four answers" ping_v6
    check "curl: 200 and hello" page_v6
    check "chat_client to chat_server across two devices" forwarded_v6
    check "SIGINT: the server ends with status 0" interrupted
    check "tshark: nothing malformed, no bad checksum" judged_v6
    check "bench: both ways, over a device and the kernel" measured_v6

    echo "== what can go wrong"
    check "attached devices are left as found" device_stays
    check "created devices are removed" device_goes
    check "unknown flags: one line" fails_in_one_line --frobnicate chat_server --frobnicate
    check "bad values: one line" fails_in_one_line lots chat_server --addr lots
    check "a busy device: one line" busy_device
    check "no such device: one line" fails_in_one_line tun7 chat_server --tun tun7
    if unshare --mount true 2>/dev/null; then
        check "no /dev/net/tun: one line" no_device
    else
        skip_one "no /dev/net/tun: one line: no mount namespace; is / a mount point?"
    fi
    check "no privilege: one line" no_privilege
    check "chat_client, nobody there: one line" nobody_there
    check "minitcp, unknown subcommand: one line" fails_in_one_line frob minitcp frob

    if [ -n "${E2E_PAUSE:-}" ]; then
        echo "== the long pause"
        check "a pause of five minutes with a line on its way: the conversation goes on" long_pause
    else
        skip_one "the pause of five minutes, which scripts/test.sh begins"
    fi

    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
}

# ---- conversations

ping_small() { ping -n -q -i 0.2 -W 2 -c 4 10.0.0.2 | grep "4 packets transmitted, 4 received"; }
ping_large() { ping -n -q -i 0.2 -W 2 -c 2 -s 1400 10.0.0.2 | grep "2 received"; }
ping_largest() { ping -n -q -i 0.2 -W 2 -c 2 -s 1472 -M do 10.0.0.2 | grep "2 received"; }

# Sizes around those at which something changes; the route of RFC 791 is an option of 39 octets.
ping_any() {
    local size
    for size in 0 1 2 7 15 16 55 63 511 1023 1455 1471 1472; do
        ping -n -q -W 2 -c 1 -s "$size" -M do 10.0.0.2 | grep "1 received" || return 1
    done
    ping -n -q -W 2 -c 1 -R 10.0.0.2 | grep "1 received"
}

udp_echo() { [ "$(echo "are you there?" | timeout 10 "$nc" -u -w 1 10.0.0.2 9999)" = "are you there?" ]; }

chat() {
    { sleep 3; echo "good night"; sleep 0.5; } | timeout 20 "$nc" -N 10.0.0.2 8080 >"$work/alice" &
    sleep 1
    { echo "good morning"; sleep 1; } | timeout 20 "$nc" -N 10.0.0.2 8080 >"$work/bob"
    wait $!
    grep "good morning" "$work/bob"
    grep "good morning" "$work/alice"
    grep "good night" "$work/alice"
}

options() {
    sleep 2 | timeout 20 "$nc" -N 10.0.0.2 8080 >/dev/null &
    sleep 1
    ss -Htino state established dst 10.0.0.2:8080 | tee "$work/ss"
    wait $!
    grep -E "(^|[[:space:]])ts sack .*wscale:[0-9]+,[0-9]+" "$work/ss"
}

page() { [ "$(curl -s -m 10 -w ' %{http_code} %{size_download}' $url/)" = "hello 200 5" ]; }

forwarded() {
    { echo "good evening"; sleep 1; } | timeout 20 "$programs/chat_client" \
        --tun tun1 --addr 10.0.1.2 --server 10.0.0.2 --port 8080 >"$work/client"
    grep "good evening" "$work/client"
}

crowd() {
    mkdir -p "$work/crowd"
    seq 200 | xargs -P 50 -I{} curl -sS -f -m 30 -o "$work/crowd/{}" $url/
    [ "$(cat "$work"/crowd/* | sed 's/hello/hello\n/g' | grep -c '^hello$')" = 200 ]
}

killed() {
    curl -s -m 20 -o /dev/null --limit-rate 1M $url/bytes/1000000000 &
    local down=$!
    curl -s -m 20 -o /dev/null --limit-rate 1M -T "$work/file" $url/sink &
    local up=$!
    sleep 1
    kill -KILL "$down" "$up"
    wait "$down" "$up" || true
    page
}

nothing_left() {
    grep -F "in use: 0 connections, 0 handshakes" "$work/server.log"
    grep -F " 0 octets of buffers" "$work/server.log"
}

refused() {
    local status=0
    curl -s -m 10 -o /dev/null http://10.0.0.2:81/ || status=$?
    [ "$status" = 7 ]
}

traced() {
    grep -m 1 "\[TCP \] recv  SYN  seq=.* state=LISTEN" "$work/server.log"
    grep -m 1 -F "[TCP ] state LISTEN -> SYN_RCVD" "$work/server.log"
    grep -m 1 -F "[TCP ] state SYN_RCVD -> ESTABLISHED" "$work/server.log"
}

# Damage, and sequence or acknowledgement numbers that make no sense. A checksum of 0xffff is right
# for a sum of zero, but no stack need send it, so tshark complains: Linux does send it at times.
judged() {
    local complaints='_ws.malformed || ip.checksum.status == "Bad" || icmp.checksum.status == "Bad"
        || udp.checksum.status == "Bad"
        || tcp.checksum.status == "Bad" && !(tcp.checksum == 0xffff && ip.src == 10.0.0.1)
        || tcp.analysis.ack_lost_segment || tcp.analysis.lost_segment'
    export HOME=$work # Whose preferences are the defaults.
    tshark -r "$work/server.pcap" "${checksums[@]}" -Y "$complaints" >"$work/complaints"
    cat "$work/complaints"
    [ ! -s "$work/complaints" ]
    [ "$(tshark -r "$work/server.pcap" "${checksums[@]}" -Y 'tcp.checksum.status == "Good"' \
        | wc -l)" -gt 500 ] # Most octets come in super-packets.
}
checksums=(-o ip.check_checksum:TRUE -o tcp.check_checksum:TRUE -o udp.check_checksum:TRUE)

# ---- simulation

simulated() {
    "$programs/minitcp" sim --bytes 1M --loss 0.1 --corrupt 0.02 --reorder 0.02 --duplicate 0.02 \
        --jitter 2ms --seed 7 --pcap "$work/sim.pcapng" --pcap-at both --record "$work/sim.journal"
}

replayed() {
    "$programs/minitcp" replay "$work/sim.journal" --pcap "$work/replay.pcapng"
}

# Both captures, and no packet that the link dropped, damaged, held back or delayed is without a
# word. A packet that arrives twice, or damaged, has its comment where it arrives, too.
commented() {
    local capture fault
    for capture in "$work/sim.pcapng" "$work/replay.pcapng"; do
        tshark -r "$capture" -T fields -e frame.comment >"$work/comments" 2>"$work/complaints"
        cat "$work/complaints"
        [ "$(grep -vc "Running as user" "$work/complaints")" = 0 ]
        for fault in "dropped: random loss" corrupted duplicated "held back" delayed; do
            [ "$(grep -c "$fault" "$work/comments")" -ge 10 ]
        done
    done
}

# ---- bulk

download() {
    curl -sS -f -m 120 -o "$work/down" "$url/bytes/$(($1 * 1000000))"
    [ "$(stat -c %s "$work/down")" = $(($1 * 1000000)) ]
    [ "$(sha256 <"$work/down")" = "$(expected_bytes "$1" | sha256)" ]
}

upload() {
    head -c $(($1 * 1000000)) "$work/file" >"$work/up"
    curl -sS -f -m 120 -T "$work/up" $url/sink >"$work/answer"
    grep "$(sha256 <"$work/up")" "$work/answer"
}

netcat_download() {
    printf 'GET /bytes/%s HTTP/1.1\r\nHost: x\r\n\r\n' $(($1 * 1000000)) \
        | timeout 120 "$nc" 10.0.0.2 8080 | sed '1,/^\r$/d' >"$work/down"
    [ "$(sha256 <"$work/down")" = "$(expected_bytes "$1" | sha256)" ]
}

# The octets of /bytes/N are a ^ b ^ c, where a, b and c are the low octets of the offset.
expected_bytes() {
    local n=$(($1 * 1000000))
    [ -e "$work/pattern" ] || perl -e 'my $row = join "", map chr, 0 .. 255;
        for my $c (0 .. 255) { for my $b (0 .. 255) { print $row ^ chr($b ^ $c) x 256 } }' \
        >"$work/pattern"
    for _ in $(seq $((n / 16777216 + 1))); do cat "$work/pattern"; done 2>/dev/null | head -c "$n"
}

sha256() { sha256sum | cut -d ' ' -f 1; }

# ---- what happens to machines

link_flaps() {
    { sleep 0.5; echo "before"; sleep 1; echo "while down"; sleep 2; echo "after"; sleep 1; } \
        | timeout 20 "$nc" -N 10.0.0.2 8080 >"$work/alice" &
    local alice=$!
    sleep 4.5 | timeout 20 "$nc" -N 10.0.0.2 8080 >"$work/bob" &
    local bob=$!
    sleep 1
    ip link set tun0 down
    sleep 1.5
    scripts/setup_tun.sh --forward
    wait "$alice" "$bob"
    [ "$(sed 's/.*: //' "$work/bob")" = "$(printf 'before\nwhile down\nafter')" ]
}

device_deleted() {
    local ended=0
    ip link delete tun0
    wait_until has_ended || ended=$?
    scripts/setup_tun.sh --forward
    cat "$work/server.log"
    [ "$ended" = 0 ] && [ "$(cat "$work/server.status")" != 0 ]
}

# Begun by scripts/test.sh, beside everything else.
long_pause() {
    for _ in $(seq 600); do
        if [ -s "$E2E_PAUSE/verdict" ] || ! kill -0 "$(cat "$E2E_PAUSE/pid")"; then break; fi
        sleep 1
    done
    cat "$E2E_PAUSE/log"
    [ "$(cat "$E2E_PAUSE/verdict")" = 0 ]
}

# ---- a program in C

# Runs the program in C from now on where valgrind says what it does wrong, or leaks.
use_memcheck() {
    if command -v valgrind >/dev/null; then
        echo "-- under valgrind"
        c_memcheck=(valgrind --quiet --error-exitcode=99 --leak-check=full
            --show-leak-kinds=definite --errors-for-leak-kinds=definite)
        return
    fi
    skip_one "valgrind is not installed: the program in C goes without"
    [ -z "${CI:-}" ] || failed=$((failed + 1))
}
c_memcheck=()

c_program() {
    gcc -std=c99 -Wall -Wextra -Wpedantic -Werror -g -O1 -I minitcp-sockets/include -o "$work/tun" \
        minitcp-sockets/tests/c/tun.c -L "$E2E_LIBRARY" -lminitcp_sockets -pthread \
        -Wl,-rpath,"$E2E_LIBRARY"
}

c_run() { "${c_memcheck[@]}" "$work/tun" "$@"; }

start_c_server() {
    rm -f "$work/c.status"
    {
        "${guarded[@]}" "${c_memcheck[@]}" "$work/tun" serve tun0 10.0.0.2/24 7 >"$work/c.log" 2>&1 &
        echo $! >"$work/c.pid"
        wait $!
        echo $? >"$work/c.status"
    } &
    wait_until grep -q ready "$work/c.log" || { echo "tun.c is not ready:"; cat "$work/c.log"; }
}

c_tcp() {
    printf 'one\ntwo\n' | timeout 20 "$nc" -N 10.0.0.2 7 >"$work/answer"
    [ "$(cat "$work/answer")" = "$(printf 'one\ntwo')" ]
    seq 20 | xargs -P 20 -I{} sh -c "echo {} | timeout 20 '$nc' -N 10.0.0.2 7" | sort -n \
        | cmp - <(seq 20)
}

c_udp() { [ "$(echo "are you there?" | timeout 10 "$nc" -u -w 2 10.0.0.2 7)" = "are you there?" ]; }

# Of the program's threads, the stack's own is the one that blocks SIGINT (2) and SIGTERM (15).
c_signals() {
    local task blocked found=0
    for task in "/proc/$(cat "$work/c.pid")/task"/*; do
        blocked=$((0x$(sed -n 's/^SigBlk:\t//p' "$task/status")))
        [ "$(cat "$task/comm")" != minitcp ] || [ $((blocked & 0x4002)) != $((0x4002)) ] || found=1
    done
    [ "$found" = 1 ]
}

c_server_ends() {
    kill -TERM "$(cat "$work/c.pid")"
    wait_until test -s "$work/c.status"
    cat "$work/c.log"
    [ "$(cat "$work/c.log")" = ready ]
    [ "$(cat "$work/c.status")" = 0 ]
}

c_asks_tcp() {
    echo "I am here" | timeout 20 "$nc" -l -N 10.0.0.1 7001 >"$work/question" &
    wait_until listens tcp 7001
    [ "$(c_run tcp tun0 10.0.0.2/24 10.0.0.1 7001)" = "I am here" ]
    wait $!
    grep "are you there?" "$work/question"
}

c_asks_udp() {
    { wait_until grep -q "are you there?" "$work/question"; echo "I am here"; sleep 0.5; } \
        | timeout 20 "$nc" -u -l -w 1 10.0.0.1 7002 >"$work/question" &
    wait_until listens udp 7002
    [ "$(c_run udp tun0 10.0.0.2/24 10.0.0.1 7002)" = "I am here" ]
    wait $! || true # By its own timeout.
}

listens() { grep -qi "$(printf ':%04X 00000000:0000' "$2")" "/proc/net/$1"; }

c_misuse() { c_run misuse tun8 10.0.8.2/24 10.0.8.1/24; }

# ---- bench

start_bench_server() {
    launch minitcp bench server --tun tun0 --addr 10.0.0.2
    wait_until grep -qs listening "$work/server.log" || { cat "$work/server.log"; exit 1; }
}

# Everything arrives, and the report says so.
measured() {
    local what=$1
    shift
    "$programs/minitcp" bench client --kernel --to 10.0.0.2 --json "$@" >"$work/bench.json"
    cat "$work/bench.json"
    perl -MJSON::PP -e '
        my ($what, $file) = @ARGV;
        open my $in, "<", $file or die;
        my $report = decode_json(join "", <$in>);
        my %expected = (
            sent => sub { $report->{sent}{octets} == 2 * 20 * 1024 ** 2 },
            received => sub { $report->{received}{octets} >= 5 * 1024 ** 2 },
            echo => sub { $report->{round_trips}{count} == 200 },
            datagrams => sub {
                2 == grep { $_->{sent} >= 355 && $_->{received} + $_->{lost} == $_->{sent}
                    && $_->{received} > 0 } @{$report}{qw(datagrams_sent datagrams_received)}
            },
        );
        exit !$expected{$what}->()' "$what" "$work/bench.json"
}

netcat_discard() {
    [ "$({ echo discard; head -c 3000000 "$work/file"; } \
        | timeout 20 "$nc" -N 10.0.0.2 5005)" = 3000000 ]
}

netcat_source() { [ "$(echo source 3000000 | timeout 20 "$nc" 10.0.0.2 5005 | wc -c)" = 3000000 ]; }

measured_other_way() {
    "${guarded[@]}" "$programs/minitcp" bench server --kernel --addr 10.0.1.1 >"$work/kernel.log" 2>&1 &
    local server=$! status=0
    wait_until grep -qs listening "$work/kernel.log"
    "$programs/minitcp" bench client --tun tun1 --addr 10.0.1.2 --to 10.0.1.1 --bytes 5M --both \
        >"$work/bench.out" || status=$?
    kill -TERM "$server"
    wait "$server"
    [ "$status" = 0 ]
    grep "^sent: 5242880 octets" "$work/bench.out"
    grep "^received: 5242880 octets" "$work/bench.out"
}

# ---- IPv6

ping_v6() {
    wait_until ping -n -q -W 1 -c 1 fd00:6::2
    ping -n -q -i 0.2 -W 2 -c 4 -s 1400 fd00:6::2 | grep "4 packets transmitted, 4 received"
}

page_v6() { [ "$(curl -s -g -m 10 -w ' %{http_code} %{size_download}' 'http://[fd00:6::2]:8080/')" = "hello 200 5" ]; }

forwarded_v6() {
    echo 1 >/proc/sys/net/ipv6/conf/all/forwarding
    { echo "good evening"; sleep 1; } | timeout 20 "$programs/chat_client" --tun tun7 \
        --addr fd00:7::2 --kernel-addr fd00:7::1 --server fd00:6::2 >"$work/client"
    grep "good evening" "$work/client"
    grep -F "[fd00:6::2]:8080 <- [fd00:7::2]:" "$work/server.log" >"$work/lines"
    [ "$(wc -l <"$work/lines")" -ge 4 ]
}

judged_v6() {
    export HOME=$work
    tshark -r "$work/v6.pcap" "${checksums[@]}" -Y '_ws.malformed || tcp.checksum.status == "Bad"
        || icmpv6.checksum.status == "Bad" || tcp.analysis.lost_segment' >"$work/complaints"
    cat "$work/complaints"
    [ ! -s "$work/complaints" ]
    [ "$(tshark -r "$work/v6.pcap" -Y 'tcp && ipv6' | wc -l)" -ge 10 ]
}

measured_v6() {
    "${guarded[@]}" "$programs/minitcp" bench server --kernel >"$work/kernel.log" 2>&1 &
    local server=$! status=0
    wait_until grep -qs listening "$work/kernel.log"
    "$programs/minitcp" bench client --tun tun7 --addr fd00:7::2 --kernel-addr fd00:7::1 \
        --to fd00:7::1 --bytes 5M --both >"$work/bench.out" || status=$?
    kill -TERM "$server"
    wait "$server"
    [ "$status" = 0 ]
    grep "^sent: 5242880 octets" "$work/bench.out"
    grep "^received: 5242880 octets" "$work/bench.out"
}

# ---- what can go wrong

fails_in_one_line() {
    local text=$1 program=$2
    shift 2
    in_one_line "$text" "$programs/$program" "$@"
}

in_one_line() {
    local text=$1 status=0
    shift
    "$@" </dev/null >"$work/out" 2>"$work/err" || status=$?
    cat "$work/out" "$work/err"
    [ "$status" != 0 ] && [ ! -s "$work/out" ]
    [ "$(wc -l <"$work/err")" = 1 ]
    grep -F -e "$text" "$work/err"
}

busy_device() {
    start_server
    fails_in_one_line "in use" chat_server --tun tun0 --addr 10.0.0.9
    terminated
}

no_device() {
    hide() { unshare --mount sh -c 'mount -t tmpfs none /dev/net && exec "$@"' sh "$@"; }
    in_one_line /dev/net/tun hide "$programs/chat_server" --tun tun7 --addr 10.0.7.2 --kernel-addr 10.0.7.1
}

no_privilege() {
    in_one_line permission setpriv --bounding-set=-all --inh-caps=-all \
        "$programs/chat_server" --tun tun7 --addr 10.0.7.2 --kernel-addr 10.0.7.1
}

nobody_there() {
    start_server
    fails_in_one_line refused chat_client --tun tun1 --addr 10.0.1.2 --server 10.0.0.2 --port 81
    terminated
}

device_stays() {
    ip -br address show tun0 | grep "10.0.0.1 peer 10.0.0.2/32"
    ip -br address show tun1 | grep "10.0.1.1 peer 10.0.1.2/32"
}

device_goes() {
    "${guarded[@]}" "$programs/chat_server" --tun tun9 --addr 10.0.9.2 --kernel-addr 10.0.9.1 >"$work/tun9.log" 2>&1 &
    local own=$!
    sleep 0.5
    ip link show tun9
    kill -INT "$own"
    wait "$own"
    ! ip link show tun9
}

# ---- the server

start_server() {
    launch chat_server --tun tun0 --addr 10.0.0.2 --port 8080 --stats "$@"
    wait_until answers || { echo "chat_server does not answer:"; tail "$work/server.log"; exit 1; }
}

# Its process id and, once it has ended, its exit status are in files, for subshells to see.
launch() {
    local program=$1
    shift
    [ ! -e "$work/server.pid" ] || has_ended || kill -KILL "$(cat "$work/server.pid")" || true
    rm -f "$work/server.status" "$work/server.log"
    {
        local status=0
        "${guarded[@]}" "$programs/$program" "$@" >"$work/server.log" 2>&1 &
        echo $! >"$work/server.pid"
        wait $! || status=$?
        echo "$status" >"$work/server.status"
    } &
}

answers() { "$nc" -z -w 1 10.0.0.2 8080; }
has_ended() { [ -s "$work/server.status" ]; }

interrupted() { ends_by INT; }
terminated() { ends_by TERM; }

ends_by() {
    kill "-$1" "$(cat "$work/server.pid")"
    wait_until has_ended
    [ "$(cat "$work/server.status")" = 0 ]
}

clean_up() {
    jobs -p | xargs -r kill 2>/dev/null || true
    [ -n "${E2E_KEEP:-}" ] || rm -rf "$work"
}

# ---- the frame

check() {
    local name=$1
    shift
    set +e # In the condition of an `if`, a subshell would not stop at its first failure.
    (set -e; "$@") >"$work/check.log" 2>&1
    local status=$?
    set -e
    if [ "$status" = 0 ]; then
        echo "ok      $name"
        passed=$((passed + 1))
    else
        echo "FAILED  $name"
        sed 's/^/        /' "$work/check.log" | tail -20
        failed=$((failed + 1))
    fi
}

skip_one() {
    echo "SKIP: $1"
    skipped=$((skipped + 1))
}

wait_until() {
    for _ in $(seq 50); do
        if "$@"; then return; fi
        sleep 0.1
    done
    return 1
}

main "$@"
