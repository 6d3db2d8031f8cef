#!/usr/bin/env bash
# A rank is killed on its node: the job has failed, ppt-queue names rank, node and signal,
# and the whole reservation is spent.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5 restarts=0
use_sbatch
cluster_start
schedd_start

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
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon) && $(reserved acme) == 0"
check_ledger
step "ok"
