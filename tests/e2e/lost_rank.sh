#!/usr/bin/env bash
# A rank is killed: the job is started again as often as the site allows; that it died
# may tell of the data, so the whole reservation is spent however it ends.
# shellcheck source=tests/e2e/lib.sh
. "$(dirname "$0")/lib.sh"
site cores=2 restarts=1
heavy victim 1 4000
schedd_start

kill_a_rank() {
    local rank
    rank=$(rank_pids "$1" | tail -n 1)
    kill -KILL "$rank"
}

# wait_more ID SIZE: until its meter is longer than that
wait_more() {
    for _ in $(seq 300); do
        [ "$(stat -c %s "$dir/jobs/$1/meter")" -le "$2" ] || return 0
        sleep 0.1
    done
    die "job $1 does not begin again"
}

# wait_attempt ID N: that attempt has ranks
wait_attempt() {
    for _ in $(seq 300); do
        if [ "$(field "$1" attempt)" = "$2" ] && [ -n "$(rank_pids "$1")" ]; then return; fi
        sleep 0.1
    done
    die "no attempt $2 of job $1: $(state "$1") $(field "$1" reason)"
}

step "once: a second attempt ends well, and still everything is spent"
id=$(submit victim)
wait_metered "$id"
sleep 1
kill_a_rank "$id"
wait_attempt "$id" 2
wait_state "$id" "done"
[ "$(field "$id" attempt)" = 2 ] || die "attempt $(field "$id" attempt)"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
[ "$(sql "SELECT count(*) FROM ppt.ledger_entry WHERE job_id = $id AND kind = 'release'
          AND 0 = ALL (rho)")" = 1 ] || die "something was released"

step "more often than the site allows: failed"
id=$(submit victim)
wait_metered "$id"
kill_a_rank "$id"
size=$(stat -c %s "$dir/jobs/$id/meter")
wait_attempt "$id" 2
wait_more "$id" $((size + 64)) # the first one's last charges, perhaps
kill_a_rank "$id"
wait_state "$id" failed # mpirun may be caught unawares
[ "$(field "$id" error_code)" = 21 ] || die "code $(field "$id" error_code)"
field "$id" reason | grep -q "rank 1 on node $(hostname -s).*: signal 9 (Killed)" ||
    die "no cause: $(field "$id" reason)"
report=$dir/jobs/$id/report.json
for _ in $(seq 50); do # written when it is settled
    ! grep -q '"attempt": 2.*"cause": "rank 1 on node ' "$report" || break
    sleep 0.1
done
grep -q '"attempt": 2.*"outcome": "failed".*"cause": "rank 1 on node .*signal 9 (Killed)"' \
    "$report" || die "no cause in $(cat "$report")"
grep -q '"used": \[[1-9]' "$report" || die "nothing used: $(cat "$report")"
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
[ -z "$(job_pids "$id")" ] || die "processes are left"

step "an mpirun that does not notice is given up"
id=$(submit victim)
wait_metered "$id"
kill -STOP "$(field "$id" pid)"
kill_a_rank "$id"
# shellcheck disable=SC2046 # a list: the others wait for the dead one, or have given up
kill -STOP $(rank_pids "$id") 2>/dev/null || true
sleep 10
[ "$(field "$id" attempt)" = 1 ] || die "given up too early"
for _ in $(seq 60); do
    [ "$(field "$id" attempt)" = 1 ] || break
    sleep 1
done
wait_attempt "$id" 2
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"

step "mpirun itself: its ranks do not outlive it"
id=$(submit victim)
wait_metered "$id"
kill -KILL "$(field "$id" pid)"
wait_attempt "$id" 2
as alice ppt-queue cancel "$id" 2>/dev/null
wait_state "$id" cancelled
holds "$(field "$id" epsilon_spent) == $(field "$id" epsilon)"
holds "$(reserved acme) == 0"
check_ledger
step "ok"
