#!/usr/bin/env bash
# A real Slurm cluster of four nodes on one machine, for tests.
#
#   rig.sh check                 exit status 77, and why, where it cannot be had
#   rig.sh start DIR [SHARED...] DIR: new, or with files that belong beside slurm.conf;
#                                SHARED: folders under /tmp that the nodes must see
#                                (they see all others outside /tmp); more lines for
#                                slurm.conf in $RIG_CONF; a gres without a device on
#                                each node in $RIG_GRES, such as gpu:1
#   rig.sh run DIR COMMAND...    COMMAND as on the login node: sbatch, srun, squeue, ...
#   rig.sh link DIR NODE up|down takes a node off the network and back
#   rig.sh kill DIR DAEMON       slurmctld, munged, or the slurmd of a node: n1..n4
#   rig.sh revive DIR DAEMON     starts it again; slurmctld remembers its jobs
#   rig.sh log DIR               the daemons' last words
#   rig.sh stop DIR              also after a crash; more than once does no harm
#
# Everything lives in namespaces of its own: processes, network and mounts of all nodes
# are inside one pid namespace. When its first process ends the kernel ends and removes
# all of it, so nothing can be left behind but DIR, and several rigs may run at once.
# Each node n1..n4 (2 cores each in Slurm's eyes, at 10.77.0.1..4) has in addition a
# network, a host name, and a private /tmp and /dev/shm. The login node and slurmctld
# share the rig's outer network (10.77.0.254).
set -euo pipefail
packages=(slurm-wlm slurm-wlm-basic-plugins munge iproute2)
nodes=4
start_s=${RIG_START_S:-60}

die() {
    printf 'rig.sh: %s\n' "$*" >&2
    exit 1
}

check() {
    local package missing=()
    for package in "${packages[@]}"; do
        dpkg-query -W -f '${Status}' "$package" 2>/dev/null | grep -q 'ok installed' ||
            missing+=("$package")
    done
    if [ "${#missing[@]}" -gt 0 ]; then
        echo "skipped: needs the packages ${missing[*]}: ./ppt-dev deps --slurm"
        exit 77
    fi
    if [ "$(id -u)" -ne 0 ]; then
        echo "skipped: a cluster of namespaces needs root"
        exit 77
    fi
    if ! unshare --net --mount --pid --fork true 2>/dev/null; then
        echo "skipped: no namespaces may be made here"
        exit 77
    fi
}

# The process that holds the namespaces, if it is still the one that was started.
rig_pid() {
    local pid started
    read -r pid started 2>/dev/null <"$1/rig.pid" || return 1
    [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# Field 22 of /proc/PID/stat: a pid can be reused.
start_time() {
    sed -E 's/.*\) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20
}

write_conf() {
    local dir=$1
    cat >"$dir/slurm.conf" <<END
ClusterName=rig
SlurmctldHost=$(hostname)(10.77.0.254)
SlurmUser=root
SlurmctldPidFile=$dir/slurmctld.pid
SlurmctldLogFile=$dir/slurmctld.log
StateSaveLocation=$dir/state
AuthInfo=socket=$dir/munge/socket
CryptoType=crypto/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=pmix
ReturnToService=2
SlurmdSpoolDir=$dir/%n/spool
SlurmdPidFile=$dir/%n/slurmd.pid
SlurmdLogFile=$dir/%n/slurmd.log
SlurmdTimeout=${RIG_SLURMD_TIMEOUT_S:-15}
KillWait=${RIG_KILL_WAIT_S:-10}
MinJobAge=${RIG_MIN_JOB_AGE_S:-300}
JobCompType=jobcomp/filetxt
JobCompLoc=$dir/jobcomp
SchedulerParameters=sched_interval=1,bf_interval=1
${RIG_GRES:+GresTypes=${RIG_GRES%%:*}}
${RIG_CONF:-}
$(for i in $(seq $nodes); do
        echo "NodeName=n$i NodeAddr=10.77.0.$i CPUs=2 RealMemory=4096 State=UNKNOWN${RIG_GRES:+ Gres=$RIG_GRES}"
    done)
PartitionName=main Nodes=n[1-$nodes] Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO
END
    # Devices that are none, one a node: a file of gres.conf must be there.
    [ -z "${RIG_GRES:-}" ] || echo "Name=${RIG_GRES%%:*} File=/dev/null" >"$dir/gres.conf"
    echo "PMIxCollFence=ring" >"$dir/mpi.conf" # why: slurm/README.md
    {
        echo "127.0.0.1 localhost"
        echo "10.77.0.254 $(hostname)"
        for i in $(seq $nodes); do echo "10.77.0.$i n$i"; done
    } >"$dir/hosts"
}

# share DIR TMP: makes DIR, if it lies under /tmp, visible in TMP, which is to become
# a node's /tmp.
share() {
    case $1 in
    /tmp/*)
        mkdir -p "$2/${1#/tmp/}"
        mount --bind "$1" "$2/${1#/tmp/}"
        ;;
    esac
}

# A node, in its own network, mounts and host name: becomes slurmd.
inside_node() {
    local dir=$1 node=$2 shared
    shift 2
    hostname "$node"
    mount -t tmpfs tmpfs /dev/shm
    mount --bind "$dir/hosts" /etc/hosts
    for shared in "$dir" "$@"; do share "$shared" "$dir/$node/tmp"; done
    mount --rbind "$dir/$node/tmp" /tmp
    exec slurmd -D -N "$node" -f "$dir/slurm.conf"
}

# Becomes one of the daemons, inside the rig.
daemon() {
    local dir=$1 name=$2 shared
    shift 2
    export SLURM_CONF=$dir/slurm.conf
    case $name in
    munged)
        exec setpriv --reuid=munge --regid=munge --clear-groups munged --foreground \
            --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
            --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" \
            --seed-file="$dir/munge/seed" 2>>"$dir/munged.err"
        ;;
    slurmctld) exec slurmctld -D "$@" >/dev/null 2>>"$dir/slurmctld.err" ;;
    n[1-9])
        mapfile -t shared <"$dir/shared"
        exec nsenter --net="/run/netns/$name" unshare --mount --uts --propagation private \
            "$0" inside-node "$dir" "$name" "${shared[@]}" \
            >/dev/null 2>>"$dir/$name/slurmd.err"
        ;;
    *) die "there is no daemon '$name'" ;;
    esac
}

# The first process of the rig: makes the network, starts the daemons, reaps.
inside() {
    local dir=$1 i
    trap 'exit 0' TERM
    mount -t tmpfs tmpfs /run
    mkdir /run/netns
    ip link set lo up
    ip link add rig0 type bridge
    ip address add 10.77.0.254/24 dev rig0
    ip link set rig0 up
    for i in $(seq $nodes); do
        ip netns add "n$i"
        ip link add "rig$i" type veth peer name eth0 netns "n$i"
        ip link set "rig$i" master rig0 up
        ip -n "n$i" link set lo up
        ip -n "n$i" address add "10.77.0.$i/24" dev eth0
        ip -n "n$i" link set eth0 up
    done
    daemon "$dir" munged &
    for i in $(seq 100); do
        [ -S "$dir/munge/socket" ] && break
        sleep 0.05
    done
    daemon "$dir" slurmctld -c &
    for i in $(seq $nodes); do daemon "$dir" "n$i" & done
    while :; do wait || true; sleep 1; done
}

start() {
    local dir i pid end_s
    check
    [ $# -ge 1 ] || die "start wants a directory"
    mkdir -p "$1"
    dir=$(realpath "$1")
    shift
    stop "$dir"
    chmod 755 "$dir"
    mkdir -p "$dir/state" "$dir/munge"
    for i in $(seq $nodes); do
        mkdir -p "$dir/n$i/tmp" "$dir/n$i/spool"
        chmod 1777 "$dir/n$i/tmp"
    done
    head -c 1024 /dev/urandom >"$dir/munge/key"
    chmod 400 "$dir/munge/key"
    chown -R munge:munge "$dir/munge"
    chmod 755 "$dir/munge"
    write_conf "$dir"
    if [ $# -gt 0 ]; then printf '%s\n' "$@"; fi >"$dir/shared"
    setsid unshare --net --mount --pid --fork --kill-child --mount-proc \
        --propagation private "$(realpath "$0")" inside "$dir" \
        </dev/null >"$dir/rig.log" 2>&1 &
    pid=$!
    end_s=$((SECONDS + start_s))
    echo "$pid $(start_time "$pid")" >"$dir/rig.pid"
    while [ "$SECONDS" -lt "$end_s" ]; do
        [ -n "$(rig_pid "$dir")" ] || break
        if [ "$(idle_nodes "$dir")" = "$nodes" ]; then return; fi
        sleep 0.2
    done
    log "$dir" >&2
    stop "$dir"
    die "the cluster did not come up within $start_s s"
}

idle_nodes() {
    run "$1" timeout 5 sinfo -h -N -t idle -o %n 2>/dev/null | sort -u | wc -l
}

run() {
    local dir pid child
    dir=$(realpath "$1")
    shift
    pid=$(rig_pid "$dir") || die "there is no rig in $dir"
    child=$(cut -d' ' -f1 "/proc/$pid/task/$pid/children")
    [ -n "$child" ] || die "the rig in $dir is not up yet"
    SLURM_CONF=$dir/slurm.conf exec nsenter --net="/proc/$child/ns/net" "$@"
}

# enter DIR COMMAND...: inside, where pids and mounts are the rig's own.
enter() {
    local pid child
    pid=$(rig_pid "$1") || die "there is no rig in $1"
    child=$(cut -d' ' -f1 "/proc/$pid/task/$pid/children")
    shift
    nsenter --target "$child" --net --mount --pid "$@"
}

link() {
    enter "$(realpath "$1")" ip -n "$2" link set eth0 "$3"
}

kill_daemon() {
    local dir pids
    dir=$(realpath "$1")
    case $2 in
    munged) pids=$dir/munge/pid ;;
    slurmctld) pids=$dir/slurmctld.pid ;;
    *) pids=$dir/$2/slurmd.pid ;;
    esac
    enter "$dir" kill -KILL "$(cat "$pids")"
}

revive() {
    local dir
    dir=$(realpath "$1")
    enter "$dir" setsid --fork "$(realpath "$0")" daemon "$dir" "$2" </dev/null
}

log() {
    local file
    for file in "$1"/*.log "$1"/*.err "$1"/munge/log "$1"/n*/slurmd.*; do
        [ ! -s "$file" ] || { echo "--- $file"; tail -n 15 "$file"; }
    done
}

stop() {
    local pid child
    if pid=$(rig_pid "$1"); then
        child=$(cut -d' ' -f1 "/proc/$pid/task/$pid/children" 2>/dev/null || true)
        # shellcheck disable=SC2086 # none or one
        kill -KILL $pid $child 2>/dev/null || true
        for _ in $(seq 100); do
            [ -d "/proc/$pid" ] || [ -d "/proc/${child:-none}" ] || break
            sleep 0.05
        done
    fi
    rm -f "$1/rig.pid"
}

command=${1:-}
[ $# -gt 0 ] && shift
case $command in
check | start | run | link | revive | log | stop | inside | daemon) "$command" "$@" ;;
kill) kill_daemon "$@" ;;
inside-node) inside_node "$@" ;;
*)
    sed -n '2,/^set/{/^#/s/^# \{0,1\}//p}' "$0" >&2
    exit 2
    ;;
esac
