#!/usr/bin/env bash
# crowd.sh [ROUNDS]: 64 processes submit 10 jobs each at once to a tree of accounts four
# deep whose root has room for exactly 100 of them: exactly 100 are admitted, the rest
# wait, the ledger's sums are right.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
rounds=${1:-1}
site cores=2
schedd_start

# submit_as ACCOUNT NAME: the spec with another account
for_account() {
    sed "s|^account:.*|account: $1|" "$dir/$2.yaml" >"$dir/$2-$(tr / - <<<"$1").yaml"
}

step "the price of one job, out of the ledger itself"
as officer ppt-budget account create probe
as officer ppt-budget grant probe -e 8 -d 1e-6
as officer ppt-budget member add probe alice
spec one 0.5 400
for_account probe one
# Something without a price holds both cores, asleep: what is admitted stays admitted.
spec holder none 100000000
sed -i 's/time_limit: 10m/time_limit: 2h/' "$dir/holder.yaml"
holder=$(submit holder)
wait_state "$holder" running
for _ in $(seq 100); do
    [ -z "$(rank_pids "$holder")" ] || break
    sleep 0.1
done
# shellcheck disable=SC2046 # a list
kill -STOP $(rank_pids "$holder")
probe=$(as alice ppt-submit "$dir/one-probe.yaml")
wait_state "$probe" admitted

# The epsilon under which n such jobs fit and n + 1 do not, by the database's own caps.
limit_for() {
    sql "WITH job AS (SELECT rho FROM ppt.ledger_entry
                      WHERE job_id = $probe AND kind = 'reserve'),
        candidate AS (SELECT e / 1000.0::float8 AS epsilon
                      FROM generate_series(500, 20000) e),
        caps AS (SELECT epsilon, ppt.limit_caps(epsilon, 1e-6,
                        ppt.limit_weights(epsilon, 1e-6)) AS caps FROM candidate)
        SELECT epsilon FROM caps, job
        WHERE ppt.vec_fits(caps, ppt.vec_zero(), ppt.vec_zero(),
                           ARRAY(SELECT $1 * r FROM unnest(rho) r))
          AND NOT ppt.vec_fits(caps, ppt.vec_zero(), ppt.vec_zero(),
                           ARRAY(SELECT ($1 + 1) * r FROM unnest(rho) r))
        ORDER BY epsilon LIMIT 1"
}
limit=$(limit_for 100)
[ -n "$limit" ] || die "no limit holds exactly 100 of these jobs"
as alice ppt-queue cancel "$probe" 2>/dev/null

# A job that fits is let in even where an older one was told to wait a moment ago: so
# nothing may be released while the waiting are tried one after the other. A round ends
# with the question which jobs are to start.
wait_at_rest() {
    local n=0
    for _ in $(seq 600); do
        n=$((n + 1))
        [ "$(sql "SELECT count(*) FROM pg_stat_activity
                  WHERE application_name = 'ppt-schedd' AND query ~ 'start_order'")" = 1 ] ||
            n=0
        [ $n -lt 5 ] || return 0
        sleep 0.1
    done
    die "the scheduler never comes to rest"
}

for round in $(seq "$rounds"); do
    top=org$round
    step "round $round: root $top with epsilon $limit, 64 processes submit 640 jobs"
    as officer ppt-budget account create "$top"
    as officer ppt-budget account create "$top/unit"
    as officer ppt-budget account create "$top/unit/team"
    as officer ppt-budget account create "$top/unit/team/desk"
    as officer ppt-budget account create "$top/unit/team/bench"
    as officer ppt-budget grant "$top" -e "$limit" -d 1e-6
    as officer ppt-budget grant "$top/unit/team" -e "$limit" -d 1e-6
    as officer ppt-budget grant --dataset private -e 100 -d 1e-6
    as officer ppt-budget member add "$top" alice
    for_account "$top/unit/team/desk" one
    for_account "$top/unit/team/bench" one
    submitters=()
    for i in $(seq 64); do
        seat=$([ $((i % 2)) = 0 ] && echo desk || echo bench)
        (for _ in $(seq 10); do
            as alice ppt-submit "$dir/one-$top-unit-team-$seat.yaml"
        done) >"$dir/ids.$i" 2>&1 &
        submitters+=($!)
    done
    for pid in "${submitters[@]}"; do wait "$pid" || die "a submitter failed"; done
    [ "$(cat "$dir"/ids.* | sort -un | wc -l)" = 640 ] || die "not 640 ids"
    in_state() {
        sql "SELECT count(*) FROM ppt.job j JOIN ppt.account a ON a.id = j.account_id
             WHERE a.path LIKE '$top/%' AND j.state = '$1'"
    }
    for _ in $(seq 600); do
        [ "$(in_state submitted)" != 0 ] || break
        sleep 0.2
    done
    [ "$(in_state submitted)" = 0 ] || die "$(in_state submitted) not judged"
    [ "$(in_state admitted)" = 100 ] || die "$(in_state admitted) admitted"
    [ "$(in_state waiting)" = 540 ] || die "$(in_state waiting) waiting"
    ! grep -qi 'deadlock' "$dir/schedd.log" "$dir/pg/log" || die "a deadlock"
    check_ledger
    wait_at_rest
    step "one is taken back: one of those that wait is let in, the oldest"
    oldest=$(sql "SELECT min(j.id) FROM ppt.job j JOIN ppt.account a ON a.id = j.account_id
                  WHERE a.path LIKE '$top/%' AND j.state = 'waiting'")
    as alice ppt-queue cancel "$(sql "SELECT max(j.id) FROM ppt.job j
        JOIN ppt.account a ON a.id = j.account_id
        WHERE a.path LIKE '$top/%' AND j.state = 'admitted'")" 2>/dev/null
    wait_state "$oldest" admitted 60
    [ "$(in_state admitted)" = 100 ] || die "$(in_state admitted) admitted"
    step "all taken back: nothing is reserved any more"
    sql "SELECT j.id FROM ppt.job j JOIN ppt.account a ON a.id = j.account_id
         WHERE a.path LIKE '$top/%' AND j.state = 'waiting'" |
        PPT_CONFIG=$dir/site-alice.yaml xargs -n 1 ppt-queue cancel 2>/dev/null
    sql "SELECT j.id FROM ppt.job j JOIN ppt.account a ON a.id = j.account_id
         WHERE a.path LIKE '$top/%' AND j.state = 'admitted'" |
        PPT_CONFIG=$dir/site-alice.yaml xargs -n 1 ppt-queue cancel 2>/dev/null
    holds "$(reserved "$top") == 0 && $(spent "$top") == 0"
    check_ledger
done
step "ok"
