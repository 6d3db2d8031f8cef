#!/usr/bin/env bash
# Slurm loses its memory (a controller that starts anew): a job that had ended is settled
# by what it left; one that ran is taken for dead after a while, paid for in full, and
# started again.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5
use_sbatch
cluster_start
schedd_start

step "one ends while the scheduler is away, one runs"
heavy slow 1 300000
slow=$(submit slow)
wait_metered "$slow"
spec quick 1 300
quick=$(submit quick)
wait_state "$quick" running
wait_sent "ppt-$quick-1"
schedd_kill
for _ in $(seq 150); do
    [ "$(slurm_state "ppt-$quick-1")" != COMPLETED ] || break
    sleep 0.2
done
[ -e "$dir/jobs/$quick/ended-1" ] || die "it did not end: $(slurm_state "ppt-$quick-1")"
cluster_stop
cluster_start
schedd_start

step "the first is done"
wait_state "$quick" "done" 20
holds "$(field "$quick" epsilon_spent) == $(field "$quick" epsilon)"

step "the second is given time, then started again"
sleep 10
[ "$(state "$slow")" = running ] || die "$(state "$slow"): $(field "$slow" reason)"
[ "$(n_jobs "ppt-$slow-2")" = 0 ] || die "too early"
for _ in $(seq 450); do
    [ "$(n_jobs "ppt-$slow-2")" = 0 ] || break
    sleep 0.2
done
[ "$(n_jobs "ppt-$slow-2")" = 1 ] || die "no second attempt"

step "and pays its whole reservation"
sleep 3
as alice ppt-queue cancel "$slow" 2>/dev/null
wait_state "$slow" cancelled
holds "$(field "$slow" epsilon_spent) == $(field "$slow" epsilon)"
check_ledger
step "ok"
