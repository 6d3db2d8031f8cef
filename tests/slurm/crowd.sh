#!/usr/bin/env bash
# 200 short jobs at once: all end, each ran once, the ledger is exact. Then the very same
# batch scripts by bare sbatch on the same controller, for the rates.
n_jobs=${1:-200}
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=512 grace=5 restarts=0
use_sbatch
sed -i 's/--ntasks-per-node=1/--oversubscribe/' "$dir/site-scheduler.yaml"
cluster_start

n_in_state() {
    as reader ppt-queue list --all --last 0 --state "$1" --json | grep -o '"id"' | wc -l
}

n_in_slurm() {
    slurm squeue -h -t "$1" -o %j | wc -l
}

all_ended() {
    [ "$(n_in_state submitted,waiting,admitted,running)" = 0 ]
}

all_have_run() {
    [ "$(n_in_slurm pending,running,completing)" = 0 ]
}

step "$n_jobs jobs wait for the scheduler"
spec tiny 0.1 2
sed -i 's/ranks: 2/ranks: 1/' "$dir/tiny.yaml"
for _ in $(seq "$n_jobs"); do submit tiny >/dev/null; done
[ "$(n_in_state submitted)" = "$n_jobs" ] || die "$(n_in_state submitted) were submitted"

step "by ppt"
began=$(date +%s.%N)
schedd_start
wait_for 900 "all end" all_ended
by_ppt=$(awk "BEGIN { print $(date +%s.%N) - $began }")
schedd_stop
[ "$(n_in_state "done")" = "$n_jobs" ] || die "only $(n_in_state "done") are done"
names=$(slurm squeue -h -t all -o %j | sort)
[ "$(wc -l <<<"$names")" = "$n_jobs" ] || die "$(wc -l <<<"$names") jobs in Slurm"
[ -z "$(uniq -d <<<"$names")" ] || die "twice: $(uniq -d <<<"$names")"
holds "$(reserved acme) == 0"
check_ledger
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" = "$n_jobs" ] ||
    die "not one payment a job"
[ "$(sql "SELECT count(*) FROM ppt.job WHERE epsilon_spent <> epsilon")" = 0 ] ||
    die "a job has not spent what it made"

step "the same scripts by bare sbatch"
for job in "$dir"/jobs/[0-9]*; do
    rm -f "$job"/{taken-1,ended-1,meter,report.json,model.h5,checkpoint*}
    touch "$job/ticket-1" "$job/meter" # a new one: these runs are nobody's jobs
done
began=$(date +%s.%N)
for job in "$dir"/jobs/[0-9]*; do
    slurm sbatch --parsable --oversubscribe "$job/batch-1" >/dev/null
done
wait_for 900 "all have run" all_have_run
bare=$(awk "BEGIN { print $(date +%s.%N) - $began }")
for job in "$dir"/jobs/[0-9]*; do
    [ "$(cat "$job/ended-1")" = 0 ] || die "$job ended with $(cat "$job/ended-1")"
done

awk "BEGIN { printf \"%d jobs: %.2f a second by ppt, %.2f by bare sbatch, ratio %.2f\n\",
    $n_jobs, $n_jobs / $by_ppt, $n_jobs / $bare, $bare / $by_ppt }"
step "ok"
