#!/usr/bin/env bash
# What goes wrong for a moment costs nothing: Slurm's controller or munge go away and come
# back, and finished jobs vanish from squeue (MinJobAge). With the argument munge: munge too.
export RIG_MIN_JOB_AGE_S=2 RIG_SLURMD_TIMEOUT_S=120
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5
use_sbatch
cluster_start
schedd_start

is_silent() {
    ! "$rig" run "$cluster" timeout 2 squeue -h
}

has_vanished() {
    [ "$(n_jobs "$1")" = 0 ]
}

step "slurmctld is killed in mid-job and comes back: the job goes on"
heavy slow 1 300000
id=$(submit slow)
wait_metered "$id"
sleep 6 # Slurm writes its state down every five seconds: else the job would be an intruder
"$rig" kill "$cluster" slurmctld
wait_for 20 "Slurm is away" is_silent
before=$(stat -c %s "$dir/jobs/$id/meter")
sleep 3
[ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
[ "$(stat -c %s "$dir/jobs/$id/meter")" -gt "$before" ] || die "it makes no steps"

step "what is submitted meanwhile waits, and has one job in Slurm at the end"
spec quick 0.5 300
quick=$(submit quick)
sleep 3
[ "$(field "$quick" epsilon_spent)" = "" ] || die "it has ended"
"$rig" revive "$cluster" slurmctld
wait_for 20 "Slurm is back" slurm squeue -h
wait_state "$quick" "done" 90
[ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
[ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$quick" epsilon_spent) == $(field "$quick" epsilon)"
check_ledger

munge_stops() {
    step "munge stops and comes back"
    "$rig" kill "$cluster" munged
    wait_for 20 "Slurm trusts nobody" is_silent
    sleep 4
    [ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
    "$rig" revive "$cluster" munged
    wait_for 20 "Slurm trusts us again" slurm squeue -h
    quick=$(submit quick)
    wait_state "$quick" "done" 90
    [ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
    [ "$(field "$id" attempt)" = 1 ] || die "attempt $(field "$id" attempt)"
}

if [ "${1:-}" = munge ]; then munge_stops; fi
step "and is the same job all the time"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"
check_ledger

step "a job that ended while the scheduler was away, and vanished"
id=$(submit quick)
wait_state "$id" running
wait_sent "ppt-$id-1"
schedd_kill
wait_for 30 "it ends" test -e "$dir/jobs/$id/ended-1"
wait_for 30 "it vanishes" has_vanished "ppt-$id-1"
schedd_start
wait_state "$id" "done" 20
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
