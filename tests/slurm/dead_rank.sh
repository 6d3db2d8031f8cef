#!/usr/bin/env bash
# A rank is killed on its node: the job has failed, ppt-queue names rank, node and signal,
# and the whole reservation is spent. So it is where somebody edits a plan that waits for
# its node: no rank runs it, and the reason says what is wrong with it.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5 restarts=0
use_sbatch
cluster_start
schedd_start

all_is_spent() {
    holds "$(field "$1" epsilon_spent) == $(field "$1" epsilon) && $(reserved acme) == 0"
}

step "rank 1, on the second node, is killed"
spec job 1 100000
id=$(submit job)
wait_metered "$id"
for environment in /proc/[0-9]*/environ; do
    if grep -qzx "PPT_JOB_DIRECTORY=$dir/jobs/$id" "$environment" 2>/dev/null &&
        grep -qzx 'PMIX_RANK=1' "$environment"; then
        kill -KILL "$(cut -d/ -f3 <<<"$environment")"
    fi
done
wait_state "$id" failed 60
as alice ppt-queue show "$id" | grep '^reason' | grep -q 'rank 1 on node n2: Killed' ||
    die "no cause: $(field "$id" reason)"
[ "$(field "$id" error_code)" = 21 ] || die "code $(field "$id" error_code)"
all_is_spent "$id"

step "a plan that is edited while it waits for its node is refused"
spec other 0.5 300
slurm scontrol update partition=main state=down
id=$(submit other)
wait_state "$id" running
wait_for 10 "it is in Slurm's hands" [ -e "$dir/jobs/$id/ticket-1" ]
sed -i 's/"count": 300/"count": 30000/' "$dir/jobs/$id/plan.json"
grep -q '"count": 30000' "$dir/jobs/$id/plan.json" || die "nothing was edited"
slurm scontrol update partition=main state=up
wait_state "$id" failed 60
field "$id" reason | grep -q 'Exited with exit code 13: .*signature' ||
    die "$(field "$id" reason)"
! grep -q "step [0-9]" "$dir/jobs/$id/log" || die "it has run"
all_is_spent "$id"
check_ledger
step "ok"
