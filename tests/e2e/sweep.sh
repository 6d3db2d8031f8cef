#!/usr/bin/env bash
# A sweep: one file, many jobs, each priced, reserved and settled alone; listed, waited
# for and cancelled together.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=8

# sweep NAME STEPS LINE...: the lines are the section; epsilon and rate come from it
sweep() {
    local name=$1 steps=$2
    shift 2
    spec "$name" 1 "$steps"
    sed -i -e 's/epsilon: 1, //' -e 's/, learning_rate: 0.1//' "$dir/$name.yaml"
    printf '%s\n' "sweep:" "$@" >>"$dir/$name.yaml"
}

# ids SWEEP: of its jobs, in the order of the grid
ids() {
    sql "SELECT string_agg(job_id::text, ' ' ORDER BY number) FROM ppt.sweep_job
         WHERE sweep_id = ${1#s}"
}

step "a dry run tells each price and the sum"
sweep grid 100 '  training.learning_rate: [0.1, 0.5]' '  privacy.epsilon: [0.2, 0.4]'
as alice ppt-submit --dry-run "$dir/grid.yaml" >"$dir/dry"
grep -q '^ *3 .* admitted .*training.learning_rate=0.5 privacy.epsilon=0.2$' "$dir/dry" ||
    die "$(cat "$dir/dry")"
grep -q '^all 4 jobs: epsilon [0-9.]* at delta 1e-06 in sum, admitted one by one' "$dir/dry" ||
    die "$(cat "$dir/dry")"
[ "$(sql 'SELECT count(*) FROM ppt.job')" = 0 ] || die "a dry run has submitted"
all=$(as alice ppt-submit --dry-run --json "$dir/grid.yaml" |
    sed -nE 's/.*"n_admitted": 4, "is_private": true, "epsilon": ([0-9.]*),.*/\1/p')
one=$(sed 's/^sweep:.*//; /^  /d; s/privacy: {/&epsilon: 0.4, /; s/batch_size/learning_rate: 0.1, &/' \
    "$dir/grid.yaml" >"$dir/one.yaml" && as alice ppt-submit -n --json "$dir/one.yaml" |
    sed -nE 's/.*"epsilon": ([0-9.]*), "delta": .*"noise.*/\1/p')
holds "$all > $one && $all < 1.21" "$all, $one"

step "each is a job of its own"
schedd_start
sweep=$(as alice ppt-submit "$dir/grid.yaml" 2>/dev/null)
read -r first second third fourth <<<"$(ids "$sweep")"
[ "$sweep" = "s$first" ] || die "$sweep of $first"
last=$(as alice ppt-submit --after "$sweep" "$dir/one.yaml")
as alice timeout 120 ppt-queue wait --quiet "$sweep"
as alice ppt-queue list --sweep "$sweep" >"$dir/list"
[ "$(grep -c 'grid\[[1-4]\] .*done' "$dir/list")" = 4 ] || die "$(cat "$dir/list")"
grep -q "^ *$fourth  grid\[4\]  training.learning_rate=0.5 privacy.epsilon=0.4 " "$dir/list" ||
    die "$(cat "$dir/list")"
as alice ppt-queue show "$third" | grep -q "^sweep *$sweep, job 3 of 4, admitted one by one" ||
    die "$(as alice ppt-queue show "$third")"
[ "$(field "$second" sweep_point)" = "training.learning_rate=0.1 privacy.epsilon=0.4" ] ||
    die "$(field "$second" sweep_point)"
holds "$(field "$first" epsilon_spent) <= 0.2 && $(field "$fourth" epsilon_spent) > 0.2"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE kind = 'spend'")" -ge 4 ] ||
    die "not each was charged"
wait_state "$last" "done"
[ "$(field "$last" after)" = "$(ids "$sweep" | sed 's/ .*//; s/^/[/')" ] || die "after"

step "side by side, with what each came to"
as alice ppt-queue show "$sweep" >"$dir/show"
grep -q '^jobs *4: 4 done$' "$dir/show" || die "$(cat "$dir/show")"
grep -Eq "^ *$fourth  training.learning_rate=0.5 privacy.epsilon=0.4  done +0.4.* 100  " "$dir/show" ||
    die "$(cat "$dir/show")"
as alice ppt-queue show --json "$sweep" | grep -q "^{\"sweep\": $first, \"jobs\": \[{\"id\": $first," ||
    die "$(as alice ppt-queue show --json "$sweep")"
expect 5 "there is no sweep $sweep that this login sees" as bob ppt-queue show "$sweep"

step "no more than it says run at once"
model=logistic sweep few 20000 '  training.learning_rate: [0.1, 0.2, 0.3]' \
    '  privacy.epsilon: [0.1]' '  max_running: 1'
few=$(as alice ppt-submit "$dir/few.yaml" 2>/dev/null)
most=0
until [ "$(sql "SELECT count(*) FROM ppt.queue WHERE sweep = ${few#s} AND ended_at IS NULL")" = 0 ]; do
    n=$(sql "SELECT count(*) FROM ppt.queue WHERE sweep = ${few#s} AND state = 'running'")
    [ "$n" -le "$most" ] || most=$n
done
[ "$most" = 1 ] || die "$most at once"
as alice ppt-queue show "$few" | grep -q '^run at once *1$' || die "$(as alice ppt-queue show "$few")"
[ "$(sql "SELECT count(*) FROM ppt.queue a JOIN ppt.queue b ON a.sweep = b.sweep AND a.id < b.id
          WHERE a.sweep = ${few#s} AND a.ended_at > b.started_at")" = 0 ] || die "they overlap"
sed -i 's/max_running: 1/max_running: 0/' "$dir/few.yaml"
expect 10 "sweep.max_running: expected an integer from 1 to 1000" as alice ppt-submit "$dir/few.yaml"

step "a job waits for a large sweep"
sweep wide 20 "  training.learning_rate: [$(seq -s ', ' 0.001 0.001 0.1)]" '  privacy.epsilon: [0.1]' \
    '  max_running: 1'
wide=$(as alice ppt-submit "$dir/wide.yaml" 2>"$dir/err") || die "$(cat "$dir/err")"
last=$(as alice ppt-submit --after "$wide" "$dir/one.yaml" 2>"$dir/err") || die "$(cat "$dir/err")"
[ "$(sql "SELECT count(*) FROM ppt.job_after WHERE job_id = $last")" = 100 ] || die "it waits for fewer"
as alice ppt-queue cancel "$wide" 2>/dev/null
wait_end "$last"
[ "$(state "$last")" = refused ] || die "$(state "$last")"

step "all are cancelled by one command"
sweep long 1000000 '  training.learning_rate: [0.1, 0.5, 0.7]' '  privacy.epsilon: [0.3]'
sed -i 's/batch_size: 50/batch_size: 500/; s/ranks: 2/ranks: 4/' "$dir/long.yaml"
long=$(as alice ppt-submit --json "$dir/long.yaml" 2>/dev/null)
read -r begun second waits <<<"$(sed -nE 's/^\{"sweep": ([0-9]+), "ids": \[\1, ([0-9]+), ([0-9]+)\]\}$/\1 \2 \3/p' <<<"$long")"
long=s${begun:?$long}
wait_metered "$begun"
wait_state "$second" running
expect 5 "there is no sweep $long that this login sees" as bob ppt-queue cancel "$long"
expect 0 "$long: 1 of its 3 jobs are cancelled, 2 are being asked to stop" \
    as alice ppt-queue cancel --reason enough "$long"
expect 22 "3 of the 3 jobs of $long are not done" as alice ppt-queue wait "$long"
[ "$(state "$waits")" = cancelled ] || die "$(state "$waits")"
expect 18 "all 3 jobs of $long have ended already" as alice ppt-queue cancel "$long"
holds "$(reserved acme) == 0"
check_ledger

step "all or none: refused, with how many would have fitted"
sweep both 100 '  admission: together' '  training.learning_rate: [0.1, 0.5]' '  privacy.epsilon: [0.2, 3.2]'
expect 12 'it would be refused: acme (all data) has epsilon' as alice ppt-submit -n "$dir/both.yaml"
both=$(as alice ppt-submit "$dir/both.yaml" 2>/dev/null)
expect 22 "4 of the 4 jobs of $both are not done" as alice timeout 60 ppt-queue wait "$both"
why=$(field "${both#s}" reason)
[[ $why =~ "; the sweep's 4 jobs together need "[0-9.]+"; 3 of them would have fitted"$ ]] ||
    die "$why"
[ "$(sql "SELECT string_agg(DISTINCT state || error_code, ' ') FROM ppt.queue WHERE sweep = ${both#s}")" = \
    refused12 ] || die "not all are refused"
holds "$(reserved acme) == 0"

step "all or none: waits for others, then all at once"
heavy holder 3 1000000
holder=$(submit holder)
wait_metered "$holder"
sed -i 's/0.2, 3.2]/2.3]/' "$dir/both.yaml"
both=$(as alice ppt-submit "$dir/both.yaml" 2>/dev/null)
first=${both#s}
wait_state "$first" waiting
[[ $(field "$first" reason) =~ "the sweep's 2 jobs together need "[0-9.]+" and wait for them to end"$ ]] ||
    die "$(field "$first" reason)"
[ "$(sql "SELECT count(*) FROM ppt.queue WHERE sweep = $first AND state = 'waiting'")" = 2 ] ||
    die "not all wait"
as alice ppt-queue cancel "$holder" 2>/dev/null
as alice timeout 60 ppt-queue wait --quiet "$both"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry e JOIN ppt.sweep_job w USING (job_id)
          WHERE kind = 'reserve' AND sweep_id = $first GROUP BY e.xmin")" = 2 ] ||
    die "not one transaction"

step "all or none: a fault of one is the end of all"
spec fault 0.2 100
sed -i -e 's/, learning_rate: 0.1//; s/, batch_size: 50//' "$dir/fault.yaml"
printf '%s\n' "sweep: {admission: together, training.learning_rate: [0.1], training.batch_size: [50, 5000]}" \
    >>"$dir/fault.yaml"
fault=$(as alice ppt-submit "$dir/fault.yaml" 2>/dev/null)
wait_state "${fault#s}" refused
[[ $(field "${fault#s}" reason) = "job [2] of this sweep: "* ]] || die "$(field "${fault#s}" reason)"
check_ledger

step "another account pays for all"
other=$(as alice ppt-submit --account acme/lab/x "$dir/grid.yaml" 2>&1) && die "$other"
as officer ppt-budget account create acme/lab/x
other=$(as alice ppt-submit --account acme/lab/x "$dir/grid.yaml" 2>/dev/null)
as alice timeout 60 ppt-queue wait --quiet "$other"
[ "$(field "${other#s}" account)" = acme/lab/x ] || die "$(field "${other#s}" account)"

step "what cannot be"
sweep wrong 100 '  training.learning_rate: [0.1, fast]' '  privacy.epsilon: [1]'
expect 10 'wrong.yaml:10:33: training.learning_rate: expected a number' \
    as alice ppt-submit "$dir/wrong.yaml"
sweep much 100 '  training.learning_rate: [0.1, 0.5]' '  privacy.epsilon: [1, 2]'
expect 12 '2 of its 4 jobs would not be admitted: acme (all data) has epsilon' as alice ppt-submit --dry-run "$dir/much.yaml"
expect 2 'is not the number of a job (12) or of a sweep (s12)' as alice ppt-queue wait t12
expect 2 "lists a sweep's jobs" as alice ppt-queue log "$sweep"
step "ok"
