#!/usr/bin/env bash
# What takes a job's processes away costs its whole reservation: a node off the network, a
# job killed that then vanished, a job directory that is full. A node given up by Slurm
# whose ranks can still be told so is an interruption.
export RIG_MIN_JOB_AGE_S=2
if [ -z "${PPT_OWN_MOUNTS:-}" ]; then
    "$(dirname "$0")/rig.sh" check
    PPT_OWN_MOUNTS=1 exec unshare --mount --propagation private "$0" "$@"
fi
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5 restarts=0
clean_up_mount() {
    local status=$?
    cp -r "$dir/jobs" "$dir/jobs.last"
    "$rig" stop "$cluster" || true
    umount -l "$dir/jobs" || true
    cp -r "$dir/jobs.last/." "$dir/jobs" # for its logs
    set +e
    (exit "$status")
    clean_up_cluster
}
trap clean_up_mount EXIT
mount -t tmpfs -o size=8m,mode=700 tmpfs "$dir/jobs"
use_sbatch
shared=("$dir/jobs")
cluster_start
schedd_start
heavy slow 0.5 300000

# The node of the job's second rank.
second_node() {
    slurm squeue -h -n "ppt-$1-1" -o %N | sed -E 's/n\[?[1-4][-,]n?([1-4])\]?/n\1/'
}

# pays_all ID SECONDS: has failed and has spent all that it reserved.
pays_all() {
    wait_state "$1" failed "$2"
    holds "$(field "$1" epsilon_spent) == $(field "$1" epsilon)" "$(field "$1" reason)"
    holds "$(reserved acme) == 0"
    [ "$(n_jobs "ppt-$1-2")" = 0 ] || die "a second attempt"
    check_ledger
}

is_idle() {
    [ "$(slurm sinfo -h -N -t idle -o %n | wc -l)" = 4 ]
}

runs_again() {
    [ "$(field "$1" attempt) $(field "$1" slurm_state)" = "2 RUNNING" ]
}

has_slurm_id() {
    [ -n "$(field "$1" slurm_job_id)" ]
}

has_vanished() {
    [ "$(n_jobs "ppt-$1-1")" = 0 ]
}

vanishes() {
    wait_for 60 "it ends" has_ended "$1"
    wait_for 30 "it vanishes" has_vanished "$1"
    [ ! -e "$dir/jobs/$1/ended-1" ] || [ "$(cat "$dir/jobs/$1/ended-1")" != 0 ] ||
        die "it has done its work"
}

# The batch script, srun and the ranks, without a word to any of them.
kill_outright() {
    local pid script=()
    for pid in $(job_pids "$1"); do
        [ "$(cat "/proc/$pid/comm")" != srun ] || script+=("$(ps -o ppid= -p "$pid")")
    done
    [ "${#script[@]}" -gt 0 ] || die "no srun of job $1"
    # shellcheck disable=SC2046,SC2068 # lists
    kill -KILL ${script[@]} $(job_pids "$1") 2>/dev/null || true
}

has_ended() {
    [ -z "$(slurm squeue -h -n "ppt-$1-1" -o %A)" ]
}

step "a node's network goes away in mid-training"
id=$(submit slow)
wait_metered "$id"
node=$(second_node "$id")
"$rig" link "$cluster" "$node" down
pays_all "$id" 150
"$rig" link "$cluster" "$node" up
wait_for 90 "all nodes are back" is_idle

step "a node's slurmd is killed in mid-training: the ranks are told, and go on elsewhere"
id=$(submit slow)
wait_metered "$id"
node=$(second_node "$id")
"$rig" kill "$cluster" "$node"
wait_for 150 "a second attempt runs" runs_again "$id"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled 60
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.45"
holds "$(reserved acme) == 0"
check_ledger
"$rig" revive "$cluster" "$node"
wait_for 90 "all nodes are back" is_idle

step "a job killed outright that vanished from squeue: the file of completed jobs knows"
id=$(submit slow)
wait_metered "$id"
wait_for 20 "Slurm's id is known" has_slurm_id "$id"
schedd_kill
kill_outright "$id"
vanishes "$id"
began=$SECONDS
schedd_start
pays_all "$id" 55 # without a witness: 60
[ $((SECONDS - began)) -ge 25 ] || die "too early: $((SECONDS - began)) s"
[ "$(field "$id" slurm_state)" = FAILED ] || die "Slurm's state: $(field "$id" slurm_state)"

step "one cancelled by hand that vanished: its ranks left a report, and it stays cancelled"
id=$(submit slow)
wait_metered "$id"
schedd_kill
slurm scancel -n "ppt-$id-1"
vanishes "$id"
echo epilog >"$dir/jobs/$id/ended-1" # as slurm/ppt-epilog.sh leaves it
schedd_start
wait_state "$id" cancelled 55
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.45"
[ "$(n_jobs "ppt-$id-2")" = 0 ] || die "a second attempt"
check_ledger

step "its directory is full"
before=$(spent acme)
id=$(submit slow)
wait_metered "$id"
dd if=/dev/zero of="$dir/jobs/filler" bs=64k 2>/dev/null || true
wait_for 90 "Slurm has ended it" has_ended "$id"
sleep 2
holds "$(reserved acme) > 0 || $(spent acme) > $before" # nothing is given back meanwhile
rm "$dir/jobs/filler"
pays_all "$id" 90
step "ok"
