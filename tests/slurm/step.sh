#!/usr/bin/env bash
# The ranks of a user's own step run a job: srun ppt-worker --submit. The price and
# accuracy by ppt-submit --here; refusals and cancellations end the step with their
# status; a killed rank costs all of it, and nothing of the step stays behind.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$dir/alice"

# batch NAME [OPTION...]: Slurm's id of a script that runs that job in a step
batch() {
    local name=$1
    shift
    rm -f "$dir/alice/status"
    : >"$dir/alice/id"
    cat >"$dir/alice/$name.sh" <<END
#!/bin/bash
export PPT_CONFIG=$dir/site-alice.yaml
srun ppt-worker --submit $dir/$name.yaml >$dir/alice/id
echo \$? >$dir/alice/status
END
    slurm sbatch --parsable --chdir="$dir/alice" --output="$dir/alice/$name.log" \
        --nodes=2 --ntasks=2 "$@" "$dir/alice/$name.sh"
}

# ends NAME STATUS: the script has ended, its step with that status
ends() {
    for _ in $(seq 300); do
        [ ! -s "$dir/alice/status" ] || break
        sleep 0.2
    done
    [ "$(cat "$dir/alice/status")" = "$2" ] ||
        die "$1: status $(cat "$dir/alice/status"): $(cat "$dir/alice/$1.log")"
}

# begins: the job makes steps; $id
begins() {
    for _ in $(seq 150); do
        id=$(cat "$dir/alice/id")
        ! has_charge "$dir/alice/ppt-$id/meter" || return 0
        sleep 0.2
    done
    die "no steps: $(cat "$dir/alice/slow.log")"
}

# rank_pid RANK: of the step
rank_pid() {
    local pid
    for pid in $(pgrep -f "ppt-worker --submit $dir"); do
        if [ "$(cat "/proc/$pid/comm")" = ppt-worker ] &&
            tr '\0' '\n' <"/proc/$pid/environ" | grep -qx "SLURM_PROCID=$1"; then
            echo "$pid"
        fi
    done
}

# nothing_left: of the step's processes
nothing_left() {
    [ -z "$(pgrep -f "(ppt-worker --submit|ppt-submit --step).* $dir")" ]
}

# A cancellation is heard of with the next sign of life, which comes every five seconds.
site cores=8 grace=12
cluster_start
schedd_start
as officer ppt-budget dataset allow private

step "a step over two nodes: priced, admitted, run and settled"
spec job 0.5 300
sed -i 's/{name: private}/{name: private, test: test}/
        s/^training: {/&evaluation: public, /' "$dir/job.yaml"
batch job >/dev/null
ends job 0
id=$(cat "$dir/alice/id")
[ "$(state "$id") $(field "$id" steps_done)" = "done 300" ] || die "$(state "$id")"
holds "$(field "$id" test_accuracy) > 0.5"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
holds "$(reserved acme) == 0"
grep -q '"is_sealed": true' "$dir/alice/ppt-$id/report.json" || die "not on two nodes"

step "a sweep: one job after another on the same ranks, sealed every one"
sed -e 's/epsilon: 0.5, //' "$dir/job.yaml" >"$dir/grid.yaml"
echo 'sweep: {privacy.epsilon: [0.1, 0.2], max_running: 1}' >>"$dir/grid.yaml"
batch grid >/dev/null
ends grid 0
for id in $(sql "SELECT job_id FROM ppt.sweep_job ORDER BY number"); do
    [ "$(state "$id") $(field "$id" steps_done)" = "done 300" ] || die "$(state "$id")"
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
    grep -q '"is_sealed": true' "$dir/alice/ppt-$id/report.json" || die "$id is not sealed"
done
[ "$id" = 3 ] || die "the last of the sweep is $id"
holds "$(reserved acme) == 0"

step "a refusal ends all ranks with its status"
spec large 3.9 300
batch large >/dev/null
ends large 12
grep -q "the largest epsilon this job could ask for is" "$dir/alice/large.log" ||
    die "$(cat "$dir/alice/large.log")"

step "another number of ranks is told before anything is reserved"
before=$(sql 'SELECT count(*) FROM ppt.job')
batch job --ntasks=3 >/dev/null
ends job 19
grep -q "the job is for 2 ranks and 3 were started" "$dir/alice/job.log" ||
    die "$(cat "$dir/alice/job.log")"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = "$before" ] || die "a job was made"

step "cancelled from elsewhere"
heavy slow 0.1 300000
batch slow >/dev/null
begins
as alice ppt-queue cancel "$id" 2>/dev/null
ends slow 22
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"
holds "$(field "$id" epsilon_spent) > 0.099"

for rank in 0 1; do
    step "rank $rank is killed: paid for in full, and the step ends"
    batch slow >/dev/null
    begins
    kill -KILL "$(rank_pid $rank)"
    wait_state "$id" failed
    cause="rank $rank on node n[1-4]: gone without a word"
    field "$id" reason | grep -q "$cause" || die "no cause: $(field "$id" reason)"
    grep -q "\"cause\": \"$cause\"" "$dir/alice/ppt-$id/report.json" ||
        die "no cause: $(cat "$dir/alice/ppt-$id/report.json")"
    holds "$(field "$id" epsilon_spent) > 0.099"
    wait_for 60 "the step's end" nothing_left
done

step "rank 0 is killed while the job waits: it is cancelled, and the step ends"
kill -STOP "$schedd_pid"
batch slow >/dev/null
wait_for 60 "it is submitted" [ -s "$dir/alice/id" ]
id=$(cat "$dir/alice/id")
kill -KILL "$(rank_pid 0)"
wait_for 60 "the step's end" nothing_left
kill -CONT "$schedd_pid"
wait_state "$id" cancelled
holds "$(reserved acme) == 0"

step "scancel of the allocation"
slurm_id=$(batch slow)
begins
slurm scancel "$slurm_id"
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) > 0.099"
holds "$(reserved acme) == 0"
wait_for 60 "the step's end" nothing_left
check_ledger
step "ok"
