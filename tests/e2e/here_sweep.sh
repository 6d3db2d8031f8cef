#!/usr/bin/env bash
# A sweep in the shell of its user, ppt-submit --here: its jobs one after another, each
# reserved, charged in full and settled for itself.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 grace=5
mkdir "$dir/alice"
as officer ppt-budget dataset allow private

# sweep NAME SECTION [heavy]: over the job NAME of 300 steps, or of very many
sweep() {
    if [ "${3:-}" = heavy ]; then heavy "$1" 1 300000; else spec "$1" 1 300; fi
    sed -i -e 's/epsilon: 1, //' "$dir/$1.yaml"
    printf 'sweep: {%s}\n' "$2" >>"$dir/$1.yaml"
}

# here NAME [OPTION...]: in alice's folder; what it prints goes to $dir/id
here() {
    local name=$1
    shift
    (cd "$dir/alice" && as alice timeout 200 ppt-submit --here "$@" "$dir/$name.yaml") \
        >"$dir/id" 2>"$dir/here.err"
}

# here_fails STATUS WORDS NAME
here_fails() {
    local got=0
    here "$3" || got=$?
    [ "$got" = "$1" ] || die "status $got, expected $1: $(cat "$dir/here.err")"
    grep -qF -- "$2" "$dir/here.err" || die "no \"$2\" in: $(cat "$dir/here.err")"
}

# begin NAME: in the background, as $pid; ids: its jobs', once they are filed
begin() {
    : >"$dir/id"
    (
        cd "$dir/alice"
        PPT_CONFIG=$dir/site-alice.yaml exec ppt-submit --here "$dir/$1.yaml"
    ) >"$dir/id" 2>"$dir/here.err" &
    pid=$!
    for _ in $(seq 100); do
        [ ! -s "$dir/id" ] || break
        sleep 0.1
    done
}

ended() {
    local status=0
    wait "$pid" || status=$?
    [ "$status" = "$1" ] || die "status $status, expected $1: $(cat "$dir/here.err")"
}

ids() {
    sql "SELECT string_agg(job_id::text, ' ' ORDER BY number) FROM ppt.sweep_job
         WHERE sweep_id = $(sed -n 's/^s//p' "$dir/id")"
}

states() {
    sql "SELECT string_agg(j.state, ' ' ORDER BY w.number) FROM ppt.job j
         JOIN ppt.sweep_job w ON w.job_id = j.id
         WHERE w.sweep_id = $(sed -n 's/^s//p' "$dir/id")"
}

# makes_steps ID
makes_steps() {
    for _ in $(seq 300); do
        ! has_charge "$dir/alice/ppt-$1/meter" || return 0
        sleep 0.1
    done
    die "job $1 makes no steps: $(cat "$dir/here.err")"
}

step "a dry run says that all of it is charged"
sweep grid 'privacy.epsilon: [0.2, 0.3, 0.4], max_running: 2, admission: together'
as alice ppt-submit --here --dry-run "$dir/grid.yaml" >"$dir/dry"
grep -q '^charge: all of it, whatever is used' "$dir/dry" || die "$(cat "$dir/dry")"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 0 ] || die "a dry run has submitted"

step "its jobs run here, one at a time, each paid in full"
schedd_start
here grid || die "status $?: $(cat "$dir/here.err")"
[ "$(states)" = "done done done" ] || die "$(states)"
total=0
for id in $(ids); do
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
    [ "$(field "$id" model)" = "$dir/alice/ppt-$id/model.h5" ] || die "$(field "$id" model)"
    [ -s "$dir/alice/ppt-$id/model.h5" ] || die "no model of $id"
    [ -s "$dir/alice/ppt-$id/log" ] || die "no log of $id"
    [ "$(field "$id" sweep_max_running)" = 1 ] || die "$(field "$id" sweep_max_running) at once"
    total=$((total + 1))
done
[ "$total" = 3 ] || die "$total jobs"
[ "$(sql "SELECT count(*) FROM ppt.job a JOIN ppt.job b ON a.id < b.id
          AND a.started_at < b.ended_at AND b.started_at < a.ended_at")" = 0 ] ||
    die "two at once"
grep -q "job 2 of 3, .*: privacy.epsilon=0.3" "$dir/here.err" || die "$(cat "$dir/here.err")"
holds "$(reserved acme) == 0"
check_ledger

step "a job that is refused does not keep the others from running"
sweep some 'privacy.epsilon: [0.1, 9, 0.2]'
here_fails 22 "1 of the 3 jobs of s" some
[ "$(states)" = "done refused done" ] || die "$(states)"
grep -q "was refused: .*largest epsilon" "$dir/here.err" || die "$(cat "$dir/here.err")"

step "all refused: with the refusal's status, and nothing is left or spent"
before=$(spent acme)
sweep none 'privacy.epsilon: [8, 9], admission: together'
here_fails 12 "all 2 jobs of s" none
holds "$(spent acme) == $before"

step "a job cancelled from elsewhere is paid, and the next one runs"
sweep slow 'privacy.epsilon: [0.1, 0.11, 0.12]' heavy
begin slow
read -r first second third <<<"$(ids)"
makes_steps "$first"
as alice ppt-queue cancel "$first" 2>/dev/null
makes_steps "$second"
[ "$(state "$first")" = cancelled ] || die "$(state "$first")"
holds "$(field "$first" epsilon_spent) > 0.099"

step "a signal ends it: what has not begun costs nothing"
kill -INT "$pid"
ended 22
[ "$(states)" = "cancelled cancelled cancelled" ] || die "$(states)"
holds "$(field "$second" epsilon_spent) > 0.109 && $(field "$third" epsilon_spent) == 0"
[ ! -e "$dir/alice/ppt-$third" ] || die "a directory of a job that has not begun"
holds "$(reserved acme) == 0"

step "so does a signal to its ranks alone"
begin slow
read -r first second third <<<"$(ids)"
makes_steps "$first"
# shellcheck disable=SC2046 # a list
kill -TERM $(pgrep -f "^[^ ]*ppt-worker --plan $dir/alice/ppt-$first ")
ended 22
[ "$(states)" = "failed cancelled cancelled" ] || die "$(states): $(cat "$dir/here.err")"
field "$first" reason | grep -q "interrupted in its user's allocation" || die "$(field "$first" reason)"

step "the scheduler is away while the second begins: it is waited for"
sweep two 'privacy.epsilon: [0.1, 0.11]' heavy
sed -i 's/steps: 300000/steps: 3000/' "$dir/two.yaml"
begin two
read -r first second <<<"$(ids)"
makes_steps "$first"
schedd_kill
sleep 3
schedd_start
ended 0
[ "$(states)" = "done done" ] || die "$(states)"

step "ranks that are there already run one after another: mpirun ppt-worker --submit"
# ranks NAME: two of them, in alice's folder
ranks() {
    (
        cd "$dir/alice"
        export PPT_CONFIG=$dir/site-alice.yaml OMPI_ALLOW_RUN_AS_ROOT=1
        export OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1
        exec mpirun --oversubscribe -n 2 ppt-worker --submit "$dir/$1.yaml"
    ) >"$dir/id" 2>"$dir/here.err"
}
sweep step 'privacy.epsilon: [0.1, 0.11, 0.12]'
ranks step || die "status $?: $(cat "$dir/here.err")"
[ "$(states)" = "done done done" ] || die "$(states)"
for id in $(ids); do
    holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
    [ -s "$dir/alice/ppt-$id/model.h5" ] || die "no model of $id"
done
sed -i 's/^resources: {/&cores_per_rank: 1, /; s/^sweep: {/&resources.ranks: [2, 1], /' "$dir/step.yaml"
sed -i 's/ranks: 2, //' "$dir/step.yaml"
before=$(sql 'SELECT count(*) FROM ppt.job')
if ranks step; then die "ran on fewer ranks"; fi
grep -q 'job \[4\] (resources.ranks=1 privacy.epsilon=0.1): the job is for 1 ranks and 2 were started' \
    "$dir/here.err" || die "$(cat "$dir/here.err")"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = "$before" ] || die "a job was made"

step "a job of them is cancelled from elsewhere, the next runs; a lost rank ends all"
: >"$dir/id"
ranks slow &
pid=$!
for _ in $(seq 100); do
    [ ! -s "$dir/id" ] || break
    sleep 0.1
done
read -r first second third <<<"$(ids)"
makes_steps "$first"
as alice ppt-queue cancel "$first" 2>/dev/null
makes_steps "$second"
for rank in $(pgrep -f "^ppt-worker --submit $dir"); do
    if tr '\0' '\n' <"/proc/$rank/environ" | grep -qx OMPI_COMM_WORLD_RANK=1; then
        kill -KILL "$rank"
    fi
done
if wait "$pid"; then die "as if nothing had been"; fi
wait_state "$second" failed
wait_state "$third" cancelled
[ "$(states)" = "cancelled failed cancelled" ] || die "$(states)"
holds "$(field "$second" epsilon_spent) > 0.109 && $(field "$third" epsilon_spent) == 0"

step "what it prints as JSON"
sweep grid 'privacy.epsilon: [0.1, 0.11]'
here grid --json || die "status $?: $(cat "$dir/here.err")"
grep -qE '^\{"sweep": [0-9]+, "ids": \[[0-9]+, [0-9]+\]\}$' "$dir/id" || die "$(cat "$dir/id")"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
