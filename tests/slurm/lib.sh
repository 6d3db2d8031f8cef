#!/usr/bin/env bash
# Shared by the tests of whole jobs on a cluster: tests/e2e/lib.sh and a rig in $cluster.
#
#   schedd_start           on the login node
#   cluster_start, cluster_stop     nodes also see the folders in the array shared
#   wait_for SECONDS WHAT COMMAND...
#   protect_nodes <<<LINES
#   use_sbatch             from now on the site's launcher, a rank a node
#   use_pilots KNOBS       the pool within Slurm; KNOBS of its section
#   n_pilots STATES, no_pilot, runs_again ID (its second attempt makes steps)
#   slurm COMMAND...       n_jobs NAME, slurm_state NAME
#   wait_sent NAME         until Slurm has such a job; "running" is said before sbatch is
#   squeue_says ANSWER ARGUMENT...  of squeue, soon: a job is settled before its nodes are
#                          cleared
set -euo pipefail
rig=$(dirname "$(realpath "${BASH_SOURCE[0]}")")/rig.sh
"$rig" check
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "${BASH_SOURCE[0]}")/../e2e/lib.sh"

cluster=$dir/rig
shared=()
clean_up_cluster() {
    local status=$?
    if [ "$status" -ne 0 ]; then "$rig" log "$cluster" | tail -n 60; fi
    "$rig" stop "$cluster" || true
    set +e
    (exit "$status")
    clean_up
}
trap clean_up_cluster EXIT

# What stands in $dir/bin comes before the real commands.
schedd_start() {
    PPT_CONFIG=$dir/site-scheduler.yaml PATH=$dir/bin:$PATH \
        "$rig" run "$cluster" ppt-schedd 2>>"$dir/schedd.log" &
    schedd_pid=$!
}

slurm() {
    "$rig" run "$cluster" timeout 20 "$@"
}

# How many jobs of that name Slurm has seen, and the state of the last.
n_jobs() {
    slurm squeue -h -t all -o '%j' | grep -cxF "$1" || true
}

is_sent() {
    [ "$(n_jobs "$1")" != 0 ]
}

wait_sent() {
    wait_for 20 "Slurm has $1" is_sent "$1"
}

slurm_state() {
    slurm squeue -h -t all -n "$1" -o '%T'
}

squeue_says() {
    local expected=$1 answer
    shift
    for _ in $(seq 50); do
        answer=$(slurm squeue -h -t all "$@")
        if [ "$answer" = "$expected" ]; then return; fi
        sleep 0.2
    done
    die "squeue $*: expected '$expected', found '$answer'"
}

cluster_start() {
    "$rig" start "$cluster" "$dir" "$build" "$source" "${shared[@]}"
}

# wait_for SECONDS WHAT COMMAND...: until it succeeds.
wait_for() {
    local seconds=$1 what=$2
    shift 2
    for _ in $(seq $((seconds * 5))); do
        if "$@" >/dev/null 2>&1; then return; fi
        sleep 0.2
    done
    die "not within $seconds s: $what"
}

cluster_stop() {
    "$rig" stop "$cluster"
}

# Prolog and epilog on all nodes, whose partition `private` is for jobs of ppt; lines of
# protect.conf from stdin. Before cluster_start with RIG_CONF=$protected.
protect_nodes() {
    local script i
    [ -d "$cluster" ] || mkdir "$cluster"
    cat >"$cluster/protect.conf" <<END
$(cat)
partition private
public_key $dir/keys/plan.pub
program $build/worker/ppt-token
END
    for script in prolog epilog node; do
        sed "s|/etc/ppt/protect.conf|$cluster/protect.conf|" \
            "$source/slurm/ppt-$script.sh" >"$cluster/ppt-$script.sh"
        chmod 755 "$cluster/ppt-$script.sh"
    done
    for i in 1 2 3 4; do mkdir -p "$cluster/n$i/tmp/scratch"; done
    # shellcheck disable=SC2034 # the tests'
    protected="Prolog=$cluster/ppt-prolog.sh
Epilog=$cluster/ppt-epilog.sh
PrologFlags=Alloc,DeferBatch
PartitionName=private Nodes=n[1-4] State=UP"
    sed -i 's|arguments: \[|&--partition=private, |' \
        "$dir/site-scheduler.yaml" "$dir/site-alice.yaml"
}

use_sbatch() {
    sed -i 's|^launcher: {kind: [a-z]*, |launcher: {kind: sbatch, arguments: [--ntasks-per-node=1], |' \
        "$dir/site-scheduler.yaml" "$dir/site-alice.yaml"
}

use_pilots() {
    sed -i "s|^launcher: {kind: [a-z]*, |launcher: {kind: pool, within: sbatch, arguments: [], |
        \$a pilots: {$1}" "$dir"/site-{scheduler,alice}.yaml
}

n_pilots() {
    slurm squeue -h -t "$1" -o %j | grep -c '^ppt-pilot-' || true
}

no_pilot() {
    [ "$(n_pilots pending,running,completing)" = 0 ]
}

runs_again() {
    [ "$(field "$1" attempt)" = 2 ] && [ -n "$(rank_pids "$1")" ]
}
