#!/usr/bin/env bash
# Jobs by sbatch on a cluster of four nodes: the same price and accuracy as by mpirun; a
# lost answer of sbatch makes no second job; cancelling, by us or by scancel, is paid for
# by the meter.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"

mkdir "$dir/bin"
cat >"$dir/bin/sbatch" <<END
#!/bin/sh
# Submits, and loses the answer if told to.
answer=\$($(command -v sbatch) "\$@") || exit
if rm "$dir/lose-answer" 2>/dev/null; then
    echo "sbatch: error: Socket timed out on send/recv operation" >&2
    exit 1
fi
echo "\$answer"
END
chmod 755 "$dir/bin/sbatch"

step "the same job by mpirun and by sbatch over two nodes"
site cores=8 grace=5
cluster_start
spec job 1.5 300
sed -i 's/{name: private}/{name: private, test: test}/
        s/^training: {/&evaluation: public, /' "$dir/job.yaml"
schedd_start
by_mpirun=$(submit job)
wait_state "$by_mpirun" "done"
schedd_stop
use_sbatch
schedd_start
by_sbatch=$(submit job)
wait_state "$by_sbatch" "done"
for key in epsilon epsilon_spent steps_done; do
    [ "$(field "$by_sbatch" $key)" = "$(field "$by_mpirun" $key)" ] ||
        die "$key: $(field "$by_sbatch" $key), by mpirun $(field "$by_mpirun" $key)"
done
# Across nodes what ranks tell each other is sealed; on one node it need not be.
grep -q '"is_sealed": true' "$dir/jobs/$by_sbatch/report.json" || die "not sealed"
report=$(cat "$dir/jobs/$by_sbatch/report.json")
for i in 0 1; do # PMIx of Slurm tells hosts by their names
    grep -Eq "\"name\": \"n[1-4]\", \"n_ranks\": 1, \"ranks\": \[\{\"rank\": $i, \"cpus\": \"[0-9]" \
        <<<"$report" || die "rank $i is nowhere: $report"
done
grep -q '"n_hosts": 2' <<<"$report" || die "not on two hosts: $report"
grep -q '"is_sealed": false' "$dir/jobs/$by_mpirun/report.json" || die "sealed"
[ "$(field "$by_sbatch" slurm_state)" = COMPLETED ] || die "$(field "$by_sbatch" slurm_state)"
[ "$(field "$by_sbatch" slurm_job_id)" = \
    "$(slurm squeue -h -t all -n "ppt-$by_sbatch-1" -o %A)" ] || die "another job's id"
[ -z "$(field "$by_mpirun" slurm_job_id)" ] || die "mpirun has a Slurm job"
a=$(field "$by_sbatch" test_accuracy) b=$(field "$by_mpirun" test_accuracy)
holds "$a > 0.5 && $a - $b < 0.1 && $b - $a < 0.1" "accuracy $a, by mpirun $b"
squeue_says "2 COMPLETED" -n "ppt-$by_sbatch-1" -o '%D %T'
holds "$(reserved acme) == 0"

step "sbatch's answer is lost: one job, and it is found"
touch "$dir/lose-answer"
id=$(submit job)
wait_state "$id" "done"
[ ! -e "$dir/lose-answer" ] || die "the answer was not lost"
grep -q "job $id: sbatch failed.*but Slurm has it" "$dir/schedd.log" || die "not said"
[ "$(n_jobs "ppt-$id-1")" = 1 ] || die "$(n_jobs "ppt-$id-1") jobs"
[ "$(slurm squeue -h -t all -o '%j' | grep -c "^ppt-$id-")" = 1 ] || die "a second job"

step "a job's own wishes reach Slurm; the site's arguments win"
sed '/^resources:/s/{/{slurm: {partition: main, nodes: 2, options: [--nice=7, --ntasks-per-node=2]}, /' \
    "$dir/job.yaml" >"$dir/wishes.yaml"
grep -q 'slurm: {partition' "$dir/wishes.yaml" || die "no wishes in the spec"
id=$(submit wishes)
wait_state "$id" "done"
squeue_says "main 2 7 COMPLETED" -n "ppt-$id-1" -o '%P %D %y %T'
slurm squeue -h -t all -n "ppt-$id-1" -o %k |
    grep -qxE "ppt1:$id:1:$(id -u):[0-9]+:ppt-$id-1:[0-9a-f]{128}" || die "no token"

step "each job of a sweep is an sbatch of its own, with its own wishes"
sed '/^resources:/s/{/{slurm: {nodes: 2}, /; s/epsilon: [0-9.]*, //' "$dir/job.yaml" >"$dir/sweep.yaml"
cat >>"$dir/sweep.yaml" <<'END'
sweep: {privacy.epsilon: [0.2, 0.3], resources.slurm.options: [], admission: together}
END
expect 10 'sweep.resources.slurm.options: expected a list of values' as alice ppt-submit "$dir/sweep.yaml"
sed -i 's/resources.slurm.options: .., /resources.slurm.partition: [main], /' "$dir/sweep.yaml"
sweep=$(as alice ppt-submit "$dir/sweep.yaml" 2>/dev/null)
as alice timeout 120 ppt-queue wait --quiet "$sweep"
for id in $(sql "SELECT job_id FROM ppt.sweep_job WHERE sweep_id = ${sweep#s}"); do
    squeue_says "main 2 COMPLETED" -n "ppt-$id-1" -o '%P %D %T'
    slurm squeue -h -t all -n "ppt-$id-1" -o %k | grep -q "^ppt1:$id:1:" || die "not its token"
done

step "what Slurm refuses says so and costs nothing"
spec large 1 300
sed -i 's/ranks: 2/ranks: 6/' "$dir/large.yaml" # one a node, and there are four
before=$(spent acme)
id=$(submit large)
wait_state "$id" failed
field "$id" reason | grep -q 'Slurm did not take it: sbatch: error' ||
    die "$(field "$id" reason)"
holds "$(field "$id" epsilon_spent) == 0 && $(spent acme) == $before"

step "ppt-queue cancel ends Slurm's job, paid by the meter"
heavy slow 1 300000
id=$(submit slow)
wait_metered "$id"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"
holds "$(reserved acme) == 0"

step "so does scancel by hand"
id=$(submit slow)
wait_metered "$id"
slurm scancel -n "ppt-$id-1"
wait_state "$id" cancelled
[ "$(slurm_state "ppt-$id-1")" = CANCELLED ] || die "$(slurm_state "ppt-$id-1")"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"
holds "$(reserved acme) == 0"
[ "$(n_jobs "ppt-$id-2")" = 0 ] || die "it was started again"

step "a job that has not begun waits without a time limit, and costs nothing"
slurm scontrol update partition=main state=down
sed 's/time_limit: 10m/time_limit: 1s/' "$dir/slow.yaml" >"$dir/waits.yaml"
id=$(submit waits)
wait_state "$id" running
sleep 4
[ "$(slurm_state "ppt-$id-1")" = PENDING ] || die "$(slurm_state "ppt-$id-1")"
[ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
[ "$(field "$id" slurm_state) $(field "$id" slurm_reason)" = "PENDING PartitionDown" ] ||
    die "$(field "$id" slurm_state) $(field "$id" slurm_reason)"
as alice ppt-queue list --last 1 >"$dir/list"
grep -q "^ *ID .* SLURM  SLURM STATE  SLURM REASON " "$dir/list" || die "$(cat "$dir/list")"
grep -q " $(field "$id" slurm_job_id)  PENDING  " "$dir/list" || die "$(cat "$dir/list")"
slurm scancel -n "ppt-$id-1"
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) == 0"
slurm scontrol update partition=main state=up

step "past its time limit"
heavy late 1 300000
sed -i 's/time_limit: 10m/time_limit: 3s/' "$dir/late.yaml"
id=$(submit late)
wait_state "$id" failed
field "$id" reason | grep -q 'time limit' || die "$(field "$id" reason)"
holds "$(field "$id" epsilon_spent) > 0 && $(field "$id" epsilon_spent) < 0.9"

step "the scheduler is killed and comes back: the job goes on"
id=$(submit slow)
wait_metered "$id"
schedd_kill
schedd_start
sleep 2
[ "$(state "$id")" = running ] || die "$(state "$id"): $(field "$id" reason)"
[ "$(slurm squeue -h -t all -o '%j' | grep -c "^ppt-$id-")" = 1 ] || die "a second job"

step "a lost rank ends the attempt at once and is paid for in full; the next goes on"
# shellcheck disable=SC2046 # a list
kill -KILL $(rank_pids "$id" | head -n 1)
for _ in $(seq 150); do
    [ "$(n_jobs "ppt-$id-2")" = 0 ] || break
    sleep 0.2
done
[ "$(n_jobs "ppt-$id-2")" = 1 ] || die "no second attempt"
wait_metered "$id"
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) > 0.99"
check_ledger
step "ok"
