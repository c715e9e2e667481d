#!/usr/bin/env bash
# Do the first minutes work? The README's two commands, as root and then as another user, and the
# container image's script, in a Debian that has only Rust, gcc, git and curl.
#
# usage: scripts/fresh.sh [DIR]      (out/fresh unless told; also scripts/check.sh --fresh)
#
# Makes a Debian root there with debootstrap (installed if it is missing), from the mirror that this
# machine's apt has, with this machine's Rust toolchain and the last commit of this tree, and enters
# it in namespaces of its own. It is removed at the end, unless FRESH_KEEP is set. Needs root, and
# what a Debian root, a build and 10 minutes of tests for each user take: 5 GB, and on two idle cores
# half an hour. Each step says how long it took; the last line counts.
set -euo pipefail
cd "$(dirname "$0")/.."
. scripts/apt.sh

repository=$PWD
suite=${FRESH_SUITE:-bookworm}
passed=0
failed=0

fail() {
    echo "fresh.sh: $1" >&2
    exit 1
}

# Of /etc/apt: the first Debian mirror that is named there, in either format.
mirror() {
    { cat /etc/apt/sources.list /etc/apt/sources.list.d/*.{list,sources} 2>/dev/null || true; } | sed -n 's/#.*//; s#.*\(https\{0,1\}://[^ ]*/debian\)/* *.*#\1#p' | head -n 1
}

place=$(realpath -m "${1:-out/fresh}")
root=$place/root
log=$place/log

# Everything that is mounted is so in this namespace alone, and gone before anything is removed.
if [ -z "${FRESH_INSIDE:-}" ]; then
    [ "$(id -u)" = 0 ] || fail "must be root"
    command -v debootstrap >/dev/null || apt_install debootstrap ||
        fail "please install debootstrap"
    mkdir -p "$log"
    rm -rf --one-file-system "$root"
    status=0
    FRESH_INSIDE=1 unshare --mount --pid --fork --kill-child --mount-proc -- "$0" "$@" || status=$?
    [ -n "${FRESH_KEEP:-}" ] || rm -rf --one-file-system "$root"
    exit "$status"
fi

main() {
    step "a Debian root: debootstrap --variant=minbase $suite" bootstrap
    [ "$failed" = 0 ] || fail "no root, nothing to try"
    mount_all
    step "gcc, git, curl and a Rust toolchain" furnish
    commands root
    # The image's stages, with what was built: the same script that docker/Dockerfile runs.
    step "image: build" as root scripts/image.sh build
    step "image: install" as root scripts/image.sh install /image
    step "image: the demo, with its table" shows "-- tun0 --" as root \
        env PATH=/image/usr/local/bin:/usr/bin:/bin minitcp demo
    # What remains is the next user's: a tree that root has built, but with no privilege.
    chown -R 1000:1000 "$root/home/user" "$root/cargo"
    commands user
    echo "$passed passed, $failed failed; logs in $log"
    [ "$failed" = 0 ]
}

commands() {
    step "as $1: the demo" shows "-- tun0 --" as "$1" \
        cargo run --release --locked --bin minitcp -- demo
    step "as $1: scripts/test.sh" as "$1" scripts/test.sh
    grep -A 40 '^== skipped' "$log/$number" || true
    tail -n 1 "$log/$number"
}

bootstrap() {
    local from
    from=$(mirror)
    [ -n "$from" ] || fail "no Debian mirror in /etc/apt"
    debootstrap --variant=minbase "$suite" "$root" "$from"
}

# What the README takes for granted.
furnish() {
    cp /etc/resolv.conf "$root/etc/resolv.conf"
    # As in the image, where only this script is there at first.
    mkdir -p "$root/home/user/first/scripts"
    cp scripts/image.sh "$root/home/user/first/scripts/"
    in_root root /home/user/first scripts/image.sh packages
    # Certificates that this machine trusts, and what its cargo is told of registries.
    cp -L /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/ca-certificates.crt"
    local settings=${CARGO_HOME:-$HOME/.cargo}/config.toml
    [ ! -e "$settings" ] || cp "$settings" "$root/cargo/config.toml"
    echo "user:x:1000:1000::/home/user:/bin/bash" >>"$root/etc/passwd"
    echo "user:x:1000:" >>"$root/etc/group"
    git clone --quiet --no-hardlinks "$repository" "$root/home/user/minitcp"
    # A user's clone: git refuses that of another.
    git -C "$root/home/user/minitcp" remote remove origin
}

# The mirror may be behind a proxy.
environment=(PATH=/rust/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
    CARGO_HOME=/cargo TERM=dumb LANG=C.UTF-8)
for variable in http_proxy https_proxy no_proxy; do
    [ -z "${!variable:-}" ] || environment+=("$variable=${!variable}")
done

# What the root needs of this machine.
mount_all() {
    mkdir -p "$root/rust" "$root/cargo" "$root/home/user" "$root/put-old"
    mount --bind "$root" "$root"
    mount --bind "$(rustc --print sysroot)" "$root/rust"
    mount -o remount,bind,ro "$root/rust"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm" 2>/dev/null || mkdir -p "$root/dev/shm"
    mkdir -p "$root/dev/pts" "$root/dev/net"
    mount -t devpts -o newinstance,ptmxmode=0666,mode=0620 devpts "$root/dev/pts"
    ln -sf pts/ptmx "$root/dev/ptmx"
    [ -e "$root/dev/net/tun" ] || mknod -m 666 "$root/dev/net/tun" c 10 200
}

# Runs something in the tree as `root` or `user`.
as() {
    local who=$1
    shift
    in_root "$who" /home/user/minitcp "$@"
}

# Runs something as somebody, somewhere in the new root, which is one indeed (pivot_root): where it
# is only changed to (chroot), the kernel refuses user namespaces.
in_root() {
    local who=$1 folder=$2 identity=() home=/root
    shift 2
    if [ "$who" != root ]; then
        identity=(setpriv --reuid 1000 --regid 1000 --clear-groups)
        home=/home/user
    fi
    # shellcheck disable=SC2016 # For the shell inside.
    unshare --mount --pid --fork --kill-child bash -c 'cd "$1" && pivot_root . put-old &&
        mount -t proc proc /proc && umount -l /put-old && cd "$2" && shift 2 && exec "$@"' \
        in_root "$root" "$folder" "${identity[@]}" env -i "${environment[@]}" HOME="$home" "$@"
}

# Whether a command succeeds and says this.
shows() {
    local text=$1
    shift
    "$@" | tee "$place/shown"
    grep -qF -- "$text" "$place/shown"
}

# Its output goes to a file of its own, and the end of it here if it failed.
step() {
    local name=$1 began=$SECONDS status=0
    shift
    number=$((${number:-0} + 1))
    echo "== $name"
    set +e # In the condition of an `if`, a subshell would not stop at its first failure.
    (set -e; "$@") >"$log/$number" 2>&1 </dev/null
    status=$?
    set -e
    if [ "$status" = 0 ]; then
        echo "ok      $name: $((SECONDS - began)) s"
        passed=$((passed + 1))
    else
        echo "FAILED  $name: $((SECONDS - began)) s"
        tail -n 30 "$log/$number" | sed 's/^/        /'
        failed=$((failed + 1))
    fi
}

main
