#!/usr/bin/env bash
# A job whose log cannot be opened: Slurm ends each attempt before the script begins.
# After three it has failed, with Slurm's words, and nothing is spent.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8 grace=5
use_sbatch
cluster_start
schedd_start

step "three attempts, none begins"
spec job 1.5 300
slurm scontrol update partition=main state=down
id=$(submit job)
wait_state "$id" running
mkdir "$dir/jobs/$id/log" # Slurm cannot write there
slurm scontrol update partition=main state=up
wait_state "$id" failed 90
field "$id" reason | grep -q 'Slurm ended it 3 times before it began: ' ||
    die "$(field "$id" reason)"
[ ! -e "$dir/jobs/$id/taken-1" ] || die "it began"
[ "$(n_jobs "ppt-$id-3")" = 1 ] || die "no third attempt"
[ "$(n_jobs "ppt-$id-4")" = 0 ] || die "a fourth attempt"

step "nothing is spent, nothing stays reserved"
holds "$(field "$id" epsilon_spent) == 0"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
