#!/usr/bin/env bash
# The cluster comes up, runs eight ranks on four nodes, notices a node that is off the
# network, and leaves nothing behind, not even when it was killed.
set -euo pipefail
hello=${1:?the program hello}
rig=$(dirname "$(realpath "$0")")/rig.sh
"$rig" check
dir=$(mktemp -d /tmp/ppt-rig.XXXXXX)
trap '"$rig" stop "$dir"; rm -rf "$dir"' EXIT
trap 'exit 130' INT TERM

die() {
    echo "FAILED: $*" >&2
    "$rig" log "$dir" >&2
    exit 1
}

# Nothing of the rig lives any more, and this machine's own network is as it was.
check_nothing_left() {
    local left
    left=$(grep -lzF -f <(echo "$dir") /proc/[0-9]*/cmdline /proc/[0-9]*/environ \
        2>/dev/null | cut -d/ -f3 || true)
    [ -z "$left" ] || die "processes are left: $left"
    [ ! -e /sys/class/net/rig0 ] || die "the bridge is outside"
    ! grep -q "$dir" /proc/mounts || die "a mount is left"
    ! grep -q 10.77.0 /etc/hosts || die "/etc/hosts was changed"
}

echo "start, and eight ranks on four nodes"
"$rig" start "$dir" "$(dirname "$hello")"
check_hello() {
    "$rig" run "$dir" timeout 60 srun --mpi=pmix -N 4 -n 8 "$hello" >"$dir/out" ||
        die "srun: $?"
    [ "$(grep -c 'of 8 on n[1-4], sum 28' "$dir/out")" = 8 ] || die "$(cat "$dir/out")"
    [ "$(sed 's/.* on \(n.\),.*/\1/' "$dir/out" | sort | uniq -c | grep -c ' 2 n')" = 4 ] ||
        die "not two a node: $(cat "$dir/out")"
}
check_hello

echo "a node's network goes away and comes back"
"$rig" link "$dir" n2 down
if "$rig" run "$dir" timeout 8 srun -w n2 true 2>/dev/null; then die "n2 still answers"; fi
"$rig" link "$dir" n2 up
"$rig" run "$dir" timeout 10 scancel -u root || die "scancel"

echo "stop, twice; start again; a kill leaves nothing either"
"$rig" stop "$dir"
"$rig" stop "$dir"
check_nothing_left
"$rig" start "$dir" "$(dirname "$hello")"
check_hello
kill -KILL "$(cut -d' ' -f1 "$dir/rig.pid")"
sleep 1
check_nothing_left
echo ok
