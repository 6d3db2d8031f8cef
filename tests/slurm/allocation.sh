#!/usr/bin/env bash
# A user's own batch script runs a job in its allocation, over two nodes: the price and
# accuracy by mpirun; a refusal ends it with 12. With the word "killed": a job whose
# ppt-submit was killed is settled in full when nothing was heard of it any more.
# shellcheck source=tests/slurm/lib.sh
. "$(dirname "$0")/lib.sh"
mkdir "$dir/alice"

# batch NAME [OPTION...]: Slurm's id of a script that runs that job
batch() {
    local name=$1
    shift
    rm -f "$dir/alice/status"
    : >"$dir/alice/id"
    cat >"$dir/alice/$name.sh" <<END
#!/bin/bash
export PPT_CONFIG=$dir/site-alice.yaml
ppt-submit --here $dir/$name.yaml >$dir/alice/id
echo \$? >$dir/alice/status
END
    slurm sbatch --parsable --chdir="$dir/alice" --output="$dir/alice/$name.log" \
        --nodes=2 --ntasks=2 "$@" "$dir/alice/$name.sh"
}

# ends NAME STATUS: the script has ended, ppt-submit with that status
ends() {
    for _ in $(seq 300); do
        [ ! -s "$dir/alice/status" ] || break
        sleep 0.2
    done
    [ "$(cat "$dir/alice/status")" = "$2" ] ||
        die "$1: status $(cat "$dir/alice/status"): $(cat "$dir/alice/$1.log")"
}

site cores=8 grace=5
cluster_start
schedd_start
as officer ppt-budget dataset allow private

if [ "${1:-}" = killed ]; then
    step "killed in the middle"
    heavy slow 1 300000
    batch slow >/dev/null
    for _ in $(seq 300); do
        ! has_charge "$dir/alice/ppt-1/meter" || break
        sleep 0.2
    done
    has_charge "$dir/alice/ppt-1/meter" || die "no steps: $(cat "$dir/alice/slow.log")"
    # shellcheck disable=SC2046 # a list
    kill -KILL $(pgrep -f "^ppt-submit --here $dir/slow.yaml")
    ends slow 137
    sleep 45
    [ "$(state 1)" = running ] || die "too early: $(state 1)"
    wait_state 1 failed 150
    holds "$(field 1 epsilon_spent) > 0.99"
    holds "$(reserved acme) == 0"
    field 1 reason | grep -q 'died without a report' || die "$(field 1 reason)"
    [ -z "$(pgrep -f "ppt-worker --plan $dir/alice")" ] || die "its ranks go on"
    check_ledger
    step "ok"
    exit
fi

step "the same job by mpirun and in an allocation of two nodes"
spec job 1.5 300
sed -i 's/{name: private}/{name: private, test: test}/
        s/^training: {/&evaluation: public, /' "$dir/job.yaml"
by_mpirun=$(submit job)
wait_state "$by_mpirun" "done"
batch job >/dev/null
ends job 0
id=$(cat "$dir/alice/id")
[ "$(state "$id")" = "done" ] || die "$(state "$id")"
for key in epsilon epsilon_spent noise_multiplier steps_done; do
    [ "$(field "$id" $key)" = "$(field "$by_mpirun" $key)" ] ||
        die "$key: $(field "$id" $key), by mpirun $(field "$by_mpirun" $key)"
done
a=$(field "$id" test_accuracy) b=$(field "$by_mpirun" test_accuracy)
holds "$a > 0.5 && $a - $b < 0.1 && $b - $a < 0.1" "accuracy $a, by mpirun $b"
grep -q '"is_sealed": true' "$dir/alice/ppt-$id/report.json" || die "not on two nodes"
holds "$(reserved acme) == 0"

step "a sweep: one step of srun after another"
sed -e 's/epsilon: 1.5, //' "$dir/job.yaml" >"$dir/grid.yaml"
echo 'sweep: {privacy.epsilon: [0.1, 0.2], admission: together}' >>"$dir/grid.yaml"
batch grid >/dev/null
ends grid 0
grep -qx 's[0-9]*' "$dir/alice/id" || die "$(cat "$dir/alice/id")"
[ "$(sql "SELECT string_agg(j.state, ' ') FROM ppt.sweep_job w JOIN ppt.job j ON j.id = w.job_id")" = "done done" ] ||
    die "$(cat "$dir/alice/grid.log")"
holds "$(reserved acme) == 0"

step "a batch script with #PPT lines: another account than the file's, and its own status"
schedd_stop
use_sbatch
schedd_start
sed 's|^account:.*|account: acme/elsewhere|
    /^resources:/s/{/{slurm: {partition: none}, /' "$dir/job.yaml" >"$dir/lines.yaml"
cat >"$dir/alice/lines.sh" <<END
#!/bin/bash
#SBATCH --nodes=2 --ntasks=2 --chdir=$dir/alice --output=$dir/alice/lines.log
#PPT --account acme/lab --config=site-alice.yaml --wait
ppt-submit --here "\$1" >$dir/alice/id
END
(cd "$dir" && "$rig" run "$cluster" timeout 120 ppt-submit alice/lines.sh "$dir/lines.yaml") >"$dir/slurm_id" ||
    die "$(cat "$dir/alice/lines.log")"
id=$(cat "$dir/alice/id")
[ "$(state "$id") $(field "$id" account)" = "done acme/lab" ] || die "$(field "$id" account)"
[ "$(slurm squeue -h -t all -j "$(cat "$dir/slurm_id")" -o '%j %D %T')" = "lines.sh 2 COMPLETED" ] ||
    die "$(slurm squeue -h -t all)"
grep -q 'resources.slurm is not heeded' "$dir/alice/lines.log" || die "$(cat "$dir/alice/lines.log")"
as reader ppt-queue show "$id" | grep -qx "runs in  *Slurm job $(cat "$dir/slurm_id") on n[1-4], as its user" ||
    die "$(as reader ppt-queue show "$id")"
(cd "$dir" && expect 5 "" "$rig" run "$cluster" timeout 120 ppt-submit -A acme/nobody alice/lines.sh "$dir/lines.yaml")
grep -q 'acme/nobody' "$dir/alice/lines.log" || die "$(cat "$dir/alice/lines.log")"

step "a budget that does not allow it: 12, with the usual words"
spec large 3.9 300
batch large >/dev/null
ends large 12
grep -q "the largest epsilon this job could ask for is" "$dir/alice/large.log" ||
    die "$(cat "$dir/alice/large.log")"

step "fewer tasks than ranks are told before anything is reserved"
before=$(sql 'SELECT count(*) FROM ppt.job')
batch job --ntasks=1 --nodes=1 >/dev/null
ends job 19
[ "$(sql 'SELECT count(*) FROM ppt.job')" = "$before" ] || die "a job was made"

step "scancel of the allocation is a cancellation, paid in full"
heavy slow 0.1 300000
slurm_id=$(batch slow)
for _ in $(seq 150); do
    id=$(cat "$dir/alice/id")
    ! has_charge "$dir/alice/ppt-$id/meter" || break
    sleep 0.2
done
slurm scancel "$slurm_id"
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) > 0.099"
holds "$(reserved acme) == 0"

step "cancelled from elsewhere: the ranks leave, the script goes on"
batch slow >/dev/null
for _ in $(seq 150); do
    id=$(cat "$dir/alice/id")
    ! has_charge "$dir/alice/ppt-$id/meter" || break
    sleep 0.2
done
as alice ppt-queue cancel "$id" 2>/dev/null
ends slow 22
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"
holds "$(field "$id" epsilon_spent) > 0.099"
check_ledger
step "ok"
