#!/usr/bin/env bash
# ppt-submit --here: jobs in the shell of their user. Priced and admitted as always;
# charged in full once their plan was handed out, and for nothing before.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 grace=5
mkdir "$dir/alice"

# here NAME: in alice's folder; the job's id goes to $dir/id
here() {
    (cd "$dir/alice" && as alice timeout 100 ppt-submit --here "$dir/$1.yaml") \
        >"$dir/id" 2>"$dir/here.err"
}

# begin NAME: in the background, as $pid
begin() {
    : >"$dir/id"
    (
        cd "$dir/alice"
        PPT_CONFIG=$dir/site-alice.yaml exec ppt-submit --here "$dir/$1.yaml"
    ) >"$dir/id" 2>"$dir/here.err" &
    pid=$!
}

# ended: in the background, as a job that is no good
ended() {
    local status=0
    wait "$pid" || status=$?
    [ "$status" = 22 ] || die "status $status: $(cat "$dir/here.err")"
}

# here_fails STATUS WORDS NAME
here_fails() {
    local got=0
    here "$3" || got=$?
    [ "$got" = "$1" ] || die "status $got, expected $1: $(cat "$dir/here.err")"
    grep -qF -- "$2" "$dir/here.err" || die "no \"$2\" in: $(cat "$dir/here.err")"
}

# wait_here: until the job in the background makes steps; $id
wait_here() {
    for _ in $(seq 300); do
        id=$(cat "$dir/id")
        ! has_charge "$dir/alice/ppt-$id/meter" || return 0
        sleep 0.1
    done
    die "job $id makes no steps: $(cat "$dir/here.err")"
}

step "an officer must have allowed it, and can take that back"
spec job 1.0 300
sed -i 's/{name: private}/{name: private, test: test}/
        s/^training: {/&evaluation: public, /' "$dir/job.yaml"
here_fails 11 "may not be used in its users' own allocations" job
expect 11 "own allocations" as alice ppt-submit --here --dry-run "$dir/job.yaml"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 0 ] || die "a refused one made a job"
expect 17 "" as alice ppt-budget dataset allow private
as officer ppt-budget dataset allow private --reason "test"
as alice ppt-submit --here --dry-run "$dir/job.yaml" >"$dir/dry"
grep -q '^charge  *all of it' "$dir/dry" || die "not said: $(cat "$dir/dry")"

step "wishes to Slurm are refused where Slurm starts no jobs"
sed '/^resources:/s/{/{slurm: {partition: main}, /' "$dir/job.yaml" >"$dir/wishes.yaml"
here_fails 11 "resources.slurm" wishes

step "runs here, at the price by mpirun, with the same accuracy"
schedd_start
by_mpirun=$(submit job)
wait_state "$by_mpirun" "done"
here job || die "status $?: $(cat "$dir/here.err")"
id=$(cat "$dir/id")
[ "$(state "$id")" = "done" ] || die "$(state "$id")"
for key in epsilon epsilon_spent steps_done noise_multiplier; do
    [ "$(field "$id" $key)" = "$(field "$by_mpirun" $key)" ] ||
        die "$key: $(field "$id" $key), by mpirun $(field "$by_mpirun" $key)"
done
a=$(field "$id" test_accuracy) b=$(field "$by_mpirun" test_accuracy)
holds "$a > 0.5 && $a - $b < 0.1 && $b - $a < 0.1" "accuracy $a, by mpirun $b"
[ "$(field "$id" model)" = "$dir/alice/ppt-$id/model.h5" ] || die "$(field "$id" model)"
[ -s "$dir/alice/ppt-$id/model.h5" ] || die "no model"
for move in submitted admitted running "done"; do
    [ "$(grep -c "job $id: $move" "$dir/here.err")" = 1 ] || die "$move: $(cat "$dir/here.err")"
done
grep -q step "$dir/here.err" || die "no progress in: $(cat "$dir/here.err")"
as alice ppt-queue log "$id" >"$dir/out" || die "no log"
grep -q 'step 300/300' "$dir/out" || die "no progress in the log: $(cat "$dir/out")"
as reader ppt-queue show "$id" >"$dir/out"
grep -qx "directory  *$dir/alice/ppt-$id" "$dir/out" || die "$(cat "$dir/out")"
grep -qx "runs in  *$(hostname), as its user" "$dir/out" || die "$(cat "$dir/out")"
[ "$(field "$id" is_here) $(field "$by_mpirun" is_here)" = "true " ] || die "who is here?"
rm "$dir/alice/ppt-$id/log"
expect 5 "the job's user runs it in $(hostname)" as alice ppt-queue log "$id"
mkfifo "$dir/alice/ppt-$id/log"
expect 3 "log is not a file" as alice ppt-queue log "$id"
holds "$(reserved acme) == 0"
check_ledger

step "a plan is not run twice: not by another program, not after its end"
token=$(sql "SELECT token FROM ppt.job WHERE id = $id")
psql -X -q -A -t "$("$pg" conninfo "$dir/pg" alice)" \
    -c "SELECT ppt.allocation_take($id, '$token')" 2>"$dir/err" && die "taken again"
grep -q 'handed out no more' "$dir/err" || die "$(cat "$dir/err")"
psql -X -q -A -t "$("$pg" conninfo "$dir/pg" alice)" \
    -c "SELECT plan FROM ppt.allocation" 2>"$dir/err" && die "alice reads plans"
grep -q 'permission denied' "$dir/err" || die "$(cat "$dir/err")"

step "what its user's side claims is not believed: charged in full"
heavy slow 0.5 300000
begin slow
wait_here
holds "$(reserved acme) > 0.1"
: >"$dir/alice/ppt-$id/meter" # used: nothing
kill -INT "$pid"
ended
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"
holds "$(field "$id" epsilon_spent) > 0.49"
holds "$(reserved acme) == 0"

step "a budget that does not allow it: 12, with the usual words, and nothing else"
spec large 3.9 300
here_fails 12 "the largest epsilon this job could ask for is" large
[ ! -e "$dir/alice/ppt-$(cat "$dir/id")/plan.json" ] || die "there is a plan"

step "a cancellation from elsewhere reaches the ranks"
begin slow
wait_here
as alice ppt-queue cancel "$id" 2>/dev/null
ended
[ "$(state "$id")" = cancelled ] || die "$(state "$id")"

step "waiting for the scheduler, Ctrl-C takes it back for nothing"
schedd_stop
before=$(spent acme)
begin slow
for _ in $(seq 100); do
    [ ! -s "$dir/id" ] || break
    sleep 0.1
done
sleep 0.5
kill -INT "$pid"
ended
[ "$(state "$(cat "$dir/id")")" = cancelled ] || die "$(state "$(cat "$dir/id")")"
holds "$(spent acme) == $before"
schedd_start

step "ranks that are there already: mpirun ppt-worker --submit"
# ranks NAME: two of them, in alice's folder
ranks() {
    (
        cd "$dir/alice"
        export PPT_CONFIG=$dir/site-alice.yaml OMPI_ALLOW_RUN_AS_ROOT=1
        export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        exec mpirun --oversubscribe -n 2 ppt-worker --submit "$dir/$1.yaml"
    ) >"$dir/id" 2>"$dir/here.err"
}
spec step 0.2 300
ranks step || die "status $?: $(cat "$dir/here.err")"
id=$(head -n 1 "$dir/id")
[ "$(state "$id") $(field "$id" steps_done)" = "done 300" ] || die "$(state "$id")"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
expect 2 "--step is for ppt-worker --submit alone" as alice ppt-submit --step 2 "$dir/job.yaml"
expect 2 "--submit stands alone" ppt-worker --submit job.yaml --plan x

step "a rank of them that is killed is paid for in full"
heavy long 0.1 300000
: >"$dir/id"
ranks long &
pid=$!
for _ in $(seq 300); do
    id=$(head -n 1 "$dir/id")
    ! has_charge "$dir/alice/ppt-$id/meter" || break
    sleep 0.1
done
for rank in $(pgrep -f "^ppt-worker --submit $dir"); do
    if tr '\0' '\n' <"/proc/$rank/environ" | grep -qx OMPI_COMM_WORLD_RANK=1; then
        kill -KILL "$rank"
    fi
done
if wait "$pid"; then die "as if nothing had been"; fi
wait_state "$id" failed
holds "$(field "$id" epsilon_spent) > 0.099"
holds "$(reserved acme) == 0"

step "the same under --here: the report says which one"
begin long
wait_here
for rank in $(pgrep -f "^[^ ]*ppt-worker --plan $dir/alice/ppt-$id "); do
    if tr '\0' '\n' <"/proc/$rank/environ" | grep -qx OMPI_COMM_WORLD_RANK=1; then
        kill -KILL "$rank"
    fi
done
ended
wait_state "$id" failed
for report in "$dir/alice/ppt-$id/report.json" "$dir/jobs/$id/report.json"; do
    grep -q 'rank 1 on node .*signal 9 (Killed)' "$report" || die "$(cat "$report")"
done
grep -q '"used": \[[1-9]' "$dir/alice/ppt-$id/report.json" || die "its report says nothing is used"
field "$id" reason | grep -q 'rank 1 on node .*signal 9 (Killed)' || die "$(field "$id" reason)"
holds "$(field "$id" epsilon_spent) > 0.099"

step "past its time limit"
sed 's/time_limit: 10m/time_limit: 3s/' "$dir/slow.yaml" >"$dir/late.yaml"
here_fails 22 "time limit" late
holds "$(field "$(cat "$dir/id")" epsilon_spent) > 0.49"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
